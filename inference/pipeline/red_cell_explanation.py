"""Where the network looked when it named the red cells that a person is to see, and these cells in words."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from inference.pipeline.config import shape_of
from inference.pipeline.explanation import explain
from inference.pipeline.findings import Cell, Explanation
from inference.pipeline.networks.registry import Card
from inference.pipeline.red_cell_calls import RedReader
from inference.pipeline.red_cell_words import describe

AT_ONCE = 32

OFF_CELL = "off_cell"


def explained(reader: RedReader, found: Sequence[Cell]) -> list[Cell]:
    """Give the red cells that stand in the review queue their heat maps, with receipts, and words.

    Takes the reader that called the cells and all cells with the reasons for review; the others stay as they
    are. Explained is the shape that the network called, normal where the size is the finding. That the
    evidence lies beside a cell is added to its reasons and puts no further cell into the queue: of thin cells
    less evidence lies on them, and right calls are off the cell as often as wrong ones (docs/red_cells.md).
    """
    whole = list(found)
    shown = [place for place, cell in enumerate(found) if cell.review_reasons and cell.call]
    for start in range(0, len(shown), AT_ONCE):
        places = shown[start : start + AT_ONCE]
        some = [found[place] for place in places]
        for place, cell, explanation in zip(places, some, _explanations(reader, some), strict=True):
            whole[place] = _with(cell, explanation, reader)
    return whole


def _explanations(reader: RedReader, some: Sequence[Cell]) -> list[Explanation]:
    network = reader.network
    return explain(
        reader.filter.crops([np.asarray(cell.crop) for cell in some]),
        [shape_of(cell.call.label) for cell in some if cell.call],
        [reader.outline(cell.instance) for cell in some],
        (network.module, network.card),
        tried_on=network,
    )


def _with(cell: Cell, explanation: Explanation, reader: RedReader) -> Cell:
    kept = replace(explanation, heatmap=reader.spool.keep(np.asarray(explanation.heatmap)))
    words = describe(cell.call.label, cell.measures, explanation) if cell.call and cell.measures else None
    reasons = (*cell.review_reasons, *_off(explanation, reader.network.card))
    return replace(cell, explanation=kept, description=words, review_reasons=reasons)


def _off(explanation: Explanation, card: Card) -> tuple[str, ...]:
    return (OFF_CELL,) if explanation.focus_ratio < card.focus_below else ()
