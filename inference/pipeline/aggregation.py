"""Turns the cells of a smear into counts, shares with exact intervals, ratios and flags."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv

from inference.pipeline.config import DIFFERENTIAL_CLASSES
from inference.pipeline.findings import Aggregate, Cell, Kind, Notice, Severity, Share

FEW_CELLS = 100
"""A manual differential counts 100 leukocytes or more (CLSI H20-A2 counts 200 per reader)."""

LEUKEMIA_SHARE = 20.0
LEUKEMIA_CELLS = 20
"""Blasts of 20 % and more define acute leukemia (WHO 2016, ICC 2022); asked of at least 20 leukocytes."""

LEFT_SHIFT_INDEX = 10.0
"""Immature granulocytes per 100 neutrophils from which a left shift is flagged."""


def share(count: int, total: int, level: float = 0.95) -> Share:
    """Give `count` of `total` in % with its exact interval (Clopper and Pearson, Biometrika 1934).

    Args:
        count: 0 to `total`.
        total: number of cells; 0 gives 0 % with the interval 0 to 100 %.
        level: confidence level of the interval, 0–1.

    Returns:
        The share; all values in %.
    """
    if not 0 <= count <= total:
        raise ValueError(f"{count} cells cannot be a part of {total}")
    if total == 0:
        return Share(0, 0.0, 0.0, 100.0)
    tail = (1 - level) / 2
    low = float(betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return Share(count, 100 * count / total, 100 * low, 100 * high)


class Counted(NamedTuple):
    """What the figures take from a cell: its kind, what it counts as or None without a call, how sure the
    call was, 0–1, and whether a person is asked to look."""

    kind: str
    label: str | None
    confidence: float
    is_unsure: bool


def aggregate(cells: Iterable[Cell]) -> Aggregate:
    """Add up the cells of one smear as their calls say; every cell once."""
    return figures([_counted(cell) for cell in cells])


def _counted(cell: Cell) -> Counted:
    call, unsure = cell.call, bool(cell.review_reasons)
    if call is None:
        return Counted(cell.instance.kind, None, 0.0, unsure)
    return Counted(cell.instance.kind, call.label, call.confidence, unsure)


def figures(cells: Sequence[Counted]) -> Aggregate:
    """Add up the cells of one smear.

    Args:
        cells: every cell once. A classified cell counts as its label, a red one as a red cell whatever its
            shape; cells without a call count as the kind that segmentation gave them, white ones only in
            `total_cells`. Artifacts are no cells.

    Returns:
        The figures; leukocytes of the differential are the seven classes of DIFFERENTIAL_CLASSES.
    """
    white = [cell for cell in cells if cell.label is not None and cell.kind != Kind.RBC]
    called = Counter(cell.label for cell in white if cell.label is not None)
    artifacts = sum(cell.label == "artifact" for cell in cells)
    unnamed = Counter(cell.kind for cell in cells if cell.label is None)
    leukocytes = sum(called[label] for label in DIFFERENTIAL_CLASSES)
    differential = {label: share(called[label], leukocytes) for label in DIFFERENTIAL_CLASSES}
    confidences = [cell.confidence for cell in white]
    unsure = sum(cell.is_unsure for cell in white)
    red = sum(cell.kind == Kind.RBC for cell in cells) - (artifacts - called["artifact"])
    return Aggregate(
        total_cells=len(cells) - artifacts,
        rbc_count=red,
        wbc_count=leukocytes,
        platelet_count=unnamed[Kind.PLATELET] + called["platelet"],
        artifact_count=artifacts,
        erythroblast_count=called["erythroblast"],
        differential=differential,
        rbc_wbc_ratio=_ratio(red, leukocytes),
        erythroblasts_per_100_wbc=_per_100(called["erythroblast"], leukocytes),
        left_shift_index=_per_100(called["immature_granulocyte"], called["neutrophil"]),
        myeloid_erythroid_ratio=_ratio(_myeloid(called), called["erythroblast"]),
        uncertain_share=_ratio(unsure, len(confidences)),
        mean_confidence=float(np.mean(confidences)) if confidences else None,
        flags=tuple(flags(called)),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _per_100(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _myeloid(called: Counter[str]) -> int:
    """Granulocytes and their precursors, the M of the M:E ratio; blasts are of unknown lineage here."""
    return sum(called[label] for label in ("neutrophil", "eosinophil", "basophil", "immature_granulocyte"))


def _leukocytes(count: int) -> str:
    return f"{count} leukocyte" if count == 1 else f"{count} leukocytes"


def flags(called: Counter[str]) -> list[Notice]:
    """What counts of the classes of white cells make worth saying, as one sentence each."""
    found, blasts = [], called["blast"]
    leukocytes = sum(called[label] for label in DIFFERENTIAL_CLASSES)
    if blasts:
        called_so = "is called a blast" if blasts == 1 else "are called blasts"
        text = f"{blasts} of {_leukocytes(leukocytes)} {called_so}."
        found.append(Notice("blast_detected", text))
    if leukocytes >= LEUKEMIA_CELLS and 100 * blasts / leukocytes >= LEUKEMIA_SHARE:
        text = f"Blasts make up {100 * blasts / leukocytes:.0f} % of {_leukocytes(leukocytes)} (limit 20 %)."
        found.append(Notice("possible_leukemia", text))
    immature, neutrophils = called["immature_granulocyte"], called["neutrophil"]
    if immature and immature >= LEFT_SHIFT_INDEX / 100 * neutrophils:
        text = f"{immature} immature granulocytes beside {neutrophils} neutrophils: left shift."
        found.append(Notice("left_shift", text))
    if called["erythroblast"]:
        text = f"Erythroblasts: {called['erythroblast']} beside {_leukocytes(leukocytes)}."
        found.append(Notice("erythroblasts_present", text))
    if leukocytes < FEW_CELLS:
        text = f"Leukocytes counted: {leukocytes} (100 are usual). The intervals are wide."
        found.append(Notice("few_cells", text, Severity.INFO))
    return found
