"""The delta check against published figures, and the alarm of mixed-up samples against what blood does."""

import pytest
from scipy.stats import fisher_exact

from inference.pipeline.config import DIFFERENTIAL_CLASSES
from inference.pipeline.delta import PLAUSIBLE, RED_SHAPES, compare, compare_red, implausible, newcombe

HEALTHY = {"neutrophil": 120, "lymphocyte": 60, "monocyte": 14, "eosinophil": 5, "basophil": 1}
INFECTED = {"neutrophil": 176, "lymphocyte": 16, "monocyte": 8}
CLL = {"neutrophil": 20, "lymphocyte": 176, "monocyte": 4}


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    # Newcombe 1998, Table II, method 10: 56/70 - 48/80, 9/10 - 3/10, 5/56 - 0/29, 10/10 - 0/10.
    [
        ((48, 80), (56, 70), 5.24, 33.39),
        ((3, 10), (9, 10), 17.05, 80.90),
        ((0, 29), (5, 56), -3.81, 19.26),
        ((0, 10), (10, 10), 60.75, 100.0),
    ],
)
def test_the_interval_of_a_difference_is_the_published_one(first, second, low, high):
    assert newcombe(first, second) == (pytest.approx(low, abs=0.011), pytest.approx(high, abs=0.011))


def by_class(before, after):
    return {change.key: change for change in compare(before, after)}


def test_what_two_readers_of_one_smear_differ_by_is_counting_error():
    again = {"neutrophil": 112, "lymphocyte": 69, "monocyte": 12, "eosinophil": 5, "basophil": 2}
    assert not any(change.beyond for change in compare(HEALTHY, again))


def test_an_infection_is_a_change_and_no_other_patient():
    found = by_class(HEALTHY, INFECTED)
    assert found["neutrophil"].beyond
    assert found["lymphocyte"].beyond
    assert not found["basophil"].beyond
    assert found["neutrophil"].low < found["neutrophil"].points < found["neutrophil"].high
    assert implausible(compare(HEALTHY, INFECTED), days=1) == ()


def test_red_cells_are_compared_by_shape_and_corrected_for_all_shapes():
    before = {"normal": 900, "macrocyte": 50, "target": 50}
    after = {"normal": 880, "microcyte": 100, "target": 20, "artifact": 70}
    found = {change.key: change for change in compare_red(before, after)}
    assert tuple(found) == RED_SHAPES and len(RED_SHAPES) == 12
    assert (found["normal"].before.count, found["normal"].after.count) == (950, 980)
    level = 0.05 / 12
    for key, first, second in (("normal", 950, 980), ("target", 50, 20)):
        change = found[key]
        table = [[first, 1000 - first], [second, 1000 - second]]
        assert change.beyond == (fisher_exact(table).pvalue < level) and change.beyond
        assert (change.low, change.high) == newcombe((first, 1000), (second, 1000), 1 - level)
    assert not found["sickle"].beyond
    assert compare_red(before, {"artifact": 5}) == ()


def test_lymphocytes_of_a_leukemia_do_not_vanish_in_two_days():
    found = implausible(compare(CLL, HEALTHY), days=2)
    assert [change.key for change in found] == ["lymphocyte"]


def test_after_a_fortnight_anything_may_have_happened():
    changes = compare(CLL, HEALTHY)
    assert implausible(changes, days=14.1) == ()
    assert implausible(changes, days=10) == ()


def test_few_cells_raise_no_alarm():
    few = {"lymphocyte": 99}
    assert compare(few, HEALTHY)[0].beyond
    assert implausible(compare(few, HEALTHY), days=1) == ()
    assert implausible(compare({"lymphocyte": 100}, HEALTHY), days=1)


def test_cells_outside_the_differential_count_for_nothing():
    assert compare({**HEALTHY, "erythroblast": 90}, HEALTHY) == compare(HEALTHY, HEALTHY)
    assert compare({"erythroblast": 9}, HEALTHY) == ()


def test_every_class_has_limits_that_grow_with_time():
    assert set(PLAUSIBLE) == set(DIFFERENTIAL_CLASSES)
    assert all(soon < later for soon, later in PLAUSIBLE.values())
