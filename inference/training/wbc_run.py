"""The white-cell network from data folder to weight file and card."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.pipeline.classification import Calibration, Logits
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.findings import Call, Explanation
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import Network
from inference.pipeline.seen_colours import AS_IS
from inference.training import calibration, wbc_card
from inference.training.cell_images import large_enough
from inference.training.crops import Crops, cut_all
from inference.training.curves import exact
from inference.training.embedding_reference import embedding_reference
from inference.training.evaluate_wbc import CELLS_AT_ONCE, ask, cut_squares, evaluate
from inference.training.exports import Export, all_laboratories
from inference.training.labels import Sample
from inference.training.laboratories import LABORATORIES, TRAIN, VAL
from inference.training.proposed_cells import Proposed
from inference.training.shipped import save_weights, with_data_of, write_card
from inference.training.wbc import Recipe, train

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a network is made from: the folder of data sets, the laboratories held out, the exports
    and the proposed cells learnt from as well, and the card of the network to start from, if there is one."""

    data: Path
    held_out: tuple[str, ...] = ()
    exports: tuple[Export, ...] = ()
    start: Card | None = None
    proposed: tuple[Proposed, ...] = ()

    def cells(self, part: str) -> list[Sample]:
        """List the cells of one part, train or val, of all laboratories, one after the other."""
        taking_part = all_laboratories(self.exports, self.held_out)
        return large_enough([cell for one in taking_part for cell in one.cells(self.data, part)])

    def learnt_from(self) -> list[Sample]:
        """List all cells that the weights are learnt from, last the proposed ones, which no person named."""
        proposed = [cell for one in self.proposed for cell in one.laboratory.cells(self.data, TRAIN)]
        return [*self.cells(TRAIN), *large_enough(proposed)]


def make(
    recipe: Recipe,
    data: Path,
    out: Path,
    workers: int,
    start: Card | None = None,
    more: wbc_card.More = wbc_card.NO_MORE,
) -> None:
    """Cut the crops, train, write the weight file, calibrate on the validation cells, and write the card.

    `start` is the card of the network to start from; exports and proposed cells, `more`, are learnt from as
    well.
    """
    exports, proposed = more
    sources = Sources(data, recipe.held_out, tuple(exports), start, tuple(proposed))
    started = runtime.torch_module(start) if start else None
    out.mkdir(parents=True, exist_ok=True)
    parts = {TRAIN: sources.learnt_from(), VAL: sources.cells(VAL)}
    train_crops, val_crops = (cut_all(cells, out / f"{part}.npz") for part, cells in parts.items())
    network = train(recipe, (train_crops, val_crops), out, workers, started)
    sha256 = save_weights(network, out / f"{recipe.name}.safetensors")
    card = wbc_card.draft(recipe, sha256, network, data, more)
    write_card(with_data_of(start, card), out)
    finish(recipe, sources, out)


def finish(recipe: Recipe, sources: Sources, out: Path) -> None:
    """Calibrate the network in a folder and write its card anew; that of the first network, by whose
    embedding cells are compared, also says how the training cells lie in it."""
    write_card(calibrated(sources, out, recipe), out)
    if recipe.name == registry.WBC_NETWORK:
        network = runtime.Network(registry.read_card(recipe.name, out))
        learnt = embedding_reference(sources.cells(TRAIN), network)
        write_card({**network.card.text, "embedding": learnt}, out)


def folders_needed(held_out: Collection[str] = ()) -> list[str]:
    """Return the names of the folders with cells and fields of the laboratories to learn from."""
    cells = {name: laboratory.folder for name, laboratory in LABORATORIES.items()}
    named = [of[name] for of in (cells, wbc_card.FIELDS) for name in of if name not in held_out]
    return list(dict.fromkeys(named))


def load_crops(data: Path, part: str, out: Path, held_out: Iterable[str] = ()) -> Crops:
    """Return the crops of one part, train or val, of all laboratories, one after the other."""
    return cut_all(Sources(data, tuple(held_out)).cells(part), out / f"{part}.npz")


