"""Cuts a slide of any size into overlapping tiles and hands them out one by one, without the empty and the
blurred ones; nothing is read twice, and no more than a few tiles are in memory."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline import sharpness, tissue
from inference.pipeline.config import TileConfig
from inference.pipeline.errors import UnreadableImage
from inference.pipeline.findings import Box, Image, TileState
from inference.pipeline.tissue import Plane

logger = logging.getLogger(__name__)

WINDOW_SIDE, WINDOW_COUNT = 512, 16
"""Windows of this side in px, at most this many, stand for a whole slide."""
LEAST_FOCUS = 0.11
"""A tile is out of focus below this sharpness: of fields as they are 99 of 100 reach 0.14, while
most of those blurred by 0.15 of the radius of their cells stay below (benchmarks/quality_thresholds.py)."""
BLUR_SHARE = 0.35
"""A tile is out of focus below this share of the sharpest tenth of the slide's windows."""
TISSUE_SHARE = 0.92
"""A pixel is tissue when it is darker than this share of the background's grey level."""
EMPTY_SHARE = 0.95
"""Glass is empty where an overview shows nothing darker than this share of the background's grey level."""
COARSEST = 64.0
"""An overview whose pixels stand for more px than this does not show single cells."""

Read = Callable[[Box], Image]


@dataclass(frozen=True, slots=True)
class Gate:
    """What a tile has to be like: darker than `ground`, the grey level of the background, 0–255, and no less
    sharp than `focus` where it is reduced `step` times."""

    ground: float
    step: int
    focus: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The boxes of all tiles in px of level 0, row by row, and the numbers of those that are empty glass."""

    boxes: tuple[Box, ...]
    empty: frozenset[int]
    gate: Gate


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a plan; `pixels` uint8 RGB (height, width, 3) only where it is to be analysed."""

    number: int
    box: Box
    state: TileState
    pixels: Image | None = None


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


