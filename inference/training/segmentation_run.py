"""The segmentation network from data folder to weight file and card."""

import csv
import hashlib
import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from inference.pipeline import segmentation
from inference.pipeline.findings import Kind
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.networks.segmentation import StarNetwork
from inference.training import segmentation_card
from inference.training.evaluate_segmentation import box_overlaps, evaluate, match, read_boxes, read_rgb
from inference.training.segmentation import Recipe, train
from inference.training.segmentation_labels import NAMES, Field, read_fields
from inference.training.segmentation_relabel import pointed, single

log = logging.getLogger(__name__)

SINGLES = ("wbc_pbc", "wbc_apl")
CARD = f"{registry.SEGMENTATION_NETWORK}.json"


def make(recipe: Recipe, data: Path, out: Path, workers: int) -> None:
    """Train on the labelled boxes, then also on what the network labels itself; write weights and card."""
    out.mkdir(parents=True, exist_ok=True)
    # A forked worker would wait for ever on the threads that OpenCV had in its parent.
    cv2.setNumThreads(1)
    boxed = read_fields(data, "train")
    log.info("%d labelled fields", len(boxed))
    network = train(recipe, boxed, lambda teacher: relabelled(teacher, recipe, data, out), out, workers)
    write(network, recipe, out, data)


def relabelled(teacher: StarNetwork, recipe: Recipe, data: Path, out: Path) -> list[Field]:
    """Label the training parts of the sets without boxes; a resumed run asks the same teacher again."""
    folder = out / "teacher"
    if not (folder / CARD).is_file():
        folder.mkdir(exist_ok=True)
        _write_card(save(teacher, recipe, folder), folder)
    network = _loaded(folder)
    found = list(pointed(data, network))
    for source in SINGLES:
        found += single(data, source, "train", network)
    log.info("%d fields labelled by the network", len(found))
    return found


def save(network: StarNetwork, recipe: Recipe, out: Path) -> dict[str, Any]:
    """Write float16 weights to `out` and return their card, which calibrates nothing yet."""
    path = out / f"{registry.SEGMENTATION_NETWORK}.safetensors"
    state = {
        name: value.half().cpu().contiguous() if value.is_floating_point() else value.cpu()
        for name, value in network.state_dict().items()
    }
    path.write_bytes(safetensors.torch.save(state))
    return segmentation_card.draft(hashlib.sha256(path.read_bytes()).hexdigest(), recipe)


def write(network: StarNetwork, recipe: Recipe, out: Path, data: Path) -> None:
    """Write weights and card, with confidences calibrated and figures measured on the validation fields."""
    card = save(network, recipe, out)
    _write_card(card, out)
    card["calibration"] = calibration(data, _loaded(out))
    _write_card(card, out)
    card["metrics"] = [_measured(data, _loaded(out))]
    _write_card(card, out)


def _loaded(folder: Path) -> Network:
    return runtime.Network(registry.read_card(registry.SEGMENTATION_NETWORK, folder))


def _write_card(card: dict[str, Any], out: Path) -> None:
    (out / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _validation_rows(data: Path) -> list[dict[str, str]]:
    with (data / "fields_txl" / "index.csv").open(newline="", encoding="utf-8") as lines:
        return [row for row in csv.DictReader(lines) if row["split"] == "val"]


def _measured(data: Path, network: Network) -> dict[str, Any]:
    files = [row["file"] for row in _validation_rows(data)]
    figures = evaluate(data / "fields_txl", lambda image: segmentation.segment(image, network=network), files)
    return {
        "data": "fields_txl, split val, boxes at IoU 0.5; the confidences were calibrated on it",
        "command": "python -m inference.training segmentation --data DIR --out DIR",
        **{kind: {name: round(value, 4) for name, value in row.items()} for kind, row in figures.items()},
    }


def calibration(data: Path, network: Network) -> dict[str, list[float]]:
    """Slope and intercept per kind that turn a detection's logit into the chance that it is a cell.

    Logistic regression on the detections in the validation fields: right is what matches a labelled box
    of its kind at an IoU of 0.5.
    """
    logits: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    right: dict[Kind, list[bool]] = {kind: [] for kind in Kind}
    for kind, logit, hit in _judged(data, network):
        logits[kind].append(logit)
        right[kind].append(hit)
    return {kind.value: _logistic(np.array(logits[kind]), np.array(right[kind])) for kind in Kind}


def _judged(data: Path, network: Network) -> Iterator[tuple[Kind, float, bool]]:
    """Kind, logit and truth of every detection in the validation fields, by a network whose card calibrates
    nothing yet."""
    folder = data / "fields_txl"
    for row in _validation_rows(data):
        image = read_rgb(folder / row["file"])
        truth = read_boxes(folder / row["label_file"], NAMES, image.shape)
        found = segmentation.segment(image, network=network)
        for kind in Kind:
            mine = [cell for cell in found if cell.kind is kind]
            chances = [cell.confidence for cell in mine]
            hits = match(chances, box_overlaps([cell.box for cell in mine], truth[kind]))
            yield from (
                (kind, math.log(chance / (1 - chance)), hit > 0)
                for chance, hit in zip(chances, hits, strict=True)
            )


def _logistic(logits: NDArray[np.float64], right: NDArray[np.bool_]) -> list[float]:
    """Slope and intercept; a network that finds nothing keeps its chances as they are."""
    if not logits.size:
        return [1.0, 0.0]

    def loss(weights: NDArray[np.float64]) -> float:
        score = weights[0] * logits + weights[1]
        return float(np.mean(np.logaddexp(0, score) - right * score) + 1e-4 * weights @ weights)

    return [round(float(value), 4) for value in minimize(loss, np.array([1.0, 0.0])).x]