def calibrated(sources: Sources, out: Path, recipe: Recipe) -> dict[str, Any]:
    """Return the card in a folder with temperature, thresholds and figures of the validation cells.

    The cells go the product's way, so that the calibration holds for what the product shows the network.
    """
    network = runtime.Network(registry.read_card(recipe.name, out))
    cells = sources.cells(VAL)
    logits, looked = _asked(cells, network)
    truth = np.array([WBC_CLASSES.index(cell.label) for cell in cells])
    card = {**network.card.text, **calibration.fitted(logits, truth, WBC_CLASSES)}
    card["thresholds"] |= calibration.fitted_focus(looked, logits.argmax(axis=1) == truth)
    calls = Calibration.of(registry.parsed(card, out)).calls(logits)
    figures = evaluate([cell.label for cell in cells], calls)
    shown = ("n", "accuracy", "macro_f1", "ece", "coverage")
    log.info("validation: %s", {name: figures[name] for name in shown})
    metric = {
        "data": "validation cells of the laboratories learnt from; temperature and thresholds fitted on them",
        "command": command(sources),
        **_kept(figures),
    }
    return {**card, "metrics": [metric, *_by_laboratory(sources, recipe, cells, calls)]}


def command(sources: Sources) -> str:
    """Return the command by which such a network is made, and its figures with it."""
    said = "python -m inference.training wbc --data DIR --out DIR"
    extra = " --extra" + len(sources.exports) * " DIR" if sources.exports else ""
    proposed = " --proposed DIR" if sources.proposed else ""
    return said + extra + proposed + (" --start DIR" if sources.exports and sources.start else "")


def _kept(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name not in ("labels", "confusion")}


def _by_laboratory(
    sources: Sources, recipe: Recipe, cells: Sequence[Sample], calls: Sequence[Call]
) -> list[dict[str, Any]]:
    """Measure the validation cells of each laboratory alone, where exports were learnt from: as the network
    that the training started from calls them, and as the new one does, so that what it forgot is seen."""
    if not sources.exports:
        return []
    before = _before(sources, recipe, cells)
    places: dict[str, list[int]] = {}
    for place, cell in enumerate(cells):
        places.setdefault(cell.laboratory, []).append(place)
    return [
        {
            "data": f"validation cells of {name} alone",
            "command": command(sources),
            **({"before": {"sha256": recipe.start, **_figures(cells, before, own)}} if before else {}),
            "after": _figures(cells, calls, own),
        }
        for name, own in places.items()
    ]


def _before(sources: Sources, recipe: Recipe, cells: Sequence[Sample]) -> list[Call]:
    """Return what the network that the training started from calls cells; nothing where there is none."""
    if sources.start is None:
        return []
    network = Network(sources.start)
    logits = [
        ask(cut_squares(cells[start : start + CELLS_AT_ONCE], network.card), network).logits
        for start in range(0, len(cells), CELLS_AT_ONCE)
    ]
    return Calibration.of(network.card).calls(np.concatenate(logits))


def _figures(cells: Sequence[Sample], calls: Sequence[Call], places: Sequence[int]) -> dict[str, Any]:
    """Return the figures of some of the cells, with the exact 95 % interval of their accuracy."""
    truths, own = [cells[place].label for place in places], [calls[place] for place in places]
    right = sum(call.label == truth for call, truth in zip(own, truths, strict=True))
    return {**_kept(evaluate(truths, own)), "accuracy_95": exact(right, len(own))}


def _asked(cells: Sequence[Sample], network: Network) -> tuple[Logits, list[Explanation]]:
    """Ask a network about labelled cells, so many at once that their crops fit in memory; return its logits
    and where it looked when it called each, by every method, without the maps."""
    logits, looked = list[Logits](), list[Explanation]()
    for start in range(0, len(cells), CELLS_AT_ONCE):
        squares = cut_squares(cells[start : start + CELLS_AT_ONCE], network.card)
        logits.append(ask(squares, network).logits)
        called = [network.card.labels[place] for place in logits[-1].argmax(axis=1)]
        outlines = [square.outline for square in squares]
        crops = [square.views[AS_IS][0] for square in squares]
        looked += calibration.looked(crops, called, outlines, network)
    return np.concatenate(logits), looked
