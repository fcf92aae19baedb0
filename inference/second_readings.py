"""The second reader looks at the cells in doubt before an analysis is saved; it never changes a call."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from django.conf import settings

from inference import pictures
from inference.pipeline.cell_words import Reading
from inference.pipeline.findings import Call, Cell, Explanation, Image
from inference.pipeline.haematology import criteria_of
from inference.second_reader.door import from_settings
from inference.second_reader.prompt import ClassContext
from inference.second_reader.reader import Sight

REASON = "second_reader"

SECONDS_FOR_A_CALLER = 8
"""So long a person who waits for the call of a single cell waits for its reading at most."""


def with_readings(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells with what a language model says about the least sure of those in doubt.

    Where it doubts a call too, that is one more reason for review; where it agrees, the other reasons stay.
    Without a second reader set up, these are the cells as they are.
    """
    reader, read = from_settings(), list(cells)
    if reader is None:
        return read
    doubted = _least_sure(cells)[: settings.SECOND_READER_CELLS]
    readings = reader.read_all([_sight_of(cells[place]) for place in doubted])
    for place, reading in zip(doubted, readings, strict=True):
        if reading is not None:
            reasons = cells[place].review_reasons
            reasons = (*reasons, REASON) if reading.doubts else reasons
            read[place] = replace(cells[place], reading=reading, review_reasons=reasons)
    return read


def reading_of(call: Call, explanation: Explanation, crop: Image) -> Reading | None:
    """What a language model says about a single cell while somebody waits; None without an answer in time."""
    reader = from_settings(SECONDS_FOR_A_CALLER)
    return reader.read(*_sight(call, explanation, crop)) if reader else None


def _least_sure(cells: Sequence[Cell]) -> list[int]:
    asked = [(cell.call.confidence, place) for place, cell in enumerate(cells) if cell.call and _asked(cell)]
    return [place for _, place in sorted(asked)]


def _asked(cell: Cell) -> bool:
    return bool(cell.review_reasons and cell.explanation)


def _sight_of(cell: Cell) -> Sight:
    if cell.call is None or cell.explanation is None:
        raise ValueError("Only a cell that was called and explained can be read.")
    return _sight(cell.call, cell.explanation, np.asarray(cell.crop))


def _sight(call: Call, explanation: Explanation, crop: Image) -> Sight:
    """Return all that a second reader is shown and told about a cell: nothing about whose it is."""
    classes, criteria = tuple(call.probabilities), criteria_of(call.label)
    context = ClassContext(call.label, call.confidence, classes, criteria, explanation.focus_ratio)
    return pictures.png(crop), pictures.heated_png(crop, explanation.drawn), context
