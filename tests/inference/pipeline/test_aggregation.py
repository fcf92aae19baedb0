"""Counts, exact intervals, ratios and flags, against answers from the books."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from inference.pipeline.aggregation import aggregate, share
from inference.pipeline.findings import Call, Cell, Instance, Kind


def cell(number: int, kind: Kind, label: str | None = None, reasons: tuple[str, ...] = ()) -> Cell:
    instance = Instance(kind, (0, 0, 10, 10), (), (5.0, 5.0), 80, 0.9)
    call = Call(label, 0.8, {label: 0.8}) if label else None
    return Cell(number, instance, call, reasons)


def cells(**labels: int) -> list[Cell]:
    flat = [label for label, count in labels.items() for _ in range(count)]
    return [cell(number, Kind.WBC, label) for number, label in enumerate(flat)]


@given(st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_are_clopper_pearson(pair):
    count, total = pair
    found = share(count, total)
    if total == 0:
        assert (found.low, found.high) == (0.0, 100.0)
        return
    exact = binomtest(count, total).proportion_ci(0.95, "exact")
    assert found.percent == pytest.approx(100 * count / total)
    assert found.low == pytest.approx(100 * exact.low, abs=1e-6)
    assert found.high == pytest.approx(100 * exact.high, abs=1e-6)


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5)])
def test_an_impossible_count_is_an_error(count, total):
    with pytest.raises(ValueError, match="cannot be a part"):
        share(count, total)


def test_artifacts_erythroblasts_and_platelets_are_not_in_the_hundred_per_cent():
    found = aggregate(
        [
            *cells(neutrophil=6, lymphocyte=4, erythroblast=2, artifact=3, platelet=1),
            *(cell(n, Kind.RBC) for n in range(100, 150)),
            cell(200, Kind.PLATELET),
        ]
    )
    assert found.wbc_count == 10
    assert sum(s.percent for s in found.differential.values()) == pytest.approx(100)
    assert found.erythroblasts_per_100_wbc == 20
    assert found.platelet_count == 2
    assert found.artifact_count == 3
    assert found.total_cells == 10 + 2 + 1 + 50 + 1
    assert found.rbc_wbc_ratio == 5
    assert found.myeloid_erythroid_ratio == 3


def test_without_white_cells_nothing_is_divided_by_zero():
    found = aggregate([cell(1, Kind.RBC)])
    assert found.rbc_wbc_ratio is None
    assert found.left_shift_index is None
    assert found.mean_confidence is None
    assert found.differential["neutrophil"].high == 100.0


def codes(**labels: int) -> set[str]:
    return {flag.code for flag in aggregate(cells(**labels)).flags}


def test_flags():
    assert codes(neutrophil=60, lymphocyte=40) == set()
    assert codes(neutrophil=99, blast=1) == {"blast_detected"}
    assert codes(neutrophil=80, blast=20) == {"blast_detected", "possible_leukemia"}
    assert codes(neutrophil=80, immature_granulocyte=20) == {"left_shift"}
    assert codes(neutrophil=100, erythroblast=1) == {"erythroblasts_present"}
    assert codes(neutrophil=99) == {"few_cells"}


def test_three_blasts_of_five_cells_are_too_few_to_speak_of_leukemia():
    assert codes(blast=3, lymphocyte=2) == {"blast_detected", "few_cells"}


def test_uncertain_share_is_of_classified_cells():
    unsure = cell(1, Kind.WBC, "monocyte", ("low_confidence",))
    found = aggregate([unsure, cell(2, Kind.WBC, "monocyte"), cell(3, Kind.RBC)])
    assert found.uncertain_share == 0.5
    assert found.mean_confidence == pytest.approx(0.8)
