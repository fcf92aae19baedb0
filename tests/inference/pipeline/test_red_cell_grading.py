"""Shares, grades and flags of red cells, by counts with known answers."""

import pytest

from inference.pipeline.aggregation import share
from inference.pipeline.config import RBC_CLASSES, RBC_GRADES_PERCENT
from inference.pipeline.red_cell_findings import NotGraded, RedCellMeasures, SizeBasis
from inference.pipeline.red_cell_grading import RELATIVE, diameters, grade, graded


def measured(um: float | None = 7.2, relative: float = 1.0) -> RedCellMeasures:
    return RedCellMeasures(um, None, relative, 0.95, 1.05, 0.7)


def cells(normal: int, measures: RedCellMeasures | None = None, **others: int):
    of = {"normal": normal, **others}
    return [(label, measures or measured()) for label, count in of.items() for _ in range(count)]


def flags(found) -> set[str]:
    return {flag.code for flag in found.flags}


@pytest.mark.parametrize(
    ("percent", "text"), [(1.9, "0"), (2.0, "1+"), (5.0, "2+"), (20.0, "2+"), (20.1, "3+")]
)
def test_a_share_is_graded_by_the_table(percent, text):
    of_many = share(round(percent * 1000), 100_000)
    assert grade(of_many, RBC_GRADES_PERCENT["target"]).text == text


def test_every_class_but_the_normal_one_has_limits_that_rise():
    assert set(RBC_GRADES_PERCENT) == set(RBC_CLASSES) - {"normal"}
    assert all(one < two < three for one, two, three in RBC_GRADES_PERCENT.values())


def test_the_interval_says_whether_a_limit_is_spanned():
    found = graded(200, cells(190, target=10)).of("target")
    assert found.grade.text == "2+"
    assert (found.grade.low, found.grade.high) == (1, 2)
    assert found.grade.is_open
    assert not graded(2000, cells(1800, target=200)).of("target").grade.is_open


def test_few_cells_are_counted_and_not_graded():
    found = graded(99, cells(79, sickle=20)).of("sickle")
    assert found.share.count == 20
    assert found.grade.text == ""
    assert found.grade.not_graded is NotGraded.FEW_CELLS
    assert (found.grade.counted, found.grade.needed) == (99, 100)
    assert graded(99, cells(99)).anisocytosis == found.grade


def test_schistocytes_want_a_thousand_cells():
    few = graded(999, cells(949, schistocyte=50)).of("schistocyte").grade
    assert (few.value, few.counted, few.needed) == (None, 999, 1_000)
    enough = graded(1000, cells(950, schistocyte=50))
    assert enough.of("schistocyte").grade.text == "3+"
    assert "schistocytes_elevated" in flags(enough)


def test_a_few_false_calls_raise_no_flag():
    found = graded(2000, cells(1975, sickle=25))
    assert found.of("sickle").grade.text == "2+"
    assert not flags(found)
    assert flags(graded(2000, cells(1950, sickle=50))) == {"sickle_cells_detected"}


def test_an_untrained_class_is_named_as_such_until_a_person_counts_one():
    assert graded(200, cells(200)).of("malaria_infected").grade.not_graded is NotGraded.NOT_TRAINED
    assert graded(200, cells(199, malaria_infected=1)).of("malaria_infected").grade.text == "1+"


def test_sizes_are_graded_only_where_micrometres_are_known():
    named = cells(700, microcyte=300)
    assert flags(graded(1000, named)) == {"microcytosis_detected"}
    relative = graded(1000, cells(700, measured(None), microcyte=300))
    assert relative.size_basis is SizeBasis.RELATIVE
    assert relative.of("microcyte").grade.not_graded is NotGraded.SIZE_ESTIMATED
    assert not flags(relative)
    assert "rbc_size_relative" in {notice.code for notice in relative.notices}


def test_a_laboratory_can_have_its_own_limits():
    named = cells(190, target=10)
    stricter = {**RBC_GRADES_PERCENT, "target": (1.0, 2.0, 4.0)}
    assert graded(200, named, stricter).of("target").grade.text == "3+"


def test_spread_of_diameters():
    found = diameters([measured(um, um / 7.0) for um in (6.0, 7.0, 8.0)])
    assert found.count == 3
    assert found.mean_um == pytest.approx(7.0)
    assert found.median_um == pytest.approx(7.0)
    assert found.cv_percent == pytest.approx(100 / 7)
    assert found.cv_low < found.cv_percent < found.cv_high


def test_anisocytosis_is_flagged_on_the_lower_end():
    uneven = [("normal", measured(um, um / 7.0)) for um in (5.5, 8.5)] * 200
    assert "anisocytosis" in flags(graded(400, uneven))
    even = [("normal", measured(um, um / 7.0)) for um in (6.7, 7.3)] * 200
    assert not flags(graded(400, even))


def test_abnormal_shapes_add_up():
    found = graded(500, cells(300, target=60, teardrop=60, macrocyte=40, hypochromic=40))
    assert found.abnormal.count == 200
    assert found.poikilocytosis.share.count == 120
    assert "poikilocytosis" in flags(found)


def test_nothing_classified_is_no_figure():
    found = graded(30, [])
    assert found.classified == 0
    assert found.diameters is None
    assert not found.flags


def test_where_no_red_cell_was_classified_no_pixel_size_is_asked_for():
    assert RELATIVE not in graded(3, []).notices
