"""Counting until decided: known intervals, and the number of cells that would decide."""

import pytest
from scipy.special import betaincinv

from inference.pipeline.decision import Side, Verdict, more_cells, per_100, verdict


@pytest.mark.parametrize(
    ("count", "total", "limit", "side"),
    [
        (40, 100, 20, Side.ABOVE),
        (5, 100, 20, Side.BELOW),
        (15, 100, 20, Side.UNDECIDED),
        (0, 0, 20, Side.UNDECIDED),
    ],
)
def test_the_whole_interval_decides(count, total, limit, side):
    assert verdict(count, total, limit).side is side


def high(share, total):
    return 100 * betaincinv(share * total + 1, total - share * total, 0.975)


def test_the_number_of_cells_is_the_first_that_leaves_the_limit_out():
    more = more_cells(15, 100, 20)
    assert high(0.15, 100 + more) < 20 <= high(0.15, 100 + more - 1)


def test_none_of_a_class_needs_a_rule_of_three():
    # None of n cells: below 1 % once 1 - 0.025**(1/n) < 0.01, which is from 368 cells on.
    assert more_cells(0, 100, 1) == 268


def test_all_of_a_class_is_decided_from_above():
    # All of n cells: above 70 % once 0.025**(1/n) > 0.7, which is from 11 cells on.
    assert more_cells(5, 5, 70) == 6


@pytest.mark.parametrize(("count", "total", "limit"), [(20, 100, 20), (0, 0, 20), (99, 500, 20)])
def test_what_no_reasonable_count_decides_is_said_not_to_be(count, total, limit):
    assert verdict(count, total, limit) == Verdict(limit, Side.UNDECIDED, None)


def test_ratios_have_the_interval_of_the_share_as_odds():
    found = per_100(10, 100)
    assert found.value == 10
    # Clopper-Pearson of 10 of 110: 4.4451 % to 16.0842 %.
    assert (found.low, found.high) == (pytest.approx(4.652, abs=0.01), pytest.approx(19.17, abs=0.05))
    assert per_100(0, 50).low == 0
    assert per_100(3, 0) is None
