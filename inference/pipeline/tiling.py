"""Cuts a slide into overlapping tiles and leaves out those without tissue or focus."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.config import TileConfig
from inference.pipeline.findings import Box, Image

BLUR_SHARE = 0.15
"""A tile is blurred when its focus is below this share of the sharpest tenth of the slide's tiles."""

TISSUE_SHARE = 0.92
"""A pixel is tissue when it is darker than this share of the background's grey level."""

Read = Callable[[Box], Image]


@dataclass(frozen=True, slots=True)
class Tiling:
    """The boxes to analyse in level-0 pixels, row by row, and how many were left out for which reason."""

    boxes: tuple[Box, ...]
    background: int
    blurred: int


def choose(read: Read, width: int, height: int, config: TileConfig, ground: float) -> Tiling:
    """Choose the tiles of a slide that are worth analysing.

    Args:
        read: gives the pixels of a box, uint8 RGB.
        width, height: the size of the slide in px.
        config: side, overlap and the least share of tissue.
        ground: grey level of the empty background, 0–255.

    Returns:
        The tiling. A slide no larger than a tile is one tile, whatever it looks like: its quality is
        another stage's matter.
    """
    boxes = grid(width, height, config)
    if len(boxes) == 1:
        return Tiling(tuple(boxes), 0, 0)
    greys = ((box, cv2.cvtColor(read(box), cv2.COLOR_RGB2GRAY)) for box in boxes)
    stained = {box: focus(grey) for box, grey in greys if tissue_share(grey, ground) >= config.min_tissue}
    least = BLUR_SHARE * float(np.percentile(list(stained.values()), 90)) if stained else 0.0
    kept = tuple(box for box, sharpness in stained.items() if sharpness >= least)
    return Tiling(kept, len(boxes) - len(stained), len(stained) - len(kept))


def grid(width: int, height: int, config: TileConfig) -> list[Box]:
    """Boxes of all tiles, row by row; the last of a row or column ends at the border of the slide."""
    return [
        (x, y, min(x + config.size, width), min(y + config.size, height))
        for y in _starts(height, config)
        for x in _starts(width, config)
    ]


def _starts(length: int, config: TileConfig) -> list[int]:
    if length <= config.size:
        return [0]
    last = length - config.size
    return [*range(0, last, config.size - config.overlap), last]


def tissue_share(grey: NDArray[Any], ground: float) -> float:
    """Share of the pixels of a grey image, uint8, that are darker than the background."""
    return float((grey < TISSUE_SHARE * ground).mean())


def focus(grey: NDArray[Any]) -> float:
    """Variance of the Laplacian of a grey image, uint8; larger is sharper."""
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())
