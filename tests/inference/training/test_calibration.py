import numpy as np
import pytest

from inference.pipeline.classification import Calibration, calibrate
from inference.pipeline.findings import Explanation, Method
from inference.training import calibration
from inference.training.calibration import (
    abstention_told,
    fit_abstention,
    fit_ood_above,
    fit_prediction_sets,
    fit_temperature,
    fitted_focus,
)

NAMES = ("neutrophil", "lymphocyte", "monocyte", "blast")


def test_the_focus_is_that_of_the_usual_method_and_the_strength_that_of_each():
    nothing = np.zeros((0, 0), np.float32)

    def looked(method, focus, strength):
        return Explanation(nothing, focus, strength, method)

    usual = [looked(Method.HIRES_CAM, focus, strength) for focus, strength in ((0.8, 0.2), (0.1, 0.3))]
    other = [looked(Method.GRAD_CAM, 0.05, strength) for strength in (0.0123456, 0.0123456)]
    fitted = fitted_focus([*other, *usual], np.array([True, False]))
    assert fitted == {"focus_below": 0.8, "heat_strength": {"grad_cam": 0.01235, "hires_cam": 0.25}}


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


def test_the_card_says_how_the_abstention_was_chosen():
    margins = np.linspace(0, 6, 600, dtype=np.float32)
    logits, confidence = np.stack([margins, np.zeros_like(margins)], axis=1), 1 / (1 + np.exp(-margins))
    fitted = np.where(confidence > 0.65, 0, 1)
    told = abstention_told(logits, fitted, 1.0, fit_abstention(logits, fitted, 1.0))
    assert told == "lowest confidence from which on 95% of validation calls are right"
    often_wrong = np.arange(600) % 2
    below = fit_abstention(logits, often_wrong, 1.0)
    told = abstention_told(logits, often_wrong, 1.0, below)
    assert below == 0.7
    assert "within 0.3 to 0.7: it is at that limit, and from 0.7 on 49.9% of 515 calls are right" in told


def labelled(rng, count):
    """Logits of a network that is honest about blasts and too sure of the rest, and the true classes; blasts
    are one cell in twelve."""
    labels = rng.choice(4, count, p=[0.5, 0.25, 1 / 6, 1 / 12])
    logits = rng.normal(0, 1, (count, 4))
    logits[np.arange(count), labels] += np.where(labels == 3, 1.0, 3.0)
    return logits.astype(np.float32), labels.astype(np.int64)


def in_set(logits, labels, level, least):
    calls = Calibration(NAMES, 1.0, 0.5, {level: least}).calls(logits)
    return np.array([NAMES[label] in call.sets[level] for call, label in zip(calls, labels, strict=True)])


@pytest.mark.parametrize("level", [95, 99])
def test_prediction_sets_hold_the_truth_as_often_as_they_say_in_every_class(level):
    logits, labels = labelled(np.random.default_rng(1), 6000)
    fitted = fit_prediction_sets(calibrate(logits, 1.0), labels, NAMES)
    logits, labels = labelled(np.random.default_rng(2), 6000)
    held = in_set(logits, labels, level, fitted[str(level)])
    for place in range(len(NAMES)):
        own = held[labels == place]
        # Both the threshold and the count vary, each binomially.
        spread = np.sqrt(2 * level / 100 * (1 - level / 100) / len(own))
        if place == 3:
            assert abs(own.mean() - level / 100) <= 3 * spread
        assert own.mean() >= level / 100 - 3 * spread


def test_one_threshold_for_all_would_fail_the_rare_class():
    """What the thresholds of each class are there for."""
    logits, labels = labelled(np.random.default_rng(1), 6000)
    probabilities = calibrate(logits, 1.0)
    own = probabilities[np.arange(len(labels)), labels]
    shared = dict.fromkeys(NAMES, float(np.sort(own)[int(0.05 * len(own))]))
    blasts = labels == 3
    assert in_set(logits[blasts], labels[blasts], 95, shared).mean() < 0.9
    fitted = fit_prediction_sets(probabilities, labels, NAMES)["95"]
    assert in_set(logits[blasts], labels[blasts], 95, fitted).mean() >= 0.95


def test_a_class_with_too_few_cells_has_the_threshold_of_all():
    logits, labels = labelled(np.random.default_rng(0), 2000)
    few = np.flatnonzero(labels == 3)[:120]
    kept = np.concatenate([np.flatnonzero(labels != 3), few])
    probabilities, labels = calibrate(logits, 1.0)[kept], labels[kept]
    fitted = fit_prediction_sets(probabilities, labels, NAMES)
    blasts = labels == 3
    assert blasts.sum() == 120
    own = reached(probabilities[blasts], labels[blasts], 0.95)
    assert fitted["95"]["blast"] == pytest.approx(own, abs=1e-6)
    assert own < reached(probabilities, labels, 0.95)
    # At 99 % they are too few, but the set of 99 % is to hold that of 95 %.
    expected = min(own, reached(probabilities, labels, 0.99))
    assert fitted["99"]["blast"] == pytest.approx(expected, abs=1e-6)


def test_the_sets_of_a_higher_level_hold_those_of_a_lower_one():
    """A class that is nearly never surely seen is on its own at 95 %, and with all others at 99 %."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [2000, 120])
    right = np.where(labels == 0, 0.97, rng.uniform(0.0, 0.2, len(labels)))
    probabilities = np.stack([right, 1 - right], axis=1)
    probabilities[labels == 1] = probabilities[labels == 1, ::-1]
    fitted = fit_prediction_sets(probabilities, labels, ("a", "b"))
    of_b = labels == 1
    assert reached(probabilities[of_b], labels[of_b], 0.95) < reached(probabilities, labels, 0.99)
    assert all(fitted["99"][name] <= fitted["95"][name] for name in ("a", "b"))


def reached(probabilities, labels, share):
    """The probability of their label that so many cells reach, one more counted."""
    own = np.sort(probabilities[np.arange(len(labels)), labels])
    return own[len(own) - int(np.ceil((len(own) + 1) * share))]


def test_the_correction_for_finite_samples(monkeypatch):
    """Of 19 cells the least sure one is the threshold for 95 %; 18 are too few for any."""
    monkeypatch.setattr(calibration, "LEVELS", (95,))
    probabilities = np.linspace(0.05, 0.95, 19)[:, None].repeat(2, axis=1)
    zeros = np.zeros(19, np.int64)
    assert fit_prediction_sets(probabilities, zeros, ("a", "b")) == {"95": {"a": 0.05, "b": 0.05}}
    with pytest.raises(ValueError, match="18 cells are too few"):
        fit_prediction_sets(probabilities[1:], zeros[1:], ("a", "b"))


def test_the_threshold_of_the_score_accepts_nineteen_of_twenty():
    rng = np.random.default_rng(3)
    above = fit_ood_above(rng.normal(size=4000))
    assert (rng.normal(size=4000) <= above).mean() == pytest.approx(0.95, abs=0.015)
    assert fit_ood_above(np.arange(19.0)) == 18.0
    with pytest.raises(ValueError, match="18 cells are too few"):
        fit_ood_above(np.arange(18.0))
