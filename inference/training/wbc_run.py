"""The white-cell network from data folder to weight file and card."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from inference.pipeline.classification import calibrate, call, score
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.networks import registry, runtime
from inference.training import wbc_card
from inference.training.calibration import WANTED_ACCURACY, fit_abstention, fit_temperature
from inference.training.crops import Crops, cut_all
from inference.training.evaluate_wbc import cut_squares, evaluate, views_of
from inference.training.labels import samples
from inference.training.shipped import save_weights, write_card
from inference.training.wbc import Recipe, train

log = logging.getLogger(__name__)

SOURCES = ("wbc_pbc", "wbc_apl")


def make(recipe: Recipe, data: Path, out: Path, workers: int) -> None:
    """Cut the crops, train, write the weight file, calibrate on the validation cells, and write the card."""
    out.mkdir(parents=True, exist_ok=True)
    train_crops, val_crops = (load_crops(data, split, out) for split in ("train", "val"))
    network = train(recipe, train_crops, val_crops, out, workers)
    sha256 = save_weights(network, out / f"{registry.WBC_NETWORK}.safetensors")
    card = wbc_card.draft(recipe, sha256, wbc_card.stain_references(data), wbc_card.stain_ranges(data))
    write_card(card, out)
    write_card(calibrated(card, data, out), out)


def load_crops(data: Path, split: str, out: Path) -> Crops:
    """Return the crops of one split of all sources, one after the other."""
    first, *others = (
        cut_all(samples(data / source, split), out / f"{source}_{split}.npz") for source in SOURCES
    )
    for other in others:
        first = first.joined(other)
    return first


def calibrated(card: dict[str, Any], data: Path, out: Path) -> dict[str, Any]:
    """Return the card with temperature, abstention threshold and figures of the validation cells.

    The cells go the product's way, so that the calibration holds for what the product shows the network.
    """
    network = runtime.Network(registry.read_card(registry.WBC_NETWORK, out))
    cells = [sample for source in SOURCES for sample in samples(data / source, "val")]
    logits = score(views_of(cut_squares(cells, network.card)), network)
    truth = np.array([WBC_CLASSES.index(cell.label) for cell in cells])
    temperature = round(fit_temperature(logits, truth), 4)
    abstain_below = round(fit_abstention(logits, truth, temperature), 4)
    calls = [call(row, WBC_CLASSES, abstain_below) for row in calibrate(logits, temperature)]
    figures = evaluate([cell.label for cell in cells], calls)
    log.info(
        "validation: %s", {name: figures[name] for name in ("n", "accuracy", "macro_f1", "ece", "coverage")}
    )
    chosen = f"lowest confidence from which {WANTED_ACCURACY:.0%} of validation calls are right, 0.3 to 0.7"
    return {
        **card,
        "temperature": temperature,
        "thresholds": {"abstain_below": abstain_below, "chosen": chosen},
        "metrics": [
            {
                "data": f"{' + '.join(SOURCES)}, split val; temperature and threshold were fitted on it",
                "command": "python -m inference.training wbc --data DIR --out DIR",
                **{name: value for name, value in figures.items() if name not in ("labels", "confusion")},
            }
        ],
    }
