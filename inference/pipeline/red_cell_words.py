"""A red cell in words, from what was measured on it."""

from inference.pipeline.cell_words import Description
from inference.pipeline.config import RBC_SIZES
from inference.pipeline.criteria import Verdict
from inference.pipeline.description import SENTENCES, Judged, looked, measured, weighed
from inference.pipeline.findings import Explanation
from inference.pipeline.red_cell_findings import RedCellMeasures
from inference.pipeline.red_cell_haematology import criteria_of

NORMAL_SHAPE = "a normal shape"
"""What is weighed of a cell that its size makes a macrocyte or microcyte."""


def describe(label: str, cell: RedCellMeasures, focus: Explanation) -> Description:
    """Describe a red cell: what was measured, what of it speaks for and against its shape, and where the
    evidence of the network lies.

    Args:
        label: the class that the words are written for, one of RBC_CLASSES.
        cell: what was measured on it.
        focus: the explanation of the shape of that class.

    Returns:
        The words, the same for the same cell.
    """
    supports, contradicts = (
        Judged(measured(criteria_of(label), cell, {}, verdict))
        for verdict in (Verdict.SUPPORTS, Verdict.CONTRADICTS)
    )
    by_size = label in RBC_SIZES
    name = NORMAL_SHAPE if by_size else label.replace("_", " ")
    sentences = (
        _seen(cell),
        SENTENCES["size_measured"] if by_size else "",
        weighed(name, supports, contradicts),
        looked(focus),
    )
    return Description(label, " ".join(filter(None, sentences)), supports.lines, contradicts.lines)


def _seen(cell: RedCellMeasures) -> str:
    parts = [
        SENTENCES["across"].format(um=cell.diameter_um)
        if cell.diameter_um
        else SENTENCES["across_median"].format(times=cell.relative_diameter),
        SENTENCES["long"].format(times=cell.elongation),
        SENTENCES["circular"].format(value=cell.circularity),
    ]
    if cell.pallor_ratio is not None:
        parts.append(SENTENCES["centre"].format(times=cell.pallor_ratio))
    return SENTENCES["seen"].format(parts=", ".join(parts))
