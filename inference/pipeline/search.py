"""Finds every cell of a slide, tile by tile, with no more than a few tiles in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from inference.pipeline import cells, tiling
from inference.pipeline.config import Config
from inference.pipeline.findings import Coverage, Image, Instance, Kind, Notice, Severity, TileState
from inference.pipeline.segmentation import estimate_pixel_um, segment
from inference.pipeline.slide import Slide

SCALE_WINDOWS = 5
"""From so many windows of a slide the scale is estimated; the median ignores a window of clumps or debris."""


@dataclass(frozen=True, slots=True)
class Found:
    """The cells of a slide in level-0 pixels, the scale they were found at, and where was looked."""

    whites: tuple[Instance, ...]
    others: tuple[Instance, ...]
    pixel_um: float | None
    pixel_um_source: str
    coverage: Coverage

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What was left out."""
        total = len(self.coverage.boxes)
        blurred, empty = (self.coverage.count(state) for state in (TileState.BLURRED, TileState.BACKGROUND))
        noted = (
            (blurred, "tiles_blurred", "left out as out of focus.", Severity.WARN),
            (empty, "tiles_empty", "left out as empty glass.", Severity.INFO),
        )
        return tuple(
            Notice(code, f"Of {total} tiles {count} {'was' if count == 1 else 'were'} {text}", severity)
            for count, code, text, severity in noted
            if count
        )


def search(
    slide: Slide, samples: Sequence[Image], plan: tiling.Plan, config: Config, part: Callable[[float], None]
) -> Found:
    """Find the cells of a slide.

    Args:
        slide: the opened slide.
        samples: windows of it, uint8 RGB at level 0, from which an unknown scale is estimated.
        plan: its tiles.
        config: the limits of tiles and cells.
        part: called with the share 0–1 of the tiles that are done.

    Returns:
        The cells, each counted once: white cells, then the others, each kind in reading order.
    """
    pixel_um, source = _scale(slide, samples, config)
    found: list[Instance] = []
    states: list[TileState] = []
    for tile in tiling.walk(slide.read, plan, config.tiles):
        states.append(tile.state)
        if tile.pixels is not None:
            kept = cells.select(segment(tile.pixels, pixel_um), config.cells, pixel_um)
            moved = [cells.to_level0(instance, tile.box, tile.number) for instance in kept]
            found += cells.drop_edge_cells(moved, tile.box, (slide.width, slide.height), config.tiles)
        part(len(states) / len(plan.boxes))
    unique = sorted(cells.drop_duplicates(found, config.cells), key=_reading_order)
    whites = tuple(instance for instance in unique if instance.kind is Kind.WBC)
    others = tuple(instance for instance in unique if instance.kind is not Kind.WBC)
    return Found(whites, others, pixel_um, source, Coverage(plan.boxes, tuple(states)))


def _reading_order(instance: Instance) -> tuple[str, float, float]:
    return instance.kind.value, instance.centroid[1], instance.centroid[0]


def _scale(slide: Slide, samples: Sequence[Image], config: Config) -> tuple[float | None, str]:
    """Return micrometres per pixel and their source; the red cells give them when nobody else does."""
    if slide.pixel_um is not None:
        return slide.pixel_um, slide.pixel_um_source
    middles = [_middle(sample, config.tiles.size) for sample in samples[:: -(-len(samples) // SCALE_WINDOWS)]]
    estimates = [value for value in map(estimate_pixel_um, middles) if value]
    return (float(np.median(estimates)), "estimated") if estimates else (None, slide.pixel_um_source)


def _middle(image: Image, side: int) -> Image:
    """The middle of an image, at most `side` px square."""
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]
