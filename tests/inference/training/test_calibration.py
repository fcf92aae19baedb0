import numpy as np
import pytest

from inference.training.calibration import fit_abstention, fit_temperature


def test_temperature_of_overconfident_logits_is_found():
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    chances = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(5, p=row / row.sum()) for row in chances.astype(np.float64)])
    assert fit_temperature(honest * 3, labels) == pytest.approx(3.0, rel=0.1)


def test_abstention_starts_where_one_call_in_twenty_is_wrong():
    margins = np.linspace(0, 6, 600, dtype=np.float32)
    logits = np.stack([margins, np.zeros_like(margins)], axis=1)
    confidence = 1 / (1 + np.exp(-margins))
    labels = np.where(confidence > 0.65, 0, 1)
    threshold = fit_abstention(logits, labels, 1.0)
    kept = confidence >= threshold
    assert threshold < 0.65
    assert (labels[kept] == 0).mean() == pytest.approx(0.95, abs=0.005)


def test_abstention_stays_within_its_bounds():
    logits = np.array([[9.0, 0.0]] * 10, np.float32)
    assert fit_abstention(logits, np.ones(10, np.int64), 1.0) == 0.7
    flat = np.array([[0.1, 0.0]] * 10, np.float32)
    assert fit_abstention(flat, np.zeros(10, np.int64), 1.0) == pytest.approx(0.525, abs=0.01)
