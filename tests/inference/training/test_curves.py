import numpy as np
import pytest

from inference.training.curves import (
    area_under_roc,
    coverage_accuracy,
    exact,
    operating_points,
    reliability,
    roc,
)

MEMBER = np.array([True, True, False, False])
SCORE = np.array([0.9, 0.4, 0.5, 0.1])


def test_area_counts_the_pairs_in_the_right_order():
    once = np.ones((1, 4), np.float32)
    assert area_under_roc(MEMBER, SCORE, once) == pytest.approx([3 / 4])
    assert area_under_roc(MEMBER, np.full(4, 0.5), once) == pytest.approx([1 / 2])
    twice = np.array([[1, 2, 1, 1]], np.float32)
    assert area_under_roc(MEMBER, SCORE, twice) == pytest.approx([4 / 6])
    assert np.isnan(area_under_roc(np.ones(4, bool), SCORE, once)).all()


def test_the_curve_has_the_same_area():
    rng = np.random.default_rng(2)
    member, score = rng.random(200) < 0.3, rng.integers(0, 12, 200) / 11
    curve = roc(member, score)
    assert (curve["sensitivity"][0], curve["sensitivity"][-1]) == (0.0, 1.0)
    area = np.trapezoid(curve["sensitivity"], curve["false_positive_rate"])
    assert area == pytest.approx(area_under_roc(member, score, np.ones((1, 200), np.float32))[0])


def test_reliability_of_known_confidences():
    bins = reliability(np.array([0.95, 0.95, 0.55, 1.0]), np.array([True, False, True, True]))
    assert [(one["n"], one["accuracy"]) for one in bins] == [(1, 1.0), (3, pytest.approx(2 / 3))]
    assert bins[1]["confidence"] == pytest.approx(2.9 / 3)


def test_the_surest_calls_come_first_and_ties_together():
    points = coverage_accuracy(np.array([0.6, 0.9, 0.9, 0.7]), np.array([False, True, False, True]))
    assert [(point["coverage"], point["accuracy"]) for point in points] == [
        (0.5, 0.5),
        (0.75, pytest.approx(2 / 3)),
        (1.0, 0.5),
    ]
    assert points[0]["least_confidence"] == 0.9


def test_operating_points_of_known_scores():
    member = np.array([True] * 10 + [False] * 10)
    score = np.array([*np.linspace(0.99, 0.9, 9), 0.2, 0.3, *np.linspace(0.19, 0.1, 9)])
    by_name = {point["wanted"]: point for point in operating_points(member, score)}
    ninety, all_found = by_name["recall ≥ 90 %"], by_name["recall ≥ 99 %"]
    assert (ninety["threshold"], ninety["recall"], ninety["precision"]) == (pytest.approx(0.9), 0.9, 1.0)
    assert (all_found["recall"], all_found["precision"]) == (1.0, pytest.approx(10 / 11))
    assert by_name["precision ≥ 90 %"]["recall"] == 1.0
    assert ninety["recall_95"] == exact(9, 10)


def test_the_exact_interval_of_all_right():
    assert exact(10, 10) == (pytest.approx(0.025 ** (1 / 10)), 1.0)
