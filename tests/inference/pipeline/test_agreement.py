"""Kappa on tables whose answers can be worked out, and its error on resampled ones."""

from collections import Counter

import numpy as np
import pytest

from inference.pipeline.agreement import LEAST_PAIRS, agreement, cohens_kappa

TABLE = {
    ("a", "a"): 106, ("a", "b"): 10, ("a", "c"): 4,
    ("b", "a"): 22, ("b", "b"): 28, ("b", "c"): 10,
    ("c", "a"): 2, ("c", "b"): 12, ("c", "c"): 6,
}  # fmt: skip
"""200 pairs: 0.70 alike; by chance 0.60·0.65 + 0.30·0.25 + 0.10·0.10 = 0.475."""


def test_kappa_is_what_the_margins_leave():
    assert cohens_kappa(TABLE).value == pytest.approx((0.7 - 0.475) / (1 - 0.475))


def test_the_error_is_that_of_resampled_tables():
    pairs, counts = list(TABLE), np.array(list(TABLE.values()))
    drawn = np.random.default_rng(4).multinomial(counts.sum(), counts / counts.sum(), 2000)
    values = [cohens_kappa(dict(zip(pairs, map(int, row), strict=True))).value for row in drawn]
    found = cohens_kappa(TABLE)
    assert (found.high - found.low) / 3.92 == pytest.approx(np.std(values), rel=0.06)


def test_full_agreement_is_one_and_none_beyond_chance_is_zero():
    assert cohens_kappa({("a", "a"): 30, ("b", "b"): 20}).value == pytest.approx(1)
    independent = {(one, other): 25 for one in "ab" for other in "ab"}
    assert cohens_kappa(independent).value == pytest.approx(0)
    assert cohens_kappa({("a", "b"): 50, ("b", "a"): 50}).value == pytest.approx(-1)


def test_one_class_only_and_no_pair_have_no_kappa():
    assert cohens_kappa({("a", "a"): 100}) is None
    assert cohens_kappa({}) is None


def test_of_few_pairs_only_the_rate_is_given():
    few = agreement(Counter({("a", "a"): LEAST_PAIRS - 2, ("a", "b"): 1}))
    assert (few.pairs, few.agreed.count, few.kappa, few.is_few) == (
        LEAST_PAIRS - 1,
        LEAST_PAIRS - 2,
        None,
        True,
    )
    enough = agreement(Counter({("a", "a"): LEAST_PAIRS - 2, ("a", "b"): 1, ("b", "b"): 1}))
    assert enough.kappa is not None
    assert enough.agreed.low < enough.agreed.percent < enough.agreed.high
