"""What the shapes of red cells look like, as haematology has it, and what of that is measured."""

import math
from collections.abc import Mapping

from inference.pipeline.config import shape_of
from inference.pipeline.criteria import Between, Part, Source
from inference.pipeline.red_cell_findings import RedCellMeasures

Span = tuple[float, float]

ANY: Span = (0.0, math.inf)
NONE: Span = (math.inf, -math.inf)
"""What is measured says nothing for the shape wherever it lies: others have it as often."""


def _outline(fits: Span, may: Span, supports: str, contradicts: str, source: Source = Source.ICSH) -> Between:
    return Between(Part.OUTLINE, "elongation", fits, may, supports, contradicts, source)


def _centre(fits: Span, may: Span, supports: str, contradicts: str) -> Between:
    return Between(Part.CENTRE, "pallor_ratio", fits, may, supports, contradicts, Source.ICSH)


MEASURED: Mapping[str, tuple[Between, ...]] = {
    "normal": (
        _outline((1.0, 1.2), (1.0, 1.35), "round", "too long", Source.BAIN),
        _centre((0.4, 0.8), ANY, "paler than the ring", ""),
    ),
    "sickle": (_outline((1.8, math.inf), (1.25, math.inf), "long", "too round"),),
    "target": (_outline(NONE, (1.0, 1.5), "", "too long"),),
    "spherocyte": (
        _outline(NONE, (1.0, 1.3), "", "too long"),
        _centre((0.8, math.inf), (0.75, math.inf), "about as dense as the ring", "pale"),
    ),
    "stomatocyte": (_centre((0.0, 0.55), ANY, "pale", ""),),
    "ovalocyte": (_outline((1.2, 1.6), (1.1, 2.2), "oval", "too round or too long"),),
    "elliptocyte": (_outline((1.7, math.inf), (1.5, math.inf), "long", "too round"),),
    "teardrop": (_outline((1.3, math.inf), ANY, "drawn out", ""),),
    "schistocyte": (Between(Part.OUTLINE, "circularity", (0.0, 0.95), ANY, "irregular", "", Source.ICSH),),
    "hypochromic": (
        _outline(NONE, (1.0, 1.6), "", "too long"),
        _centre((0.0, 0.4), (0.0, 0.9), "very pale", "not pale"),
    ),
}
"""What is measured for each shape; of those that are left out nothing measured tells.

In words the criteria are those of the ICSH (Palmer et al. 2015): elliptocytes are longer than twice their
width and ovalocytes shorter, a spherocyte has no pale centre and a hypochromic cell a wide one. Round cells
are within a fifth of a circle by eye (Bain). The numbers are this product's own: what supports is found in
about three quarters of the labelled cells of the shape, what contradicts in few (docs/red_cells.md).
"""


def criteria_of(label: str) -> tuple[Between, ...]:
    """Return what is measured for a class of red cells: for one that its size makes, what is for a normal
    one."""
    return MEASURED.get(shape_of(label), ())


def contradiction(label: str, measures: RedCellMeasures) -> float:
    """How far the measures of a cell contradict the shape it is called, as a share.

    Of the measure that is furthest out, the distance from the limit of the class that it passes, over that
    limit: an elongation of 1.62 in a cell called normal, which may have 1.35, gives 0.2. 0 where nothing
    contradicts. The limits are those of `MEASURED`.
    """
    return max((one.beyond(measures) for one in criteria_of(label)), default=0.0)


def disagrees(label: str, measures: RedCellMeasures) -> bool:
    """Whether the measures of a cell contradict the shape it is called."""
    return contradiction(label, measures) > 0
