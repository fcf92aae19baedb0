"""The white-cell network from data folder to weight file and card."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.classification import Calibration, Logits, calibrate, energy
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.explanation import explain
from inference.pipeline.findings import Explanation
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import FromPixels, Network
from inference.pipeline.seen_colours import AS_IS
from inference.training import calibration, wbc_card
from inference.training.crops import Crops, cut_all
from inference.training.embedding_reference import embedding_reference
from inference.training.evaluate_wbc import CELLS_AT_ONCE, ask, cut_squares, evaluate
from inference.training.labels import Sample
from inference.training.laboratories import LABORATORIES, TRAIN, VAL
from inference.training.shipped import save_weights, write_card
from inference.training.wbc import Recipe, train

log = logging.getLogger(__name__)

NO_MAP = np.zeros((0, 0), np.float32)


def make(recipe: Recipe, data: Path, out: Path, workers: int, start: Path | None = None) -> None:
    """Cut the crops, train, write the weight file, calibrate on the validation cells, and write the card.

    `start` is a folder with the card and weights to start from.
    """
    started = _started(recipe.name, start)
    out.mkdir(parents=True, exist_ok=True)
    train_crops, val_crops = (load_crops(data, part, out, recipe.held_out) for part in (TRAIN, VAL))
    network = train(recipe, (train_crops, val_crops), out, workers, started)
    sha256 = save_weights(network, out / f"{recipe.name}.safetensors")
    write_card(wbc_card.draft(recipe, sha256, network, data), out)
    finish(recipe, data, out)


def finish(recipe: Recipe, data: Path, out: Path) -> None:
    """Calibrate the network in a folder and write its card anew; that of the first network, by whose
    embedding cells are compared, also says how the training cells lie in it."""
    write_card(calibrated(data, out, recipe), out)
    if recipe.name == registry.WBC_NETWORK:
        network = runtime.Network(registry.read_card(recipe.name, out))
        learnt = embedding_reference(_cells(data, TRAIN, recipe.held_out), network)
        write_card({**network.card.text, "embedding": learnt}, out)


def folders_needed(held_out: Collection[str] = ()) -> list[str]:
    """Return the names of the folders with cells and fields of the laboratories to learn from."""
    cells = {name: laboratory.folder for name, laboratory in LABORATORIES.items()}
    named = [of[name] for of in (cells, wbc_card.FIELDS) for name in of if name not in held_out]
    return list(dict.fromkeys(named))


def _started(name: str, folder: Path | None) -> FromPixels | None:
    return runtime.torch_module(registry.read_card(name, folder)) if folder else None


def load_crops(data: Path, part: str, out: Path, held_out: Iterable[str] = ()) -> Crops:
    """Return the crops of one part, train or val, of all laboratories, one after the other."""
    return cut_all(_cells(data, part, held_out), out / f"{part}.npz")


def _cells(data: Path, part: str, held_out: Iterable[str]) -> list[Sample]:
    taking_part = [laboratory for laboratory in LABORATORIES.values() if laboratory.name not in held_out]
    return [cell for laboratory in taking_part for cell in laboratory.cells(data, part)]


def calibrated(data: Path, out: Path, recipe: Recipe) -> dict[str, Any]:
    """Return the card in a folder with temperature, thresholds and figures of the validation cells.

    The cells go the product's way, so that the calibration holds for what the product shows the network.
    """
    network = runtime.Network(registry.read_card(recipe.name, out))
    cells = _cells(data, VAL, recipe.held_out)
    logits, looked = _asked(cells, network)
    truth = np.array([WBC_CLASSES.index(cell.label) for cell in cells])
    card = {**network.card.text, **_fitted(logits, truth)}
    card["thresholds"] |= _fitted_focus(looked, logits.argmax(axis=1) == truth)
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


def _asked(cells: Sequence[Sample], network: Network) -> tuple[Logits, list[Explanation]]:
    """Ask a network about labelled cells, so many at once that their crops fit in memory; return its logits
    and where it looked when it called each, without the maps."""
    logits, looked = list[Logits](), list[Explanation]()
    for start in range(0, len(cells), CELLS_AT_ONCE):
        squares = cut_squares(cells[start : start + CELLS_AT_ONCE], network.card)
        logits.append(ask(squares, network).logits)
        called = [network.card.labels[place] for place in logits[-1].argmax(axis=1)]
        outlines = [square.outline for square in squares]
        crops = [square.views[AS_IS][0] for square in squares]
        explained = explain(crops, called, outlines, (network.module, network.card))
        looked += [replace(one, heatmap=NO_MAP) for one in explained]
    return np.concatenate(logits), looked


def _fitted_focus(looked: Sequence[Explanation], right: NDArray[np.bool_]) -> dict[str, float]:
    focus = np.array([one.focus_ratio for one in looked])
    return {
        "focus_below": calibration.fit_focus_below(focus, right),
        "heat_strength": round(float(np.median([one.strength for one in looked])), 4),
    }


def _fitted(logits: Any, truth: Any) -> dict[str, Any]:
    temperature = round(calibration.fit_temperature(logits, truth), 4)
    abstain_below = calibration.fit_abstention(logits, truth, temperature)
    told = calibration.abstention_told(logits, truth, temperature, abstain_below)
    probabilities = calibrate(logits, temperature)
    return {
        "temperature": temperature,
        "thresholds": {
            "abstain_below": round(abstain_below, 4),
            "chosen": f"abstain_below: {told}; prediction_sets:"
            " least probability with which a class belongs to the set of that level; ood_above: energy that"
            f" {calibration.ACCEPTED:.0%} of the validation cells stay below; focus_below: share of the"
            f" evidence on the cell that {calibration.ON_CELL:.0%} of the right calls reach; heat_strength:"
            " median maximum of a heat map before it is scaled",
            "prediction_sets": calibration.fit_prediction_sets(probabilities, truth, WBC_CLASSES),
            "ood_above": calibration.fit_ood_above(energy(logits)),
        },
    }
