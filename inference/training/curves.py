"""The curves of an evaluation: receiver operating characteristic, reliability, coverage against accuracy,
and the operating points of one class."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.aggregation import share

BINS = 15
CURVE_POINTS = 101
WANTED_RECALLS = (0.90, 0.95, 0.98, 0.99)
WANTED_PRECISION = 0.90

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]
Interval = tuple[float, float]


def area_under_roc(member: Flags, score: Scores, weights: NDArray[np.float32]) -> Scores:
    """Return the area under the receiver operating characteristic: how often a member scores higher.

    `member` bool (n,), `score` float64 (n,), `weights` (resamples, n) how often each cell counts. Ties count
    half. Gives float64 (resamples,), NaN where all are members or none is. Source: Hanley and McNeil 1982.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    drawn = weights[:, order].astype(np.float64)
    inside = np.add.reduceat(drawn * member[order], starts, axis=1)
    outside = np.add.reduceat(drawn * ~member[order], starts, axis=1)
    below = np.cumsum(outside, axis=1) - outside / 2
    pairs = inside.sum(axis=1) * outside.sum(axis=1)
    return np.where(pairs > 0, (inside * below).sum(axis=1) / np.maximum(pairs, 1e-9), np.nan)


def roc(member: Flags, score: Scores) -> dict[str, list[float]]:
    """Return the receiver operating characteristic at every score: `false_positive_rate` and `sensitivity`,
    both rising from 0 to 1. There must be members and others."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    found, wrong = np.cumsum(member[order])[ends], np.cumsum(~member[order])[ends]
    return {
        "false_positive_rate": [0.0, *(wrong / wrong[-1]).tolist()],
        "sensitivity": [0.0, *(found / found[-1]).tolist()],
    }


def reliability(confidence: Scores, correct: Flags) -> list[dict[str, Any]]:
    """Return 15 equal bins of confidence that hold cells: `low, high, n, confidence` (mean)`, accuracy` and
    its exact `accuracy_95`. Source: Guo et al. 2017."""
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "low": place / BINS,
            "high": (place + 1) / BINS,
            "confidence": float(confidence[inside].mean()),
            **_rate("accuracy", int(correct[inside].sum()), int(inside.sum())),
            "n": int(inside.sum()),
        }
        for place in range(BINS)
        if (inside := places == place).any()
    ]


def coverage_accuracy(confidence: Scores, correct: Flags) -> list[dict[str, float]]:
    """Return what accuracy the surest calls have: at most 101 points of `coverage`, the share of cells kept,
    `accuracy` among them, and the `least_confidence` kept; cells of equal confidence stay together."""
    order = np.argsort(-confidence, kind="stable")
    ends = np.flatnonzero(np.diff(confidence[order], append=-np.inf))
    chosen = ends[spread(len(ends))]
    accuracy = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    return [
        {
            "coverage": float((end + 1) / len(order)),
            "accuracy": float(accuracy[end]),
            "least_confidence": float(confidence[order[end]]),
        }
        for end in chosen.tolist()
    ]


def spread(count: int) -> NDArray[np.int64]:
    """Return which of so many points of a curve to keep: at most 101, evenly spread, with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, CURVE_POINTS)).round().astype(np.int64))


def operating_points(member: Flags, score: Scores) -> list[dict[str, Any]]:
    """Return what a threshold on one class's probability gives: the highest threshold for each of some
    recalls, and the one of the greatest recall at a precision of 90 %.

    Each has `wanted, threshold, recall, precision` with exact intervals; a point that no threshold reaches is
    left out. There must be members.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    hits, called, total = np.cumsum(member[order])[ends], ends + 1, int(member.sum())
    places = {
        f"recall ≥ {100 * wanted:.0f} %": int(np.argmax(hits >= wanted * total)) for wanted in WANTED_RECALLS
    }
    precise = np.flatnonzero(hits / called >= WANTED_PRECISION)
    if precise.size:
        places[f"precision ≥ {100 * WANTED_PRECISION:.0f} %"] = int(precise[-1])
    return [
        {
            "wanted": wanted,
            "threshold": float(score[order[ends[place]]]),
            **_rate("recall", int(hits[place]), total),
            **_rate("precision", int(hits[place]), int(called[place])),
        }
        for wanted, place in places.items()
    ]


def _rate(name: str, count: int, total: int) -> dict[str, Any]:
    return {name: count / total, f"{name}_95": exact(count, total), f"{name}_n": total}


def exact(count: int, total: int) -> Interval:
    """Return the exact 95 % interval of a share (Clopper and Pearson 1934), 0–1."""
    given = share(count, total)
    return given.low / 100, given.high / 100
