"""What survey, tiling and stain normalisation of a slide cost as it grows."""

from typing import Any

import numpy as np

from inference.pipeline import quality, stain, tiling
from inference.pipeline.config import TileConfig
from inference.pipeline.findings import Box, Image
from inference.training.perturb import perturb
from inference.training.timing import measured

MEGAPIXELS = (1, 4, 16, 64)
SIDE = 1000
OVERVIEW_STEP = 8


def growing(tile: Image) -> list[dict[str, Any]]:
    """Measure the imaging core on squares of 1, 4, 16 and 64 megapixels, laid out of copies of one tile.

    Takes uint8 RGB of at least SIDE px square. Returns per size the megapixels, what `timing.measured` gives,
    and the milliseconds per megapixel, which stay the same where the cost is linear.
    """
    target = stain.fit(perturb(tile, "stain", 0))
    return [_grown(tile, megapixels, target) for megapixels in MEGAPIXELS]


def _grown(tile: Image, megapixels: int, target: stain.Fitted) -> dict[str, Any]:
    copies = round(megapixels**0.5)
    slide = np.tile(tile[:SIDE, :SIDE], (copies, copies, 1))
    figures = measured(lambda: core(slide, target))
    return {"megapixels": megapixels, **figures, "ms_per_megapixel": round(figures["ms"] / megapixels, 2)}


def core(slide: Image, target: stain.Fitted) -> int:
    """Survey a slide in memory, judge it, and normalise the stain of its tiles; how many were analysed."""
    height, width = slide.shape[:2]
    config, overview = TileConfig(), slide[::OVERVIEW_STEP, ::OVERVIEW_STEP]

    def read(box: Box) -> Image:
        return slide[box[1] : box[3], box[0] : box[2]]

    samples = [read(box) for box in tiling.windows(overview, width, height)]
    quality.assess(samples, width, height)
    normaliser = stain.between(stain.fit(samples), target)
    plan = tiling.plan(overview, (width, height), tiling.gate(samples, config), config)
    analysed = (tile.pixels for tile in tiling.walk(read, plan, config) if tile.pixels is not None)
    return sum(1 for _ in map(normaliser.apply, analysed))
