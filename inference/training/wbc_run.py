"""The white-cell network from data folder to weight file and card."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from inference.pipeline.classification import Calibration, calibrate, energy, score
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import FromPixels
from inference.training import calibration, wbc_card
from inference.training.crops import Crops, cut_all
from inference.training.evaluate_wbc import cut_squares, evaluate, views_of
from inference.training.labels import Sample
from inference.training.laboratories import LABORATORIES, TRAIN, VAL
from inference.training.shipped import save_weights, write_card
from inference.training.wbc import Recipe, train

log = logging.getLogger(__name__)


def make(recipe: Recipe, data: Path, out: Path, workers: int, start: Path | None = None) -> None:
    """Cut the crops, train, write the weight file, calibrate on the validation cells, and write the card.

    `start` is a folder with the card and weights to start from.
    """
    out.mkdir(parents=True, exist_ok=True)
    train_crops, val_crops = (load_crops(data, part, out, recipe.held_out) for part in (TRAIN, VAL))
    network = train(recipe, (train_crops, val_crops), out, workers, _started(start))
    sha256 = save_weights(network, out / f"{registry.WBC_NETWORK}.safetensors")
    write_card(wbc_card.draft(recipe, sha256, network, data), out)
    write_card(calibrated(data, out, recipe.held_out), out)


def _started(folder: Path | None) -> FromPixels | None:
    return runtime.torch_module(registry.read_card(registry.WBC_NETWORK, folder)) if folder else None


def load_crops(data: Path, part: str, out: Path, held_out: Iterable[str] = ()) -> Crops:
    """Return the crops of one part, train or val, of all laboratories, one after the other."""
    return cut_all(_cells(data, part, held_out), out / f"{part}.npz")


def _cells(data: Path, part: str, held_out: Iterable[str]) -> list[Sample]:
    taking_part = [laboratory for laboratory in LABORATORIES.values() if laboratory.name not in held_out]
    return [cell for laboratory in taking_part for cell in laboratory.cells(data, part)]


def calibrated(data: Path, out: Path, held_out: Iterable[str] = ()) -> dict[str, Any]:
    """Return the card in a folder with temperature, thresholds and figures of the validation cells.

    The cells go the product's way, so that the calibration holds for what the product shows the network.
    """
    network = runtime.Network(registry.read_card(registry.WBC_NETWORK, out))
    cells = _cells(data, VAL, held_out)
    logits = score(views_of(cut_squares(cells, network.card)), network)
    truth = np.array([WBC_CLASSES.index(cell.label) for cell in cells])
    card = {**network.card.text, **_fitted(logits, truth)}
    calls = Calibration.of(registry.parsed(card, out)).calls(logits)
    figures = evaluate([cell.label for cell in cells], calls)
    shown = ("n", "accuracy", "macro_f1", "ece", "coverage")
    log.info("validation: %s", {name: figures[name] for name in shown})
    metric = {
        "data": "validation cells of the laboratories learnt from; temperature and thresholds fitted on them",
        "command": "python -m inference.training wbc --data DIR --out DIR",
        **{name: value for name, value in figures.items() if name not in ("labels", "confusion")},
    }
    return {**card, "metrics": [metric]}


def _fitted(logits: Any, truth: Any) -> dict[str, Any]:
    temperature = round(calibration.fit_temperature(logits, truth), 4)
    probabilities = calibrate(logits, temperature)
    return {
        "temperature": temperature,
        "thresholds": {
            "abstain_below": round(calibration.fit_abstention(logits, truth, temperature), 4),
            "chosen": "abstain_below: lowest confidence from which"
            f" {calibration.WANTED_ACCURACY:.0%} of validation calls are right, 0.3 to 0.7; prediction_sets:"
            " least probability with which a class belongs to the set of that level; ood_above: energy that"
            f" {calibration.ACCEPTED:.0%} of the validation cells stay below",
            "prediction_sets": calibration.fit_prediction_sets(probabilities, truth, WBC_CLASSES),
            "ood_above": calibration.fit_ood_above(energy(logits)),
        },
    }