def windows(
    overview: Image, width: int, height: int, side: int = WINDOW_SIDE, count: int = WINDOW_COUNT
) -> list[Box]:
    """Choose where to look at a slide before its tiles are read.

    Args:
        overview: the whole slide, uint8 RGB, reduced.
        width, height: the size of the slide, px.
        side: of a window, px.
        count: of windows at most.

    Returns:
        Boxes in px of level 0: the whole of a field of up to (4 × side)² px; else windows on tissue, evenly
        spread in reading order, or spread over all of a slide without tissue.
    """
    if width * height <= (4 * side) ** 2:
        return [(0, 0, width, height)]
    columns, rows = max(1, width // side), max(1, height // side)
    stained = _stained(overview, columns, rows).ravel()
    typical = float(np.median(stained[stained > 0])) if stained.any() else 0.0
    places = np.flatnonzero(stained >= typical / 2)
    chosen = np.unique(np.linspace(0, len(places) - 1, count).round().astype(int))
    corners = [(int(place) % columns * side, int(place) // columns * side) for place in places[chosen]]
    return [(x, y, min(x + side, width), min(y + side, height)) for x, y in corners]


def _stained(overview: Image, columns: int, rows: int) -> NDArray[np.float32]:
    """Share of tissue in each cell of a grid over an overview, float32 (rows, columns)."""
    grey = tissue.grey_of(overview)
    dark = (grey < EMPTY_SHARE * _ground(grey)).astype(np.float32)
    return np.asarray(cv2.resize(dark, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def _ground(grey: Plane) -> float:
    return tissue.ground_level([grey], [np.zeros_like(grey)])


def gate(samples: Sequence[Image], config: TileConfig) -> Gate:
    """Measure once, on windows of a slide, what its tiles have to be like.

    Args:
        samples: uint8 RGB windows at level 0, as `windows` chooses them.
        config: the least share of tissue.
    """
    greys = [tissue.grey_of(sample) for sample in samples]
    found, ground = tissue.fields(greys)
    step = sharpness.step_for(tissue.cell_radius(found))
    small = [tissue.reduced(grey, step) for grey in greys]
    sharp = [_sharpness(grey, ground) for grey in small if _tissue_share(grey, ground) >= config.min_tissue]
    best = float(np.percentile(sharp, 90)) if sharp else 0.0
    return Gate(ground, step, max(LEAST_FOCUS, BLUR_SHARE * best))


def plan(overview: Image, size: tuple[int, int], gate: Gate, config: TileConfig) -> Plan:
    """Lay the tiles over a slide and find those that the overview shows to be empty glass.

    Args:
        overview: the whole slide, uint8 RGB, reduced.
        size: width and height of the slide, px.
        gate: what the tiles have to be like.
        config: side and overlap.

    Returns:
        The plan. Empty is only what holds not one darker pixel in the overview, and nothing where its
        pixels are too coarse to show a cell.
    """
    boxes = grid(*size, config)
    scale = size[0] / overview.shape[1]
    if len(boxes) == 1 or scale > COARSEST:
        return Plan(tuple(boxes), frozenset(), gate)
    dark = tissue.grey_of(overview) < EMPTY_SHARE * gate.ground
    empty = frozenset(number for number, box in enumerate(boxes) if not dark[_seen(box, scale)].any())
    return Plan(tuple(boxes), empty, gate)


def _seen(box: Box, scale: float) -> tuple[slice, slice]:
    """The pixels of an overview that show any part of a box, and one more on every side."""
    x0, y0, x1, y1 = (value / scale for value in box)
    return slice(max(0, int(y0) - 1), int(np.ceil(y1)) + 1), slice(max(0, int(x0) - 1), int(np.ceil(x1)) + 1)


def walk(read: Read, plan: Plan, config: TileConfig) -> Iterator[Tile]:
    """Hand out every tile of a plan in order.

    Args:
        read: gives the pixels of a box, uint8 RGB; called from several threads at once.
        plan: of the slide.
        config: `readers` threads read and judge ahead, with at most `prefetch` tiles, two at least, in
            memory, the one that was handed out last among them.

    Yields:
        Tiles with their state. A slide of one tile is analysed whatever it looks like: its quality is
        another stage's matter.

    A tile of several that `read` finds damaged is one that failed. Raises what else `read` raises. No thread
    outlives the iterator, however it ends.
    """
    pool = ThreadPoolExecutor(config.readers, thread_name_prefix="tiles")
    waiting: deque[Future[Tile]] = deque()
    numbers = iter(range(len(plan.boxes)))
    try:
        while True:
            while len(waiting) < max(1, config.prefetch - 1) and (number := next(numbers, None)) is not None:
                waiting.append(pool.submit(_tile, read, plan, number, config))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _tile(read: Read, plan: Plan, number: int, config: TileConfig) -> Tile:
    box = plan.boxes[number]
    if number in plan.empty:
        return Tile(number, box, TileState.BACKGROUND)
    try:
        pixels = read(box)
    except UnreadableImage:
        if len(plan.boxes) == 1:
            raise
        logger.warning("Tile %s at %s cannot be read", number, box, exc_info=True)
        return Tile(number, box, TileState.FAILED)
    state = TileState.ANALYSED if len(plan.boxes) == 1 else judge(pixels, plan.gate, config)
    return Tile(number, box, state, pixels if state is TileState.ANALYSED else None)


def judge(pixels: Image, gate: Gate, config: TileConfig) -> TileState:
    """Say whether a tile, uint8 RGB, holds enough tissue, in focus."""
    grey = tissue.reduced(tissue.grey_of(pixels), gate.step)
    if _tissue_share(grey, gate.ground) < config.min_tissue:
        return TileState.BACKGROUND
    return TileState.ANALYSED if _sharpness(grey, gate.ground) >= gate.focus else TileState.BLURRED


def _tissue_share(grey: Plane, ground: float) -> float:
    return float((grey < TISSUE_SHARE * ground).mean())


def _sharpness(grey: Plane, ground: float) -> float:
    mask = (grey < TISSUE_SHARE * ground).astype(np.uint8)
    return sharpness.ratio(sharpness.energies(grey, mask, np.zeros_like(mask)))
