"""Cells as a network drew them at the working resolution, and what every engine makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Instance, Kind
from inference.pipeline.networks.registry import Card
from inference.pipeline.segmentation_engine import Unexplained, instances_of
from inference.pipeline.segmentation_star import WORK_UM
from inference.pipeline.star import Floats

BORDER_PX = 2.0
"""Half the grid of the default network, which is as exactly as it can tell where a border cuts a cell."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """n cells of one image: `outlines` float32 (n, corners, 2) as x, y in px of the working resolution, and
    `confidences` float32 (n,), 0–1."""

    kinds: Sequence[Kind]
    outlines: Floats
    confidences: Floats

    def instances(self, card: Card, shape: tuple[int, ...], full: tuple[int, ...]) -> list[Instance]:
        """Measure the cells in px of the image, which is `full` = (height, width, ...) px large and was seen
        at `shape`; boxes stand off the outlines by the margins of the network's card."""
        scale = np.array([full[1] / shape[1], full[0] / shape[0]], np.float32)
        margins = self._margins(card) * float(scale.mean())
        return instances_of(self.kinds, self.outlines * scale, self.confidences, full, margins)

    def counted(self, card: Card) -> Floats:
        """The outlines of the cells that are sure enough, by the network's card, to count."""
        return self.outlines[self.confidences >= card.abstain_below]

    def _margins(self, card: Card) -> Floats:
        """How far a person's box stands off the outline, in px of the working resolution."""
        margins = card.text.get("box_margin_um", {})
        return np.array([margins.get(kind.value, 0.0) / WORK_UM for kind in self.kinds], np.float32)


def reaching_the_border(outlines: Floats, shape: tuple[int, ...]) -> Floats:
    """Outlines cut off at the border; what comes within BORDER_PX of it is taken to go on beyond it."""
    limit = np.array([shape[1], shape[0]], np.float32)
    outlines = np.where(outlines < BORDER_PX, 0, outlines)
    return np.where(outlines > limit - BORDER_PX, limit, outlines).astype(np.float32)


def evenly_spread(line: NDArray[np.float64], corners: int) -> NDArray[np.float64]:
    """So many corners (corners, 2) at equal distances along a line (n, 2) that ends where it begins."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    wanted = np.linspace(0.0, along[-1], corners, endpoint=False)
    return np.stack([np.interp(wanted, along, values) for values in line.T], axis=1)


def unexplained(areas: Floats, outlines: Floats, shape: tuple[int, ...], stride: int) -> Unexplained:
    """Find what a network takes for cells, of whichever kind, but no outline covers.

    Args:
        areas: float32 (1 + kinds, rows, columns), logits of the background and of every kind.
        outlines: float32 (n, corners, 2) as x, y in px.
        shape: (height, width, ...) in px of the image, which may be smaller than what the areas show.
        stride: of the areas in px.

    Returns:
        Its share of the area that is taken for cells, and where it lies.
    """
    areas = areas[:, : -(-shape[0] // stride), : -(-shape[1] // stride)]
    stained = areas[0] < areas[1:].max(axis=0)
    covered = np.zeros(stained.shape, np.uint8)
    for outline in np.round(outlines / stride - 0.5).astype(np.int32):
        cv2.fillPoly(covered, [outline], 1)
    # An outline ends between two cells of the grid.
    free = stained & (cv2.dilate(covered, np.ones((3, 3), np.uint8)) == 0)
    return Unexplained(float(free.sum() / max(1, stained.sum())), free)
