"""The red-cell network from data folder to weight file and card."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from inference.pipeline.classification import Calibration, Logits, answers
from inference.pipeline.config import RBC_SHAPES
from inference.pipeline.findings import Explanation, Image, Outline
from inference.pipeline.levels import Mask, shown
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.rbc import ARCHITECTURE
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import Network
from inference.training import calibration, rbc_card
from inference.training.crops import Crops
from inference.training.evaluate_wbc import evaluate
from inference.training.laboratories import TRAIN, VAL
from inference.training.rbc_crops import red_crops
from inference.training.shipped import save_weights, with_data_of, write_card
from inference.training.wbc import Recipe, train

log = logging.getLogger(__name__)

USUAL = Recipe(
    name=registry.RBC_NETWORK,
    architecture=ARCHITECTURE,
    side=96,
    first_side=96,
    epochs=24,
    draws=4096,
    learning_rate=1e-3,
    weak_share=0.0,
    shown=("as_is", "levels"),
    half_turn=False,
    colour=0.8,
    degrading=0.25,
    background=0.2,
    balance=0.4,
    stretch=0.0,
)
"""How the shipped network was trained, which began with `--init imagenet`. Crops have 64 px, so there is no
smaller first side; little is blurred and few backgrounds are replaced, because the outlines by which that is
done round off the spicules of echinocytes."""

AT_ONCE = 256

RARELY = 0.5
"""A class found in fewer of its cells than this share is named as such beside every result."""


def make(recipe: Recipe, data: Path, out: Path, workers: int, start: Card | None = None) -> None:
    """Cut the crops, train, write the weight file, calibrate on the validation cells, and write the card.

    `start` is the card of the network to start from.
    """
    started = runtime.torch_module(start) if start else None
    out.mkdir(parents=True, exist_ok=True)
    train_crops, val_crops = (red_crops(data, part, out) for part in (TRAIN, VAL))
    network = train(recipe, (train_crops, val_crops), out, workers, started)
    sha256 = save_weights(network, out / f"{recipe.name}.safetensors")
    write_card(with_data_of(start, rbc_card.draft(recipe, sha256, network)), out)
    write_card(calibrated(val_crops, out), out)


def calibrated(val: Crops, out: Path) -> dict[str, Any]:
    """Return the card in a folder with temperature, thresholds and figures of the validation cells."""
    network = runtime.Network(registry.read_card(registry.RBC_NETWORK, out))
    logits = asked(val, network)
    right = logits.argmax(axis=1) == val.labels
    card = {**network.card.text, **calibration.fitted(logits, val.labels, RBC_SHAPES)}
    card["thresholds"] |= calibration.fitted_focus(_looked(val, logits, network), right)
    figures = _figures(val, logits, Calibration.of(registry.parsed(card, out)))
    card["thresholds"]["rarely_found"] = rarely_found(figures["per_class"])
    log.info("validation: %s", {name: figures[name] for name in ("n", "accuracy", "macro_f1", "ece")})
    return {**card, "metrics": [figures]}


def rarely_found(per_class: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the classes of which the network names fewer than half, each with that share 0–1."""
    shares = {label: of["recall"] for label, of in per_class.items() if of["support"]}
    return {label: round(share, 2) for label, share in shares.items() if share < RARELY}


def asked(crops: Crops, network: Network) -> Logits:
    """Return a network's logits float32 (n, classes) about crops, in the views and turns of its card."""
    return answers(_views(crops, network), network, AT_ONCE).logits


def _views(crops: Crops, network: Network) -> dict[str, list[Image]]:
    cells = list(zip(crops.images, crops.masks, strict=True))
    return {view: [shown(view, *cell) for cell in cells] for view in network.card.input.views}


def _looked(crops: Crops, logits: Logits, network: Network) -> list[Explanation]:
    """Return where a network looked when it called each cell, by every method, without the maps."""
    called = [network.card.labels[place] for place in logits.argmax(axis=1)]
    looked: list[Explanation] = []
    for start in range(0, len(called), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        outlines = [outline_of(mask) for mask in crops.masks[part]]
        looked += calibration.looked(list(crops.images[part]), called[part], outlines, network)
    return looked


def outline_of(mask: Mask) -> Outline:
    """Return the outline of the largest part of a mask, uint8 (side, side), ``x, y`` in px."""
    parts, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(parts, key=cv2.contourArea)
    return [(float(x), float(y)) for x, y in largest.reshape(-1, 2)]


def _figures(val: Crops, logits: Logits, calibrated_by: Calibration) -> dict[str, Any]:
    truths: Sequence[str] = [RBC_SHAPES[place] for place in val.labels]
    figures = evaluate(truths, calibrated_by.calls(logits))
    return {
        "data": "validation cells of all sets learnt from; temperature and thresholds fitted on them",
        "command": "python -m inference.training rbc --data DIR --out DIR",
        **{name: value for name, value in figures.items() if name not in ("labels", "confusion")},
    }
