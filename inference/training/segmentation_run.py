"""The segmentation network from data folder to weight file and card."""

import logging
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from inference.pipeline import segmentation
from inference.pipeline.findings import Kind
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import FromPixels, Network
from inference.pipeline.networks.segmentation import StarNetwork
from inference.pipeline.segmentation_compact import Compact
from inference.training import segmentation_card
from inference.training.evaluate_segmentation import box_overlaps, match, read_boxes, read_rgb
from inference.training.labels import INDEX, rows_of
from inference.training.laboratories import TRAIN, VAL
from inference.training.segmentation import Recipe, train
from inference.training.segmentation_labels import NAMES, Field, read_fields
from inference.training.segmentation_relabel import masked, pointed, single, unlabelled
from inference.training.shipped import save_weights, write_card

log = logging.getLogger(__name__)

PRECISION = {Kind.WBC: 0.955, Kind.RBC: 0.955, Kind.PLATELET: 0.0}
"""Of the detections that count, at least this share is to match a label, where the network can do it; not of
platelets, of which too many would be lost."""

PRIOR = np.array([1.0, 0.5])
"""Standard deviations of the prior of a calibration's slope and intercept."""

SINGLES = ("wbc_pbc", "wbc_apl")
FOLDERS = ("fields_txl", "rbc_chula", "fields_bcisc", "staging_taleqani", *SINGLES)
CARD = f"{registry.SEGMENTATION_NETWORK}.json"


def make(recipe: Recipe, data: Path, out: Path, workers: int, start: Path | None = None) -> None:
    """Train on the labelled boxes, then also on what the network labels itself; write weights and card.

    `start` is a folder with the weights and the card of the network that the training starts from.
    """
    out.mkdir(parents=True, exist_ok=True)
    # A forked worker would wait for ever on the threads that OpenCV had in its parent.
    cv2.setNumThreads(1)
    first = _loaded(start) if start else None
    recipe = replace(recipe, start=first.card.sha256) if first else recipe
    boxed = read_fields(data, "train")
    log.info("%d labelled fields", len(boxed))
    module = train(
        recipe,
        boxed,
        lambda teacher: relabelled(teacher, recipe, data, out),
        out,
        workers,
        _network_of(first) if first else None,
    )
    write(module, recipe, out, data)


def relabelled(teacher: FromPixels, recipe: Recipe, data: Path, out: Path) -> list[Field]:
    """Label the training parts of the sets without boxes; a resumed run asks the same teacher again."""
    folder = out / "teacher"
    if not (folder / CARD).is_file():
        folder.mkdir(exist_ok=True)
        write_card(save(teacher, recipe, folder), folder)
    found = [*_further(data, _loaded(folder))]
    counts = Counter(field.source for field in found)
    log.info("labelled by the network: %s", dict(counts))
    return found


def labelled(data: Path) -> Iterator[Field]:
    """All training fields, for the networks of other engines: what has no boxes is labelled by the default
    engine's network."""
    network = runtime.load(registry.SEGMENTATION_NETWORK)
    yield from read_fields(data, "train")
    yield from _further(data, network)


def _further(data: Path, network: Network) -> Iterator[Field]:
    """The training parts of the sets without boxes, labelled by a network."""
    for labels in (pointed, masked, unlabelled):
        yield from labels(data, network)
    for source in SINGLES:
        yield from single(data, source, "train", network)


def save(module: FromPixels, recipe: Recipe, out: Path) -> dict[str, Any]:
    """Write float16 weights to `out` and return their card, which calibrates nothing yet."""
    sha256 = save_weights(module, out / f"{registry.SEGMENTATION_NETWORK}.safetensors")
    return segmentation_card.draft(sha256, recipe)


def write(module: FromPixels, recipe: Recipe, out: Path, data: Path) -> None:
    """Write weights and card, with confidences calibrated and figures measured on the validation fields."""
    card = save(module, recipe, out)
    write_card(card, out)
    card["box_margin_um"] = box_margins(data, _loaded(out))
    write_card(card, out)
    card["calibration"] = calibration(data, _loaded(out))
    write_card(card, out)
    note = "; the confidences were calibrated on it"
    card["metrics"] = [segmentation_card.measured(Compact(_loaded(out)), data, note)]
    write_card(card, out)


