"""The tiles of a deep zoom: where each lies in a picture, and its pixels as a JPEG.

Levels are those of Deep Zoom: the last is the picture itself, each one before it half as large, rounded up.
"""

import io
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image as Picture

from inference.pipeline.findings import Box, Image

SIDE = 512
OVERLAP = 1
"""Neighbours share so many pixels on each side, so that no seam shows between them."""

QUALITY = 92
BAND_PIXELS = 16_000_000
"""So many pixels are read at most at a time, however coarse the tile."""

AT_ONCE = threading.Semaphore(max(2, os.cpu_count() or 2))
"""Tiles that are made at the same time: more would not come sooner and take more memory."""


class Level(Protocol):
    """One resolution of a source: its size in px, and how many level-0 px one of its px is wide."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def downsample(self) -> float: ...


class Source(Protocol):
    """What hands out pixels; `levels` start at the finest."""

    @property
    def levels(self) -> Sequence[Level]: ...

    def read(self, level: int, box: Box) -> Image: ...


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile by its level, column and row."""

    level: int
    column: int
    row: int


def last_level(width: int, height: int) -> int:
    """The level that is the picture itself."""
    return (max(width, height, 1) - 1).bit_length()


def place(tile: Tile, width: int, height: int) -> tuple[int, Box] | None:
    """How many level-0 px a px of the tile is wide, and its box in px of its level; None outside."""
    ahead = last_level(width, height) - tile.level
    if ahead < 0:
        return None
    scale = 1 << ahead
    across = _span(tile.column, -(-width // scale))
    down = _span(tile.row, -(-height // scale))
    if across is None or down is None:
        return None
    return scale, (across[0], down[0], across[1], down[1])


def _span(number: int, length: int) -> tuple[int, int] | None:
    start = number * SIDE
    if start >= length:
        return None
    return max(0, start - OVERLAP), min(length, start + SIDE + OVERLAP)


def jpeg(source: Source, scale: int, box: Box) -> bytes:
    """The tile of a box in px of a level whose px are `scale` level-0 px wide."""
    with AT_ONCE:
        buffer = io.BytesIO()
        # Colours at full resolution: granules are told by theirs.
        Picture.fromarray(pixels(source, scale, box)).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def pixels(source: Source, scale: int, box: Box) -> Image:
    """The pixels of such a box, uint8 RGB, averaged from the coarsest level that is fine enough."""
    number = _level_for(source.levels, scale)
    level = source.levels[number]
    x0, y0, x1, y1 = box
    per_px = scale / level.downsample
    rows = max(1, int(BAND_PIXELS / ((x1 - x0) * per_px * per_px)))
    bands = [_band(source, number, scale, (x0, top, x1, min(y1, top + rows))) for top in range(y0, y1, rows)]
    return np.concatenate(bands) if len(bands) > 1 else bands[0]


def _level_for(levels: Sequence[Level], scale: int) -> int:
    """Downsamples of files are ratios of rounded sides, hence the tolerance."""
    return max(
        number for number, level in enumerate(levels) if number == 0 or level.downsample <= scale * 1.01
    )


def _band(source: Source, number: int, scale: int, box: Box) -> Image:
    level = source.levels[number]
    across = _stretch(box[0], box[2], scale / level.downsample, level.width)
    down = _stretch(box[1], box[3], scale / level.downsample, level.height)
    left, top, right, bottom = int(across[0]), int(down[0]), -int(-across[1] // 1), -int(-down[1] // 1)
    read = source.read(number, (left, top, right, bottom))
    size = (box[2] - box[0], box[3] - box[1])
    if (right - left, bottom - top) == size:
        return np.ascontiguousarray(read)
    inside = (across[0] - left, down[0] - top, across[1] - left, down[1] - top)
    picture = Picture.fromarray(np.ascontiguousarray(read))
    return np.asarray(picture.resize(size, Picture.Resampling.BOX, box=inside), np.uint8)


def _stretch(start: int, end: int, per_px: float, length: int) -> tuple[float, float]:
    """A stretch of the tile's level in px of the level that is read, at least one px of it."""
    first = min(start * per_px, length - 1)
    return first, max(first + 1, min(end * per_px, length))
