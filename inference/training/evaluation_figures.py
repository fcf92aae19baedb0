"""Everything an evaluation of the white-cell network states: fixed figures, their intervals, the curves."""

from collections import Counter
from typing import Any

import numpy as np

from inference.pipeline.findings import Call
from inference.training.curves import coverage_accuracy, exact, operating_points, reliability, roc, spread
from inference.training.evaluate_wbc import Measured
from inference.training.intervals import Outcome, intervals

DIGITS = 6
BLAST = "blast"


def detailed(measured: Measured) -> dict[str, Any]:
    """Return the figures under their fixed names, and beside them `intervals_95, roc, reliability,
    coverage_accuracy`; `blast_operating_points` where blasts occur, `prediction_sets` and
    `out_of_distribution` where the network's card has thresholds for them."""
    figures = measured.figures()
    outcome = _outcome(measured, figures["labels"])
    confidence = np.array([call.confidence for call in measured.calls])
    correct = outcome.truth == outcome.call
    made = {
        **figures,
        "intervals_95": intervals(outcome),
        "roc": _curves(outcome),
        "reliability": reliability(confidence, correct),
        "coverage_accuracy": coverage_accuracy(confidence, correct),
        **_blasts(outcome),
        **_prediction_sets(measured),
        **_out_of_distribution(measured.calls),
    }
    rounded: dict[str, Any] = _rounded(made)
    return rounded


def _outcome(measured: Measured, labels: list[str]) -> Outcome:
    place = {name: index for index, name in enumerate(labels)}
    return Outcome(
        labels,
        np.array([place[sample.label] for sample in measured.samples]),
        np.array([place[call.label] for call in measured.calls]),
        np.array([not call.abstained for call in measured.calls]),
        np.array([[call.probabilities.get(name, 0.0) for name in labels] for call in measured.calls]),
        [sample.group for sample in measured.samples],
    )


def _curves(outcome: Outcome) -> dict[str, Any]:
    """Return the one-vs-rest curve of every class that some cells belong to and others do not, thinned, and
    the area under each as intervals_95 has it; the macro area is their mean."""
    per_class = {}
    for place, label in enumerate(outcome.labels):
        member = outcome.truth == place
        if member.any() and not member.all():
            per_class[label] = _curve(member, outcome.probabilities[:, place])
    areas = [curve["auc"] for curve in per_class.values()]
    return {"macro_auc": float(np.mean(areas)) if areas else None, "per_class": per_class}


def _curve(member: Any, score: Any) -> dict[str, Any]:
    curve = roc(member, score)
    chosen = spread(len(curve["sensitivity"]))
    area = np.trapezoid(curve["sensitivity"], curve["false_positive_rate"])
    thinned = {axis: [values[place] for place in chosen] for axis, values in curve.items()}
    return {"auc": float(area), **thinned}


def _blasts(outcome: Outcome) -> dict[str, Any]:
    if BLAST not in outcome.labels:
        return {}
    place = list(outcome.labels).index(BLAST)
    member = outcome.truth == place
    if not member.any():
        return {}
    return {"blast_operating_points": operating_points(member, outcome.probabilities[:, place])}


def _prediction_sets(measured: Measured) -> dict[str, Any]:
    """Return for each level how often the true class is in the set, and how many sets have which size."""
    levels = sorted({level for call in measured.calls for level in call.sets})
    made = {}
    for level in levels:
        sets = [call.sets[level] for call in measured.calls]
        hits = sum(sample.label in of_call for sample, of_call in zip(measured.samples, sets, strict=True))
        sizes = Counter(len(of_call) for of_call in sets)
        made[str(level)] = {
            "coverage": hits / len(sets),
            "coverage_95": exact(hits, len(sets)),
            "mean_size": sum(size * count for size, count in sizes.items()) / len(sets),
            "sizes": {str(size): sizes[size] for size in sorted(sizes)},
        }
    return {"prediction_sets": made} if made else {}


def _out_of_distribution(calls: Any) -> dict[str, Any]:
    scored: list[Call] = [call for call in calls if call.ood_score is not None]
    if not scored:
        return {}
    count = sum(call.out_of_distribution for call in scored)
    share = {"count": count, "share": count / len(scored), "share_95": exact(count, len(scored))}
    return {"out_of_distribution": share}


def _rounded(value: Any) -> Any:
    """Round every number in nested lists and dictionaries; what follows is noise and a large file."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return round(value, DIGITS) if isinstance(value, float) else value
