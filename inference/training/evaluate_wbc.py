"""Measure the white-cell network on labelled images of single cells: accuracy, calibration, abstention."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.classification import classify
from inference.pipeline.config import Config
from inference.pipeline.findings import Call, Image
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import Card
from inference.pipeline.single_cell import Square, cut_out
from inference.training.evaluate_segmentation import read_rgb
from inference.training.labels import Sample
from inference.training.perturb import perturb

CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class Measured:
    """The network's calls on labelled images, one per sample; `found` says where a cell was found."""

    card: Card
    samples: Sequence[Sample]
    calls: Sequence[Call]
    found: Sequence[bool]

    def figures(self) -> dict[str, Any]:
        """Return the figures under their fixed names, and which network they belong to."""
        figures = evaluate([sample.label for sample in self.samples], self.calls)
        card = {"name": self.card.name, "version": self.card.version, "sha256": self.card.sha256}
        return {**figures, "whole_frame": self.found.count(False), "card": card}

    def rows(self, folder: Path) -> list[dict[str, Any]]:
        """Return one row per image, files relative to `folder`."""
        return [
            {
                "file": sample.path.relative_to(folder).as_posix(),
                "truth": sample.label,
                "call": call.label,
                "confidence": round(call.confidence, 4),
                "abstained": call.abstained,
                "whole_frame": not found,
                **{name: round(value, 4) for name, value in call.probabilities.items()},
            }
            for sample, call, found in zip(self.samples, self.calls, self.found, strict=True)
        ]


def cut_squares(samples: Sequence[Sample], card: Card, perturbation: str | None = None) -> list[Square]:
    """Cut the cells out as the product does, each image changed first when a perturbation is named."""
    return [
        cut_out(_changed(read_rgb(sample.path), perturbation, number), card, Config())
        for number, sample in enumerate(samples)
    ]


def _changed(image: Image, perturbation: str | None, seed: int) -> Image:
    return perturb(image, perturbation, seed) if perturbation else image


def views_of(squares: Sequence[Square]) -> list[list[Image]]:
    """Return the crops of all cells, once for each view; a cell with fewer views repeats its own colours."""
    count = max(len(square.views) for square in squares)
    return [
        [square.views[min(view, len(square.views) - 1)][0] for square in squares] for view in range(count)
    ]


def measure(
    samples: Sequence[Sample], declared: Sequence[str] | None = None, perturbation: str | None = None
) -> Measured:
    """Send images of single cells through the product's own segment, crop, pad and classify.

    `declared` names the classes that can occur; `perturbation` changes every image first.
    """
    network = runtime.load(registry.WBC_NETWORK)
    squares = cut_squares(samples, network.card, perturbation)
    calls = classify(views_of(squares), network, declared)
    return Measured(network.card, samples, calls, [square.found for square in squares])


def evaluate(truths: Sequence[str], calls: Sequence[Call]) -> dict[str, Any]:
    """Compare calls with the truth.

    Takes one true class and one call per cell. Gives the figures under the fixed names: `n, accuracy,
    balanced_accuracy, macro_f1, per_class, labels, confusion` (rows truth, columns call)`, ece, coverage,
    accuracy_covered`. Balanced accuracy and macro F1 average over the classes that occur in the truth.

    Raises ValueError when there is nothing to compare.
    """
    if not truths or len(truths) != len(calls):
        raise ValueError("There must be as many calls as true classes, and at least one.")
    labels = _order(truths, calls)
    confusion = _confusion(truths, calls, labels)
    correct = np.array([call.label == truth for truth, call in zip(truths, calls, strict=True)])
    covered = np.array([not call.abstained for call in calls])
    per_class = _per_class(confusion, labels)
    present = [figures for figures in per_class.values() if figures["support"]]
    return {
        "n": len(truths),
        "accuracy": float(correct.mean()),
        "balanced_accuracy": float(np.mean([figures["recall"] for figures in present])),
        "macro_f1": float(np.mean([figures["f1"] for figures in present])),
        "per_class": per_class,
        "labels": labels,
        "confusion": confusion.tolist(),
        "ece": calibration_error(np.array([call.confidence for call in calls]), correct),
        "coverage": float(covered.mean()),
        "accuracy_covered": float(correct[covered].mean()) if covered.any() else None,
    }


def _order(truths: Sequence[str], calls: Sequence[Call]) -> list[str]:
    """Return the classes that occur, in the order in which the network lists them."""
    seen = {*truths, *(call.label for call in calls)}
    known = [name for name in calls[0].probabilities if name in seen]
    return known + sorted(seen.difference(known))


def _confusion(truths: Sequence[str], calls: Sequence[Call], labels: Sequence[str]) -> NDArray[np.int64]:
    place = {name: index for index, name in enumerate(labels)}
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for truth, call in zip(truths, calls, strict=True):
        confusion[place[truth], place[call.label]] += 1
    return confusion


def _per_class(confusion: NDArray[np.int64], labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return precision, recall, F1 and support of each class; a rate without a denominator counts as 0."""
    hits = confusion.diagonal()
    called, support = confusion.sum(axis=0), confusion.sum(axis=1)
    precision = hits / np.maximum(called, 1)
    recall = hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(called + support, 1)
    return {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": int(support[i]),
        }
        for i, name in enumerate(labels)
    }


def calibration_error(confidences: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over 15 equal bins of confidence, 0 best, 1 worst.

    `confidences` float64 (n,) in 0–1, `correct` bool (n,). Source: Naeini et al. 2015.
    """
    bins = np.minimum((confidences * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    weights = np.bincount(bins, minlength=CALIBRATION_BINS)
    gaps = np.bincount(bins, confidences - correct, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / weights.sum())
