"""Cost of the imaging core over slides of 1, 4, 16 and 64 megapixels: survey and quality, tiling, Reinhard.

python benchmarks/imaging_scale.py ../shared/data

The slides are composed of real fields, mirrored at the seams, in a temporary folder, as tiled TIFF files.
"""

import csv
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import tifffile

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import quality, stain, tiling
from inference.pipeline.config import TileConfig
from inference.pipeline.findings import TileState
from inference.pipeline.slide import Slide

MEGAPIXELS = (1, 4, 16, 64)
SOURCE, FIELD_SIDE = "pbc", 352
OVERVIEW_SIDE = 4096
PARTS = ("survey", "quality", "tiling", "stain")
ROUNDS = 3


def fields(data: Path, count: int) -> list[np.ndarray]:
    """Fields of one microscope, cropped to one size."""
    folder = data / "fields_txl"
    with (folder / "index.csv").open() as file:
        files = [folder / row["file"] for row in csv.DictReader(file) if row["source"] == SOURCE]
    images = (cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in files)
    fitting = (image for image in images if min(image.shape[:2]) >= FIELD_SIDE)
    return [next(fitting)[:FIELD_SIDE, :FIELD_SIDE] for _ in range(count)]


def compose(parts: list[np.ndarray], side: int) -> np.ndarray:
    """Lay fields side by side, every second one mirrored, so that cells go on over the seams."""
    slide = np.empty((side, side, 3), np.uint8)
    for row, top in enumerate(range(0, side, FIELD_SIDE)):
        for column, left in enumerate(range(0, side, FIELD_SIDE)):
            part = parts[(row // 2 * 7 + column // 2) % len(parts)]
            mirrored = part[:: -1 if row % 2 else 1, :: -1 if column % 2 else 1]
            slide[top : top + FIELD_SIDE, left : left + FIELD_SIDE] = mirrored[: side - top, : side - left]
    return slide


@contextmanager
def timed(took: dict[str, float], part: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    took[part] = took.get(part, 0.0) + 1000 * (time.perf_counter() - began)


def run(path: Path, reference: stain.Fitted) -> tuple[dict[str, float], int]:
    """Milliseconds of each part on one slide, and the number of tiles that were analysed."""
    took: dict[str, float] = {}
    config = TileConfig()
    with Slide.open(path) as slide:
        size = slide.width, slide.height
        with timed(took, "survey"):
            overview = slide.overview(OVERVIEW_SIDE)
            samples = [slide.read(box) for box in tiling.windows(overview, *size)]
            plan = tiling.plan(overview, size, tiling.gate(samples, config), config)
        with timed(took, "quality"):
            quality.assess(samples, *size)
        with timed(took, "stain"):
            normaliser = stain.between(stain.fit(samples), reference)
        tiles, analysed = tiling.walk(slide.read, plan, config), 0
        while True:
            with timed(took, "tiling"):
                tile = next(tiles, None)
            if tile is None:
                return took, analysed
            if tile.state is TileState.ANALYSED and tile.pixels is not None:
                analysed += 1
                with timed(took, "stain"):
                    normaliser.apply(tile.pixels)


def main(data: Path) -> None:
    parts = fields(data, 40)
    reference = stain.fit(parts[0])
    print(f"{'MP':>4}{'tiles':>7}", *(f"{part:>10}" for part in PARTS), f"{'ms':>9}{'ms/MP':>8}")
    with TemporaryDirectory() as folder:
        for megapixels in MEGAPIXELS:
            path = Path(folder) / f"{megapixels}.tif"
            slide = compose(parts, round(1024 * megapixels**0.5))
            tifffile.imwrite(path, slide, photometric="rgb", tile=(256, 256), compression="jpeg")
            took, tiles = min(
                (run(path, reference) for _ in range(ROUNDS)), key=lambda one: sum(one[0].values())
            )
            total = sum(took.values())
            shown = (f"{took[part]:10.1f}" for part in PARTS)
            print(f"{megapixels:4}{tiles:7}", *shown, f"{total:9.1f}{total / megapixels:8.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
