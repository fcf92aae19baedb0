"""The second reader looks at the cells in doubt before an analysis is saved; it never changes a call."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from django.conf import settings

from inference import pictures
from inference.pipeline.findings import Cell, Findings
from inference.second_reader.door import from_settings
from inference.second_reader.prompt import ClassContext
from inference.second_reader.reader import Sight

REASON = "second_reader"


def with_readings(findings: Findings) -> Findings:
    """Return the findings with what a language model says about the least sure of the cells in doubt.

    Where it doubts a call too, that is one more reason for review; where it agrees, the other reasons stay.
    Without a second reader set up, these are the findings as they are.
    """
    reader = from_settings()
    if reader is None:
        return findings
    doubted = _least_sure(findings.cells)[: settings.SECOND_READER_CELLS]
    readings = reader.read_all([_sight(cell) for cell in doubted])
    read = {
        cell.cell_id: replace(
            cell,
            reading=reading,
            review_reasons=(*cell.review_reasons, REASON) if reading.doubts else cell.review_reasons,
        )
        for cell, reading in zip(doubted, readings, strict=True)
        if reading is not None
    }
    return replace(findings, cells=tuple(read.get(cell.cell_id, cell) for cell in findings.cells))


def _least_sure(cells: Sequence[Cell]) -> list[Cell]:
    asked = [cell for cell in cells if cell.review_reasons and cell.call and cell.explanation]
    return sorted(asked, key=lambda cell: cell.call.confidence if cell.call else 1.0)


def _sight(cell: Cell) -> Sight:
    """Return all that a second reader is shown and told about a cell: nothing about whose it is."""
    call, explanation, crop = cell.call, cell.explanation, np.asarray(cell.crop)
    if call is None or explanation is None:
        raise ValueError("Only a cell that was called and explained can be read.")
    context = ClassContext(
        call.label, call.confidence, tuple(call.probabilities), (), explanation.focus_ratio
    )
    return pictures.png(crop), pictures.heated_png(crop, explanation.drawn), context
