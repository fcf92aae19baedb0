"""What open cells could still change, on counts whose answer can be worked out by hand."""

from collections import Counter

import pytest

from inference.pipeline.config import RBC_GRADES_PERCENT
from inference.pipeline.stakes import OpenCall, Stake, StakeKind, open_stakes, options

RANGES = {"neutrophil": (50.0, 70.0), "lymphocyte": (20.0, 40.0)}
NEAR_LIMIT = Counter(neutrophil=102, lymphocyte=60, monocyte=38)
"""Of 200 leukocytes 51 % neutrophils: two fewer are 50 %, three fewer lie below the range."""


def flag(code, up):
    return Stake(StakeKind.FLAG, code, up)


def cell(now, *others):
    return OpenCall(now, frozenset((now, *others)))


def stakes(counts, *waiting, ranges=None, grades=None):
    return [set(found) for found in open_stakes(counts, waiting, ranges or {}, grades or {})]


def test_a_cell_that_could_be_the_first_blast_could_raise_the_flag():
    (found,) = stakes(NEAR_LIMIT, cell("lymphocyte", "blast"))
    assert found == {flag("blast_detected", True)}


def test_a_cell_that_cannot_be_a_blast_has_nothing_to_do_with_the_flag():
    maybe, never = stakes(NEAR_LIMIT, cell("lymphocyte", "blast"), cell("lymphocyte", "monocyte"))
    assert maybe
    assert not never


def test_open_blasts_take_the_flag_back_only_together():
    blasts = NEAR_LIMIT + Counter(blast=3)
    doubtful = cell("blast", "lymphocyte")
    assert stakes(blasts, *[doubtful] * 3) == [{flag("blast_detected", False)}] * 3
    assert stakes(blasts, *[doubtful] * 2) == [set(), set()]


def test_a_blast_that_is_settled_leaves_only_the_threshold_of_20_percent():
    counts = Counter(neutrophil=81, blast=19)
    (found,) = stakes(counts, cell("neutrophil", "blast"))
    assert found == {flag("possible_leukemia", True)}
    (found,) = stakes(Counter(neutrophil=80, blast=20), cell("blast", "neutrophil"))
    assert found == {flag("possible_leukemia", False)}


def test_left_shift_hangs_on_immature_cells_and_on_neutrophils():
    counts = Counter(neutrophil=100, immature_granulocyte=10, lymphocyte=50)
    ripe, unripe, neither = stakes(
        counts,
        cell("lymphocyte", "neutrophil"),
        cell("immature_granulocyte", "neutrophil"),
        cell("lymphocyte", "monocyte"),
    )
    assert ripe == unripe == {flag("left_shift", False)}
    assert not neither


def test_a_reference_limit_is_named_with_its_side():
    (found,) = stakes(NEAR_LIMIT, cell("neutrophil", "lymphocyte"), ranges=RANGES)
    assert not found
    three = stakes(NEAR_LIMIT, *[cell("neutrophil", "monocyte")] * 3, ranges=RANGES)
    assert three == [{Stake(StakeKind.REFERENCE, "neutrophil", False, 50.0)}] * 3


def test_a_share_outside_its_range_can_come_back_into_it():
    counts = Counter(neutrophil=99, lymphocyte=61, monocyte=40)
    (found,) = stakes(counts, cell("lymphocyte", "neutrophil"), ranges=RANGES)
    assert found == {Stake(StakeKind.REFERENCE, "neutrophil", True, 50.0)}
    counts = Counter(neutrophil=119, lymphocyte=81)
    (found,) = stakes(counts, cell("lymphocyte", "neutrophil"), ranges=RANGES)
    assert found == {Stake(StakeKind.REFERENCE, "lymphocyte", False, 40.0)}


def test_of_few_leukocytes_the_whole_interval_has_to_cross():
    few = Counter(neutrophil=11, lymphocyte=9)
    assert stakes(few, cell("neutrophil", "lymphocyte"), ranges=RANGES) == [set()]


def test_grades_of_red_cells_hang_on_their_limits():
    counts = Counter(normal=199, schistocyte=1)
    found, sickle = stakes(
        counts, cell("normal", "schistocyte"), cell("normal", "target"), grades=RBC_GRADES_PERCENT
    )
    assert found == {Stake(StakeKind.GRADE, "schistocyte", True)}
    assert not sickle
    few = Counter(normal=50, schistocyte=1)
    assert stakes(few, cell("normal", "schistocyte"), grades=RBC_GRADES_PERCENT) == [set()]


@pytest.mark.parametrize(
    ("probabilities", "named", "expected"),
    [
        ({"blast": 0.9, "lymphocyte": 0.06, "monocyte": 0.04}, (), {"blast", "lymphocyte"}),
        ({"blast": 0.99, "lymphocyte": 0.01}, ("monocyte",), {"blast", "monocyte"}),
        ({"blast": 1.0}, (), {"blast", "artifact"}),
    ],
)
def test_a_cell_could_be_what_something_speaks_for(probabilities, named, expected):
    assert options("blast", probabilities, named) == expected
