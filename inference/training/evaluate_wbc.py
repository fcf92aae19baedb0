"""Measure the white-cell network on labelled cells: accuracy, calibration, abstention."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.classification import Answers, Calibration, answers
from inference.pipeline.config import Config
from inference.pipeline.errors import PipelineError, UnreadableImage
from inference.pipeline.findings import Call, Image
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import Network
from inference.pipeline.single_cell import Square
from inference.training.boxed_cells import cut_labelled
from inference.training.cell_images import read_cell_image
from inference.training.curves import BINS
from inference.training.labels import Listing, Sample, Skipped
from inference.training.laboratories import pixel_um
from inference.training.perturb import perturb

CELLS_AT_ONCE = 128
REASONS_TOLD = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """The network's calls on labelled cells, one per sample.

    `found` says where a cell was found, `skipped` what could not be measured and why, and `crops` holds the
    squares that were misclassified, uint8 RGB, by their place in `samples`.
    """

    card: Card
    samples: Sequence[Sample]
    calls: Sequence[Call]
    found: Sequence[bool]
    skipped: Sequence[Skipped] = ()
    crops: Mapping[int, Image] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """Return the figures under their fixed names, and which network they belong to."""
        figures = evaluate([sample.label for sample in self.samples], self.calls)
        return {**figures, "whole_frame": self.found.count(False), **measured_by(self.card, self.skipped)}

    def rows(self, folder: Path) -> list[dict[str, Any]]:
        """Return one row per cell, files relative to `folder`."""
        return [
            row_of(sample, call, folder, whole_frame=not found)
            for sample, call, found in zip(self.samples, self.calls, self.found, strict=True)
        ]


def measured_by(card: Card, skipped: Sequence[Skipped]) -> dict[str, Any]:
    """Return what figures say of the network they belong to, and of what was left out."""
    return {"card": asdict(card.used), "skipped": [asdict(one) for one in skipped]}


def row_of(sample: Sample, call: Call, folder: Path, **more: bool) -> dict[str, Any]:
    """Return the row of one call, its file relative to `folder`."""
    return {
        "file": sample.path.relative_to(folder).as_posix(),
        "truth": sample.label,
        "call": call.label,
        "confidence": round(call.confidence, 4),
        "abstained": call.abstained,
        **more,
        **{name: round(value, 4) for name, value in call.probabilities.items()},
    }


@dataclass(slots=True)
class _Collected:
    """What a measurement has come to so far."""

    samples: list[Sample] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    crops: dict[int, Image] = field(default_factory=dict)

    def add(self, sample: Sample, square: Square, call: Call) -> None:
        if call.label != sample.label:
            self.crops[len(self.samples)] = square.crop
        self.samples.append(sample)
        self.calls.append(call)
        self.found.append(square.found)


def cut_squares(samples: Sequence[Sample], card: Card, perturbation: str | None = None) -> list[Square]:
    """Cut the cells out as the product does, each image changed first when a perturbation is named.

    Raises UnreadableImage or UnsupportedImage for the first image that cannot be read.
    """
    return [_cut(sample, card, perturbation, number) for number, sample in enumerate(samples)]


def _cut(sample: Sample, card: Card, perturbation: str | None, seed: int) -> Square:
    image = read_cell_image(sample.path)
    changed = perturb(image, perturbation, seed) if perturbation else image
    return cut_labelled(changed, sample.box, card, Config(pixel_um=pixel_um(sample)))


def ask(squares: Sequence[Square], network: Network) -> Answers:
    """Ask a network about cells of several images, of which one may lack a view that others have.

    As in an analysis the answer for a cell is the weighted mean over the views that it has.
    """
    places, said = list[int](), list[Answers]()
    for names in dict.fromkeys(tuple(square.views) for square in squares):
        alike = [place for place, square in enumerate(squares) if tuple(square.views) == names]
        said.append(answers(views_of([squares[place] for place in alike]), network))
        places += alike
    back = np.argsort(places)
    columns = ([getattr(part, column.name) for part in said] for column in fields(Answers))
    return Answers(*(np.concatenate(parts)[back] for parts in columns))


def views_of(squares: Sequence[Square]) -> dict[str, list[Image]]:
    """Return the crops of cells, once for each view; raises ValueError where one lacks a view of the others,
    for which there is `ask`."""
    if len({tuple(square.views) for square in squares}) > 1:
        raise ValueError("The cells are not all seen in the same views.")
    return {name: [square.views[name][0] for square in squares] for name in squares[0].views}


def measure(
    listing: Listing, declared: Sequence[str] | None = None, perturbation: str | None = None
) -> Measured:
    """Send labelled cells through the product's own segment, crop, pad and classify.

    `declared` names the classes that can occur; `perturbation` changes every image first. Images that cannot
    be read are skipped.

    Raises UnreadableImage when none can be read, PipelineError for a declared class that the network lacks.
    """
    network = runtime.load(registry.WBC_NETWORK)
    calibration = Calibration.of(network.card)
    got, skipped = _Collected(), list(listing.skipped)
    for batch in _squares(listing, network.card, perturbation, skipped):
        calls = calibration.calls(ask([square for _, square in batch], network).logits, declared)
        for (sample, square), call in zip(batch, calls, strict=True):
            got.add(sample, square, call)
    if not got.samples:
        raise all_skipped(skipped[len(listing.skipped) :])
    return Measured(network.card, got.samples, got.calls, got.found, skipped, got.crops)


def _squares(
    listing: Listing, card: Card, perturbation: str | None, skipped: list[Skipped]
) -> Iterator[list[tuple[Sample, Square]]]:
    """Cut the cells out, so many at once that their crops fit in memory; adds to `skipped`."""
    batch: list[tuple[Sample, Square]] = []
    for number, sample in enumerate(listing.samples):
        try:
            batch.append((sample, _cut(sample, card, perturbation, number)))
        except PipelineError as error:
            skipped.append(Skipped(listing.name_of(sample), error.text))
        if len(batch) == CELLS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def all_skipped(skipped: Sequence[Skipped]) -> UnreadableImage:
    """Return the error of a measurement that had to skip every image."""
    reasons = " ".join(f"{one.file}: {one.reason}" for one in skipped[:REASONS_TOLD])
    return UnreadableImage(f"None of the {len(skipped)} images can be measured. {reasons}")


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
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    weights = np.bincount(bins, minlength=BINS)
    gaps = np.bincount(bins, confidences - correct, minlength=BINS)
    return float(np.abs(gaps).sum() / weights.sum())