def _loaded(folder: Path) -> Network:
    return runtime.Network(registry.read_card(registry.SEGMENTATION_NETWORK, folder))


def _network_of(loaded: Network) -> StarNetwork:
    network = loaded.module.network
    if not isinstance(network, StarNetwork):
        raise TypeError("a segmentation network of this kind is not trained here")
    return network


def box_margins(data: Path, network: Network) -> dict[str, float]:
    """How far in µm the boxes that people drew stand off the outlines, per kind.

    Measured on every fourth training field, by a network whose card knows no margin yet: half the median
    difference in width and height between a detection's box and the label it matches.
    """
    folder, engine = data / "fields_txl", Compact(network)
    differences: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    for row in rows_of(folder / INDEX, {"split": TRAIN})[::4]:
        image = read_rgb(folder / row["file"])
        pixel_um = engine.estimate_pixel_um(image)
        if pixel_um is None:
            continue
        truth = read_boxes(folder / row["label_file"], NAMES, image.shape)
        found = segmentation.segment(image, pixel_um, engine)
        for kind in Kind:
            mine = np.array([cell.box for cell in found if cell.kind is kind], np.float64).reshape(-1, 4)
            labels = np.array(truth[kind], np.float64).reshape(-1, 4)
            overlaps = box_overlaps([tuple(b) for b in mine], [tuple(b) for b in labels])
            for index in np.flatnonzero(overlaps.max(axis=1, initial=0) > 0.6):
                label = labels[overlaps[index].argmax()]
                wider = (label[2:] - label[:2]) - (mine[index, 2:] - mine[index, :2])
                differences[kind] += list(wider / 2 * pixel_um)
    return {
        kind.value: round(max(0.0, float(np.median(values))), 3) if values else 0.0
        for kind, values in differences.items()
    }


def calibration(data: Path, network: Network) -> dict[str, list[float]]:
    """Slope and intercept per kind that turn a detection's logit into a confidence.

    Logistic regression on the detections in the validation fields: right is what matches a labelled box
    of its kind at an IoU of 0.5. Where of those that count a smaller share than PRECISION is right, the
    intercept is lowered until it is reached.
    """
    logits: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    right: dict[Kind, list[bool]] = {kind: [] for kind in Kind}
    for kind, logit, hit in _judged(data, network):
        logits[kind].append(logit)
        right[kind].append(hit)
    return {
        kind.value: _calibrated(np.array(logits[kind]), np.array(right[kind]), PRECISION[kind])
        for kind in Kind
    }


def _judged(data: Path, network: Network) -> Iterator[tuple[Kind, float, bool]]:
    """Kind, logit and truth of every detection in the validation fields, by a network whose card calibrates
    nothing yet."""
    folder = data / "fields_txl"
    for row in rows_of(folder / INDEX, {"split": VAL}):
        image = read_rgb(folder / row["file"])
        truth = read_boxes(folder / row["label_file"], NAMES, image.shape)
        found = segmentation.segment(image, chosen=Compact(network))
        for kind in Kind:
            mine = [cell for cell in found if cell.kind is kind]
            chances = [cell.confidence for cell in mine]
            hits = match(chances, box_overlaps([cell.box for cell in mine], truth[kind]))
            yield from (
                (kind, math.log(chance / (1 - chance)), hit > 0)
                for chance, hit in zip(chances, hits, strict=True)
            )


def _calibrated(logits: NDArray[np.float64], right: NDArray[np.bool_], least_precision: float) -> list[float]:
    slope, intercept = _logistic(logits, right)
    order = np.argsort(-logits)
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(precision >= least_precision)
    if enough.size:
        lowest = float(logits[order][enough[-1]])
        intercept = min(intercept, 1e-3 - slope * lowest)
    return [round(slope, 4), round(intercept, 4)]


def _logistic(logits: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept that make the labels most likely, drawn towards 1 and 0 as by a normal prior: where
    a kind is rare and nearly all of it right, the labels alone would trust whatever is found."""

    def loss(weights: NDArray[np.float64]) -> float:
        score = weights[0] * logits + weights[1]
        unlikely = float(np.sum(np.logaddexp(0, score) - right * score))
        return unlikely + float((((weights - (1.0, 0.0)) / PRIOR) ** 2).sum()) / 2

    slope, intercept = minimize(loss, np.array([1.0, 0.0])).x
    return float(slope), float(intercept)
