import numpy as np
import pytest
from scipy.stats import binom

from inference.training.curves import exact
from inference.training.intervals import Outcome, intervals

LABELS = ["neutrophil", "lymphocyte"]


def outcome(truth, call, groups=None, score=None) -> Outcome:
    truth, call = np.array(truth), np.array(call)
    sure = np.where(call == 1, 0.8, 0.2) if score is None else np.array(score)
    chances = np.stack([1 - sure, sure], 1)
    return Outcome(LABELS, truth, call, np.ones(len(truth), bool), chances, groups or [""] * len(truth))


def test_recall_varies_as_a_binomial_share():
    found = intervals(outcome([0] * 100 + [1] * 100, [0] * 80 + [1] * 20 + [1] * 100))
    low, high = found["per_class"]["neutrophil"]["recall"]
    assert low == pytest.approx(binom.ppf(0.025, 100, 0.8) / 100, abs=0.011)
    assert high == pytest.approx(binom.ppf(0.975, 100, 0.8) / 100, abs=0.011)
    low, high = found["accuracy"]
    assert (low + high) / 2 == pytest.approx(0.9, abs=0.01)
    assert high - low < 0.1
    assert found["resampled"] == "cells within each class"


def test_where_all_are_right_the_interval_is_exact():
    found = intervals(outcome([0] * 10 + [1] * 30, [0] * 10 + [1] * 30))
    assert found["per_class"]["neutrophil"]["recall"] == exact(10, 10)
    assert found["accuracy"] == exact(40, 40)
    assert found["per_class"]["neutrophil"]["auc"] == exact(10, 10)


def test_patients_are_drawn_whole():
    """One patient all right, one all wrong: a resample holds one, the other, or both."""
    truth, call = [0, 1] * 40, [0, 1] * 20 + [1, 0] * 20
    found = intervals(outcome(truth, call, ["a"] * 40 + ["b"] * 40))
    assert found["accuracy"] == (0.0, 1.0)
    assert found["resampled"] == "2 patients or smears"
    by_cell = intervals(outcome(truth, call))["accuracy"]
    assert 0.35 < by_cell[0] < by_cell[1] < 0.65


def test_a_class_without_cells_or_calls_has_no_interval():
    found = intervals(outcome([0, 0, 0], [0, 0, 0]))
    assert found["per_class"]["lymphocyte"] == {"recall": None, "precision": None, "auc": None}
    assert found["macro_auc"] is None


def test_the_same_cells_give_the_same_intervals():
    rng = np.random.default_rng(1)
    made = outcome(rng.integers(0, 2, 60), rng.integers(0, 2, 60), score=rng.random(60))
    assert intervals(made) == intervals(made)
    assert made.confusion.sum() == 60
