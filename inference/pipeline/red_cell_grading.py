"""Grades the red cells of a smear as haematologists do; the table and its sources are in `config`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.pipeline.aggregation import share
from inference.pipeline.config import RBC_CLASSES, RBC_GRADES_PERCENT, RBC_SIZES, RBC_UNTRAINED
from inference.pipeline.figures import Notice, Severity, Share
from inference.pipeline.red_cell_findings import (
    Diameters,
    Disagreeing,
    Grade,
    NotGraded,
    RedCellMeasures,
    RedCells,
    RedClass,
    SizeBasis,
)
from inference.pipeline.red_cell_haematology import disagrees

Limits = tuple[float, float, float]
"""From the first two on, in %, a finding is 1+ and 2+; above the third it is 3+."""

LEAST_CELLS = 100
LEAST_FOR_SCHISTOCYTES = 1_000
"""Fewer classified red cells give no grade; schistocytes want 1,000 (Zini et al., ICSH 2012)."""

ANISOCYTOSIS_PERCENT: Limits = (9.0, 12.0, 15.0)
"""This product's own limits of the coefficient of variation of diameters. Price-Jones curves of healthy
adults have 5 to 7 %, and outlines drawn by a network add to that; no standard grades the figure."""

POIKILOCYTOSIS_PERCENT: Limits = (5.0, 11.0, 20.0)
"""This product's own limits of the share of all abnormal shapes; the ICSH grades each shape by itself."""

FLAGS = {
    "microcyte": ("microcytosis_detected", "microcytes"),
    "macrocyte": ("macrocytosis_detected", "macrocytes"),
    "sickle": ("sickle_cells_detected", "sickle cells"),
    "target": ("target_cells_detected", "target cells"),
    "spherocyte": ("spherocytes_detected", "spherocytes"),
    "stomatocyte": ("stomatocytes_detected", "stomatocytes"),
    "ovalocyte": ("ovalocytes_detected", "ovalocytes"),
    "elliptocyte": ("elliptocytes_detected", "elliptocytes"),
    "teardrop": ("teardrop_cells_detected", "teardrop cells"),
    "echinocyte": ("echinocytes_detected", "echinocytes"),
    "schistocyte": ("schistocytes_elevated", "schistocytes"),
    "hypochromic": ("hypochromia_detected", "hypochromic cells"),
    "poikilocytosis": ("poikilocytosis", "cells of abnormal shape"),
}
"""The code of each flag and what is counted for it."""

