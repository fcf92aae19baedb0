"""Finds every cell of a slide, tile by tile, with no more than a few tiles in memory."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from inference.pipeline import cells, tiling
from inference.pipeline.config import Config
from inference.pipeline.errors import UnusableSmear
from inference.pipeline.findings import Coverage, Image, Instance, Kind, Notice, Severity, TileState
from inference.pipeline.segmentation import Segmented, estimate_pixel_um, segment_tiles
from inference.pipeline.segmentation_engine import Engine
from inference.pipeline.slide import Slide
from inference.pipeline.tiling import Tile

logger = logging.getLogger(__name__)

SCALE_WINDOWS = 5
"""From so many windows of a slide the scale is estimated; the median ignores a window of clumps or debris."""


FAILED = (
    "left out because they could not be read or segmented. Their cells are missing from every count; hand in"
    " the file again if it may be damaged."
)
CLUMPED = (
    "full of cells in clumps that the network could not take apart; there the segmentation without a network"
    " counted the rest. Counts from such places are uncertain: choose a thinner part of the smear."
)


@dataclass(frozen=True, slots=True)
class Found:
    """The cells of a slide in level-0 pixels, the scale they were found at, and where was looked; clumps in
    `clumped` tiles were counted without a network."""

    whites: tuple[Instance, ...]
    others: tuple[Instance, ...]
    pixel_um: float | None
    pixel_um_source: str
    coverage: Coverage
    clumped: int = 0

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What was left out, and what was counted with less certainty."""
        total, count = len(self.coverage.boxes), self.coverage.count
        noted = (
            (count(TileState.FAILED), "tiles_failed", FAILED, Severity.WARN),
            (self.clumped, "clumps_by_watershed", CLUMPED, Severity.WARN),
            (count(TileState.BLURRED), "tiles_blurred", "left out as out of focus.", Severity.WARN),
            (count(TileState.BACKGROUND), "tiles_empty", "left out as empty glass.", Severity.INFO),
        )
        return tuple(
            Notice(code, f"Of {total} tiles {count} {'was' if count == 1 else 'were'} {text}", severity)
            for count, code, text, severity in noted
            if count
        )


def search(
    slide: Slide,
    samples: Sequence[Image],
    plan: tiling.Plan,
    config: Config,
    engine: Engine,
    part: Callable[[float], None],
) -> Found:
    """Find the cells of a slide.

    Args:
        slide: the opened slide.
        samples: windows of it, uint8 RGB at level 0, from which an unknown scale is estimated.
        plan: its tiles.
        config: the limits of tiles and cells.
        engine: finds the cells of a tile.
        part: called with the share 0–1 of the tiles that are done.

    Returns:
        The cells, each counted once: white cells, then the others, each kind in reading order.

    Raises UnusableSmear when every tile that was worth a look failed.
    """
    pixel_um, source = _scale(slide, samples, config, engine)
    gathered = _Gathered((slide.width, slide.height), pixel_um, config)
    for tiles in _batches(tiling.walk(slide.read, plan, config.tiles), config.tiles.batch):
        images = [tile.pixels for tile in tiles if tile.pixels is not None]
        results = iter(segment_tiles(images, pixel_um, engine))
        for tile in tiles:
            gathered.add(tile, Segmented([]) if tile.pixels is None else next(results))
        part(len(gathered.states) / len(plan.boxes))
    unique = sorted(gathered.cells_once(), key=_reading_order)
    whites = tuple(instance for instance in unique if instance.kind is Kind.WBC)
    others = tuple(instance for instance in unique if instance.kind is not Kind.WBC)
    coverage = Coverage(plan.boxes, tuple(gathered.states))
    return Found(whites, others, pixel_um, source, coverage, gathered.clumped)


@dataclass(slots=True)
class _Gathered:
    """What the tiles looked at so far gave, on a slide of `size` (width, height) px."""

    size: tuple[int, int]
    pixel_um: float | None
    config: Config
    instances: list[Instance] = field(default_factory=list)
    states: list[TileState] = field(default_factory=list)
    clumped: int = 0

    def add(self, tile: Tile, result: Segmented) -> None:
        """Keep of a tile the cells that it answers for."""
        self.states.append(TileState.FAILED if result.failure else tile.state)
        if result.failure:
            logger.warning("Tile %s at %s was left out: %s", tile.number, tile.box, result.failure)
        self.clumped += bool(result.from_clumps)
        kept = cells.select(result.instances, self.config.cells, self.pixel_um)
        moved = [cells.to_level0(instance, tile.box, tile.number) for instance in kept]
        self.instances += cells.drop_edge_cells(moved, tile.box, self.size, self.config.tiles)

    def cells_once(self) -> list[Instance]:
        """All cells without duplicates; raises UnusableSmear when every tile worth a look failed."""
        if TileState.FAILED in self.states and TileState.ANALYSED not in self.states:
            raise UnusableSmear(
                "No part of this image could be read and segmented. Hand it in again, or export it anew from"
                " the scanner; if that does not help, the machine may be short of memory."
            )
        return cells.drop_duplicates(self.instances, self.config.cells)


def _batches(tiles: Iterator[Tile], size: int) -> Iterator[list[Tile]]:
    """Runs of tiles of which at most `size` are to be segmented."""
    waiting: list[Tile] = []
    for tile in tiles:
        waiting.append(tile)
        if sum(held.pixels is not None for held in waiting) >= size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _reading_order(instance: Instance) -> tuple[str, float, float]:
    return instance.kind.value, instance.centroid[1], instance.centroid[0]


def _scale(
    slide: Slide, samples: Sequence[Image], config: Config, engine: Engine
) -> tuple[float | None, str]:
    """Return micrometres per pixel and their source; the red cells give them when nobody else does."""
    if slide.pixel_um is not None:
        return slide.pixel_um, slide.pixel_um_source
    middles = [_middle(sample, config.tiles.size) for sample in samples[:: -(-len(samples) // SCALE_WINDOWS)]]
    estimates = [value for middle in middles if (value := estimate_pixel_um(middle, engine))]
    return (float(np.median(estimates)), "estimated") if estimates else (None, slide.pixel_um_source)


def _middle(image: Image, side: int) -> Image:
    """The middle of an image, at most `side` px square."""
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]
