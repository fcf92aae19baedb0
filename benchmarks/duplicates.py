"""Seconds to drop the duplicates among the detections of a slide, beside a comparison of all pairs.

python benchmarks/duplicates.py

The detections lie as on a slide: red cells side by side, one white cell in a hundred, one platelet in ten,
and every fifth cell seen by two tiles. The comparison of all pairs is done on a few thousand of them.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.cells import drop_duplicates
from inference.pipeline.config import CellConfig
from inference.pipeline.findings import Instance, Kind
from inference.training.evaluate_segmentation import box_overlaps

PITCH = 95
REACH = {Kind.WBC: 70, Kind.RBC: 40, Kind.PLATELET: 12}


def detections(count: int) -> list[Instance]:
    """About `count` detections in level-0 pixels at 0.1 µm."""
    rng = np.random.default_rng(0)
    cells = round(count / 1.2)
    side = int(np.ceil(np.sqrt(cells)))
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)[:cells] * PITCH
    made = []
    for number, (x, y) in enumerate(places + rng.uniform(-30, 30, (cells, 2))):
        kind = Kind.WBC if number % 100 == 0 else Kind.PLATELET if number % 10 == 0 else Kind.RBC
        for tile in (0, 1) if number % 5 == 0 else (0,):
            cx, cy = x + 3 * tile, y - 2 * tile
            reach = REACH[kind]
            box = (int(cx - reach), int(cy - reach), int(cx + reach), int(cy + reach))
            sure = float(rng.uniform(0.5, 1))
            made.append(Instance(kind, box, ((0, 0),), (cx, cy), 3 * reach**2, sure, tile=tile))
    return made


def all_pairs(found: list[Instance]) -> int:
    """How many stay when every box is compared with every other, the surer of two staying."""
    surest = sorted(found, key=lambda cell: -cell.confidence)
    overlaps = box_overlaps([cell.box for cell in surest], [cell.box for cell in surest]) >= 0.5
    alive = np.ones(len(surest), bool)
    for place in range(len(surest)):
        if alive[place]:
            alive[place + 1 :] &= ~overlaps[place, place + 1 :]
    return int(alive.sum())


def main() -> None:
    for count in (4_000, 20_000, 100_000):
        found = detections(count)
        began = time.perf_counter()
        kept = drop_duplicates(found, CellConfig())
        took = time.perf_counter() - began
        print(f"{len(found):,} detections, {len(kept):,} cells: {took:.3f} s", end="")
        if count <= 4_000:
            began = time.perf_counter()
            stayed = all_pairs(found)
            print(f"; all pairs keep {stayed:,} in {time.perf_counter() - began:.3f} s", end="")
        print()


if __name__ == "__main__":
    main()