RELATIVE = Notice(
    "rbc_size_relative",
    "The pixel size was estimated from the red cells themselves. Macrocytes and microcytes were told by the"
    " median diameter of this smear, so a smear of evenly small or large cells looks normal; neither is"
    " graded. Enter the pixel size with the case for sizes in micrometres.",
    Severity.INFO,
)
NOT_THE_ANALYSERS = Notice(
    "rbc_cv_is_not_rdw",
    "Anisocytosis is the coefficient of variation of diameters on the smear. It is not the analyser's RDW,"
    " which is that of volumes, and the two have different ranges.",
    Severity.INFO,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """How many red cells were classified, and by what their size classes were decided."""

    count: int
    basis: SizeBasis

    def graded(self, label: str, count: int, limits: Limits | None) -> RedClass:
        """Grade `count` cells of a class by limits in %; without limits there is a share and no grade."""
        found = share(count, self.count)
        without = self._not_graded(label, count)
        if without or limits is None:
            return RedClass(label, found, without or Grade(None))
        return RedClass(label, found, grade(found, limits))

    def _not_graded(self, label: str, count: int) -> Grade | None:
        if label in RBC_UNTRAINED and not count:
            return Grade(None, not_graded=NotGraded.NOT_TRAINED)
        needed = LEAST_FOR_SCHISTOCYTES if label == "schistocyte" else LEAST_CELLS
        if self.count < needed:
            return _few(self.count, needed)
        relative = label in RBC_SIZES and self.basis is SizeBasis.RELATIVE
        return Grade(None, not_graded=NotGraded.SIZE_ESTIMATED) if relative else None


def graded(
    total: int,
    named: Sequence[tuple[str, RedCellMeasures]],
    limits: Mapping[str, Limits] = RBC_GRADES_PERCENT,
) -> RedCells:
    """Grade the red cells of a smear.

    Args:
        total: all red cells that were counted.
        named: the classified ones, each with its class of RBC_CLASSES and its measures.
        limits: the limits of grades by class, in % of the classified.

    Returns:
        Shares with exact intervals, grades and flags. A flag is raised where the lower end of the interval
        reaches the limit of 2+, the first that the ICSH sets, so that a few false calls raise none.
    """
    counts, count = Counter(label for label, _ in named), len(named)
    measured = any(measures.diameter_um is not None for _, measures in named)
    basis = SizeBasis.MEASURED if measured else SizeBasis.RELATIVE
    sample = Sample(count, basis)
    classes = tuple(sample.graded(label, counts[label], limits.get(label)) for label in RBC_CLASSES)
    shapes = sum(one.share.count for one in classes if one.label not in ("normal", "hypochromic", *RBC_SIZES))
    poikilocytosis = sample.graded("poikilocytosis", shapes, POIKILOCYTOSIS_PERCENT)
    sizes = diameters([measures for _, measures in named])
    anisocytosis = graded_variation(sizes)
    table = {**limits, "poikilocytosis": POIKILOCYTOSIS_PERCENT}
    return RedCells(
        total=total,
        classified=count,
        size_basis=basis,
        classes=classes,
        abnormal=share(count - counts["normal"], count),
        poikilocytosis=poikilocytosis,
        anisocytosis=anisocytosis,
        diameters=sizes,
        disagreeing=_disagreeing(named),
        flags=(*_flags((*classes, poikilocytosis), count, table), *_uneven(anisocytosis, sizes)),
        notices=(NOT_THE_ANALYSERS, *((RELATIVE,) if named and basis is SizeBasis.RELATIVE else ())),
    )


def grade(share: Share, limits: Limits) -> Grade:
    """Grade a share, and the ends of its interval, by limits in %."""
    return Grade(step(share.percent, limits), step(share.low, limits), step(share.high, limits))


def diameters(measured: Sequence[RedCellMeasures]) -> Diameters | None:
    """Mean, median and spread of the diameters of red cells; None of fewer than two."""
    relative = np.array([one.relative_diameter for one in measured])
    spread = variation(len(relative), float(relative.sum()), float(np.square(relative).sum()))
    if spread is None:
        return None
    um = [one.diameter_um for one in measured if one.diameter_um is not None]
    mean, median = (float(np.mean(um)), float(np.median(um))) if um else (None, None)
    return replace(spread, mean_um=mean, median_um=median)


def variation(count: int, total: float, squares: float) -> Diameters | None:
    """The spread of diameters by their sums, without mean and median; None of fewer than two.

    The interval of the coefficient of variation is the normal one, cv (1 ± 1.96 / √(2n)).

    Args:
        count: how many cells, n.
        total, squares: sums of their diameters and of the squares of these, relative to the median of each
            smear, so that the figures stand near 1.
    """
    if count < 2:
        return None
    variance = max(0.0, (squares - total * total / count) / (count - 1))
    cv = 100 * variance**0.5 / (total / count)
    margin = 1.96 / (2 * count) ** 0.5
    return Diameters(count, None, None, cv, cv * (1 - margin), cv * (1 + margin))


def step(percent: float, limits: Limits) -> int:
    """The grade, 0 to 3, of a share in % by the limits of 1+, 2+ and 3+ in %."""
    return int(percent >= limits[0]) + int(percent >= limits[1]) + int(percent > limits[2])


def _few(counted: int, needed: int) -> Grade:
    return Grade(None, not_graded=NotGraded.FEW_CELLS, counted=counted, needed=needed)


def _disagreeing(named: Sequence[tuple[str, RedCellMeasures]]) -> Disagreeing:
    found = [label for label, measures in named if disagrees(label, measures)]
    normal = found.count("normal")
    return Disagreeing(normal, len(found) - normal)


def graded_variation(sizes: Diameters | None) -> Grade:
    """Grade the coefficient of variation of diameters, and the ends of its interval, as anisocytosis."""
    if sizes is None:
        return Grade(None, not_graded=NotGraded.FEW_CELLS)
    if sizes.count < LEAST_CELLS:
        return _few(sizes.count, LEAST_CELLS)
    value, low, high = (
        step(cv, ANISOCYTOSIS_PERCENT) for cv in (sizes.cv_percent, sizes.cv_low, sizes.cv_high)
    )
    return Grade(value, low, high)


def _flags(classes: Sequence[RedClass], count: int, limits: Mapping[str, Limits]) -> list[Notice]:
    return [
        Notice(FLAGS[one.label][0], _sentence(FLAGS[one.label][1], one.share, count))
        for one in classes
        if one.label in FLAGS and one.grade.value is not None and one.share.low >= limits[one.label][1]
    ]


def _sentence(counted: str, found: Share, count: int) -> str:
    return (
        f"{counted[0].upper()}{counted[1:]} make up {found.percent:.1f} % of {count} classified red cells"
        f" (95 % interval {found.low:.1f} to {found.high:.1f} %)."
    )


def _uneven(anisocytosis: Grade, sizes: Diameters | None) -> tuple[Notice, ...]:
    if sizes is None or anisocytosis.value is None or anisocytosis.low < 2:
        return ()
    text = (
        f"Anisocytosis: the diameters of {sizes.count} red cells have a coefficient of variation of"
        f" {sizes.cv_percent:.1f} %."
    )
    return (Notice("anisocytosis", text),)
