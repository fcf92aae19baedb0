"""Bootstrapped 95 % intervals of the figures of an evaluation (Efron and Tibshirani 1993, percentile method).

Where the patient or smear of every cell is known, patients are drawn, because the cells of one patient are
alike; else cells are drawn within each true class, so that every resample has the classes of the set.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.training.curves import Interval, area_under_roc, exact

RESAMPLES = 2000
SEED = 1
LEVEL = 0.95
AT_ONCE = 100

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation found: of each of n cells the `truth` and the `call`, int64 (n,), as places in
    `labels`; `covered`, bool (n,), where the network did not abstain; the `probabilities`, float64
    (n, labels), 0 for a class that cannot be called; and the `groups`, patients or smears, "" where
    unknown."""

    labels: Sequence[str]
    truth: NDArray[np.int64]
    call: NDArray[np.int64]
    covered: NDArray[np.bool_]
    probabilities: Values
    groups: Sequence[str]

    @property
    def grouped(self) -> bool:
        """Whether the patient or smear of every cell is known, and there is more than one."""
        return all(self.groups) and len(set(self.groups)) > 1

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Cells by truth (rows) and call (columns), int64 (labels, labels)."""
        counted: NDArray[np.int64] = np.zeros((len(self.labels),) * 2, np.int64)
        np.add.at(counted, (self.truth, self.call), 1)
        return counted


def resampled(outcome: Outcome) -> Iterator[NDArray[np.float32]]:
    """Draw how often each cell is in each resample, float32 (100, n) at a time; the same in every run."""
    random = np.random.default_rng(SEED)
    for _ in range(RESAMPLES // AT_ONCE):
        if outcome.grouped:
            _, group = np.unique(np.asarray(outcome.groups), return_inverse=True)
            yield _drawn(random, int(group.max()) + 1)[:, group]
            continue
        drawn = np.zeros((AT_ONCE, len(outcome.truth)), np.float32)
        for label in np.unique(outcome.truth):
            members = np.flatnonzero(outcome.truth == label)
            drawn[:, members] = _drawn(random, len(members))
        yield drawn


def _drawn(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Draw `count` of `count` with replacement, 100 times: how often each was drawn, (100, count)."""
    chosen = random.integers(0, count, (AT_ONCE, count)) + count * np.arange(AT_ONCE)[:, None]
    return np.bincount(chosen.ravel(), minlength=AT_ONCE * count).reshape(AT_ONCE, count).astype(np.float32)


def intervals(outcome: Outcome) -> dict[str, Any]:
    """Return the 95 % intervals of all figures, [low, high], None where a figure has no value.

    `accuracy, balanced_accuracy, macro_f1, coverage, accuracy_covered, macro_auc` and `per_class` with
    `recall, precision, auc`; and how they were made. Where every resample agrees, as it must when no cell or
    every cell is right, the interval is the exact one of Clopper and Pearson.
    """
    drawn = [_figures(outcome, weights) for weights in resampled(outcome)]
    values = {name: np.concatenate([part[name] for part in drawn]) for name in drawn[0]}
    (whole,) = _rows(_figures(outcome, np.ones((1, len(outcome.truth)), np.float32)))
    counts = _counts(outcome)
    made = {name: _interval(values[name], whole[name], counts[name]) for name in SINGLE}
    per_class = {
        label: {
            name: _interval(values[name][:, place], whole[name][place], counts[name][place])
            for name in ("recall", "precision", "auc")
        }
        for place, label in enumerate(outcome.labels)
    }
    return {**_method(outcome), **made, "per_class": per_class}


SINGLE = ("accuracy", "balanced_accuracy", "macro_f1", "coverage", "accuracy_covered", "macro_auc")


def _rows(figures: Mapping[str, Values]) -> list[dict[str, Any]]:
    count = len(figures["accuracy"])
    return [{name: values[row] for name, values in figures.items()} for row in range(count)]


def _method(outcome: Outcome) -> dict[str, Any]:
    unit = f"{len(set(outcome.groups))} patients or smears" if outcome.grouped else "cells within each class"
    return {"level": LEVEL, "method": "bootstrap, percentile", "resampled": unit, "resamples": RESAMPLES,
            "seed": SEED}  # fmt: skip


def _figures(outcome: Outcome, weights: NDArray[np.float32]) -> dict[str, Values]:
    """Return every figure of resamples whose cells have `weights` (resamples, n): (resamples,) or
    (resamples, labels), NaN where one has no value."""
    size = len(outcome.labels)
    cell: NDArray[np.float32] = np.eye(size * size, dtype=np.float32)[outcome.truth * size + outcome.call]
    confusion = (weights @ cell).reshape(-1, size, size).astype(np.float64)
    hits = confusion.diagonal(axis1=1, axis2=2)
    support, called = confusion.sum(axis=2), confusion.sum(axis=1)
    total, covered = weights.sum(axis=1), weights @ outcome.covered.astype(np.float32)
    right = (outcome.covered & (outcome.truth == outcome.call)).astype(np.float32)
    recall, area = _ratio(hits, support), _areas(outcome, weights)
    f1 = np.where(support > 0, _ratio(2 * hits, called + support), np.nan)
    return {
        "accuracy": hits.sum(axis=1) / total,
        "balanced_accuracy": _mean(recall),
        "macro_f1": _mean(f1),
        "coverage": covered / total,
        "accuracy_covered": _ratio(weights @ right, covered),
        "macro_auc": _mean(area),
        "recall": recall,
        "precision": _ratio(hits, called),
        "auc": area,
    }


def _areas(outcome: Outcome, weights: NDArray[np.float32]) -> Values:
    columns = zip(range(len(outcome.labels)), outcome.probabilities.T, strict=True)
    return np.stack([area_under_roc(outcome.truth == place, score, weights) for place, score in columns], 1)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Values:
    return np.where(whole > 0, part / np.maximum(whole, 1e-9), np.nan)


def _mean(values: Values) -> Values:
    """Return the mean over the classes that have a value, NaN where none has."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1))


def _counts(outcome: Outcome) -> dict[str, Any]:
    """Return of how many cells each figure is a share: the n of its exact interval."""
    count, covered, confusion = len(outcome.truth), int(outcome.covered.sum()), outcome.confusion
    support, called = confusion.sum(axis=1), confusion.sum(axis=0)
    fewest = np.minimum(support, count - support)
    return {
        **dict.fromkeys(SINGLE, count),
        "accuracy_covered": covered,
        "recall": support,
        "precision": called,
        "auc": fewest,
    }


def _interval(values: Values, value: float, count: int) -> Interval | None:
    known = values[~np.isnan(values)]
    if np.isnan(value) or not known.size or not count:
        return None
    low, high = np.percentile(known, [50 * (1 - LEVEL), 50 * (1 + LEVEL)]).tolist()
    return (low, high) if high - low > 1e-9 else exact(round(value * count), int(count))
