"""What heat maps cost, and how far they can be believed, per method and network.

python benchmarks/explanations.py ../shared/data [--networks wbc wbc_second rbc staging] [--weights FOLDER …]
    [--cells 100]

White cells of two laboratories' validation part and of one that no network has learnt from, and labelled red
cells of two laboratories' validation part go the product's way: cut out, called, and explained as called.
Prints two markdown tables. The first is the median time for 16
cells, without receipts, with them and with words too, each beside the processor time of all threads, which
counts where other work keeps the machine busy. The second holds the means over the cells: the probability of
the class while the hottest places are blurred (deletion) and brought back (insertion), the same for random
maps, the share of maps that are reliable, where the heat lies, and how like the map of the second most likely
class is (correlation over the crop): a map that is the same for both does not say why it was the one. The
rows "cell outline" are the same trials with a map that is hot all over the segmented cell and owes nothing to
the network. Of the staging network, fields of fold 3 in which a white cell was found stand for cells, their
white cells for the cell, and nobody puts them into words; the row "laid elsewhere" is a map of these cells
shifted by half a field.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.classification import Calibration, answers
from inference.pipeline.explanation import explain, explain_within
from inference.pipeline.faithfulness import receipts
from inference.pipeline.findings import Call, Explanation, Image, Method, Outline, Receipt
from inference.pipeline.levels import mask_of, shown
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network, prepare
from inference.pipeline.nucleus import nucleus_mask
from inference.pipeline.red_cell_findings import RedCellMeasures
from inference.pipeline.red_cell_measures import circularity, elongation, pallor_ratio
from inference.pipeline.red_cell_words import describe
from inference.pipeline.seen_colours import AS_IS
from inference.pipeline.words import Cut, in_words
from inference.training.evaluate_segmentation import read_rgb
from inference.training.evaluate_wbc import ask, cut_squares
from inference.training.labels import samples
from inference.training.laboratories import VAL, thinned
from inference.training.rbc_cells import RED_LABORATORIES, cut_field, evenly
from inference.training.rbc_run import outline_of
from inference.training.staging_cells import white_cell_mask
from inference.training.staging_fields import FOLDER, TEST, rows, top_left

WHITE = {"wbc_pbc": "val", "wbc_apl": "val", "wbc_ood_jiangxi": "ood_dev"}
RED = {"rbc_chula": "chula", "rbc_sickle_uganda": "uganda"}
"""The laboratories of red cells by the names of their data sets."""
TIMED, ROUNDS = 16, 5


@dataclass(frozen=True, slots=True)
class Cells:
    """The found cells of one set: crops as explained, outlines (none of fields), masks, nuclei (none of red
    cells and of fields), what each is called, what it is called second, and the calls."""

    crops: list[Image]
    outlines: list[Outline]
    masks: list[np.ndarray]
    nuclei: list[np.ndarray]
    labels: list[str]
    seconds: list[str]
    calls: list[Call]

    def first(self, count: int) -> "Cells":
        return Cells(*(getattr(self, part.name)[:count] for part in fields(self)))

    def called_second(self) -> "Cells":
        return replace(self, labels=self.seconds)


def white_cells(data: Path, name: str, count: int, network: Network) -> Cells:
    listed = samples(data / name, WHITE[name])
    chosen = [listed[place] for place in np.linspace(0, len(listed) - 1, count).round().astype(int)]
    squares = [square for square in cut_squares(chosen, network.card) if square.found]
    crops = [square.views[AS_IS][0] for square in squares]
    masks = [mask_of(square.outline, len(square.crop)) for square in squares]
    nuclei = [nucleus_mask(square.crop, mask) for square, mask in zip(squares, masks, strict=True)]
    said = ask(squares, network)
    called = zip(Calibration.of(network.card).calls(said.logits), said.attributes, strict=True)
    calls = [replace(call, attributes=attributes) for call, attributes in called]
    outlines = [square.outline for square in squares]
    return Cells(crops, outlines, masks, nuclei, *likeliest(calls), calls)


def red_cells(data: Path, name: str, count: int, network: Network) -> Cells:
    """Of half as many fields as cells every so-manieth labelled cell that was found."""
    labelled = [field for field in RED_LABORATORIES[RED[name]](data, VAL) if field.points]
    # Of the photographs of single sickle cells every field has only one.
    several = evenly(labelled, count if len(labelled[0].points) == 1 else count // 2)
    found = [cell for field in several for cell in cut_field(replace(field, normals=0))]
    cells = evenly(found, count)
    views = {
        name: [shown(name, cell.image, cell.mask) for cell in cells] for name in network.card.input.views
    }
    calls = Calibration.of(network.card).calls(answers(views, network).logits)
    crops, masks = [cell.image for cell in cells], [cell.mask for cell in cells]
    return Cells(crops, [outline_of(mask) for mask in masks], masks, [], *likeliest(calls), calls)


def staged_fields(data: Path, _name: str, count: int, network: Network) -> Cells:
    fields, masks = [], []
    for row in thinned(rows(data, TEST), count):
        image = read_rgb(data / FOLDER / row["file"])
        if (mask := white_cell_mask(image)).any():
            fields.append(top_left(image))
            masks.append(mask)
    calls = Calibration.of(network.card).calls(network.predict(prepare(fields, network.card.input)))
    return Cells(fields, [], masks, [], *likeliest(calls), calls)


def likeliest(calls: Sequence[Call]) -> tuple[list[str], list[str]]:
    """The most likely class of each cell, and the second."""
    shares = [call.probabilities for call in calls]
    first, second = zip(*(sorted(of, key=of.__getitem__)[:-3:-1] for of in shares), strict=True)
    return [*first], [*second]


def in_white_words(cells: Cells, made: Sequence[Explanation], network: Network) -> None:
    for crop, outline, call, one in zip(cells.crops, cells.outlines, cells.calls, made, strict=True):
        in_words(Cut(crop, outline), call, network.card, one)


def in_red_words(cells: Cells, made: Sequence[Explanation], network: Network) -> None:
    """With the measures of the crop, though the product has them from the classification."""
    for crop, outline, call, one in zip(cells.crops, cells.outlines, cells.calls, made, strict=True):
        points = np.asarray(outline, np.float32)
        shape = circularity(points), elongation(points), pallor_ratio(crop, outline)
        describe(call.label, RedCellMeasures(None, None, 1.0, *shape), one)


def in_no_words(_cells: Cells, _made: Sequence[Explanation], _network: Network) -> None:
    """Fields have none."""


def outlines(cells: Cells) -> dict[str, list[np.ndarray]]:
    return {"cell outline": cells.masks}


def cells_of_fields(cells: Cells) -> dict[str, list[np.ndarray]]:
    elsewhere = [np.roll(mask, len(mask) // 2, (0, 1)) for mask in cells.masks]
    return {"nucleated cells": cells.masks, "laid elsewhere": elsewhere}


@dataclass(frozen=True, slots=True)
class Stream:
    """The cells that one network calls: the data sets, how cells are taken from one, how they are put into
    words, and the maps, as masks, that owe nothing to the network."""

    sets: Sequence[str]
    cells: Callable[[Path, str, int, Network], Cells]
    words: Callable[[Cells, Sequence[Explanation], Network], None]
    without_network: Callable[[Cells], dict[str, list[np.ndarray]]] = outlines


STREAMS: Mapping[str, Stream] = {
    registry.WBC_NETWORK: Stream([*WHITE], white_cells, in_white_words),
    registry.SECOND_NETWORK: Stream([*WHITE], white_cells, in_white_words),
    registry.RBC_NETWORK: Stream([*RED], red_cells, in_red_words),
    registry.STAGING_NETWORK: Stream([FOLDER], staged_fields, in_no_words, cells_of_fields),
}


def explained(cells: Cells, network: Network, method: Method, tried: bool) -> list[Explanation]:
    how, tried_on = (network.module, network.card), network if tried else None
    if not cells.outlines:
        inside = [mask > 0 for mask in cells.masks]
        return explain_within(cells.crops, cells.labels, inside, how, method=method, tried_on=tried_on)
    return explain(
        cells.crops,
        cells.labels,
        cells.outlines,
        how,
        nuclei=cells.nuclei or None,
        method=method,
        tried_on=tried_on,
    )


def milliseconds(made: Callable[[], object]) -> str:
    """The median time and, in brackets, the processor time of all threads."""
    made()
    taken = []
    for _ in range(ROUNDS):
        started = perf_counter(), process_time()
        made()
        taken.append((1000 * (perf_counter() - started[0]), 1000 * (process_time() - started[1])))
    wall, processor = np.median(taken, axis=0)
    return f"{wall:.0f} ({processor:.0f})"


def timed(cells: Cells, network: Network, method: Method) -> list[str]:
    words = STREAMS[network.card.name].words
    ways = (
        lambda: explained(cells, network, method, tried=False),
        lambda: explained(cells, network, method, tried=True),
        lambda: words(cells, explained(cells, network, method, tried=True), network),
    )
    return [milliseconds(way) for way in ways]


def means(given: Sequence[Receipt]) -> list[str]:
    names = ("deletion", "insertion", "random_deletion", "random_insertion")
    columns = [f"{np.mean([getattr(one, name) for one in given]):.2f}" for name in names]
    return [*columns, f"{100 * np.mean([one.reliable for one in given]):.0f} %"]


def shares(made: Sequence[Explanation]) -> list[str]:
    names = ("focus_ratio", "nucleus_ratio", "cytoplasm_ratio", "background_ratio")
    parts = ([getattr(one, name) for one in made] for name in names)
    columns = ["" if None in part else f"{np.mean(part):.2f}" for part in parts]
    low, middle, high = np.quantile([one.strength for one in made], (0.1, 0.5, 0.9))
    return [*columns, f"{low:.2g} / {middle:.2g} / {high:.2g}"]


def likeness(made: Sequence[Explanation], others: Sequence[Explanation]) -> str:
    pairs = [(one.heatmap.ravel(), other.heatmap.ravel()) for one, other in zip(made, others, strict=True)]
    alike = [np.corrcoef(*pair)[0, 1] for pair in pairs if min(one.std() for one in pair) > 0]
    return f"{np.mean(alike):.2f}"


def faithfulness(name: str, cells: Cells, network: Network) -> list[list[str]]:
    head = [network.card.name, network.card.version, name, str(len(cells.crops))]
    made = []
    for method in Method:
        looked = explained(cells, network, method, tried=True)
        second = explained(cells.called_second(), network, method, tried=False)
        tried = means([one.receipt for one in looked])
        made.append([*head, method.value, *tried, *shares(looked), likeness(looked, second)])
    for title, masks in STREAMS[network.card.name].without_network(cells).items():
        tried = receipts(cells.crops, [np.float32(mask > 0) for mask in masks], cells.labels, network)
        on = np.mean([mask[own > 0].sum() / mask.sum() for mask, own in zip(masks, cells.masks, strict=True)])
        made.append([*head, title, *means(tried), f"{on:.2f}", "", "", f"{1 - on:.2f}", "", "1.00"])
    return made


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(data: Path, names: Sequence[str], folders: Sequence[Path], count: int) -> None:
    times, trials = [], []
    for network in (runtime.load(name, folder) for name in names for folder in folders):
        stream = STREAMS[network.card.name]
        for name in stream.sets:
            cells = stream.cells(data, name, count, network)
            trials += faithfulness(name, cells, network)
        for method in Method:
            some = cells.first(TIMED)
            head = [network.card.name, network.card.version, method.value]
            times.append([*head, *timed(some, network, method)])
    columns = (f"{TIMED} maps, ms (processor)", "with receipts", "and words")
    print(table(("network", "version", "method", *columns), times), end="\n\n")
    head = "network,version,cells,n,map,deletion,insertion,random deletion,random insertion,reliable"
    parts = "on cell,nucleus,cytoplasm,background,strength 10 % / 50 % / 90 %,as for second class"
    print(table(f"{head},{parts}".split(","), trials))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--networks", nargs="+", choices=STREAMS, default=[*STREAMS])
    parser.add_argument("--weights", type=Path, nargs="+", default=[registry.WEIGHTS])
    parser.add_argument("--cells", type=int, default=100)
    given = parser.parse_args()
    torch.set_num_threads(2)
    main(given.data, given.networks, given.weights, given.cells)
