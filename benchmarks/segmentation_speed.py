"""Milliseconds from a tile to its cells and the memory of the process, beside eager torch in the same run.

python benchmarks/segmentation_speed.py ../shared/data

The tiles are put together from validation fields of one laboratory, at the pixel size it photographs at and
at twice that, where a tile holds four times as many cells and the network sees four times as many pixels.
"""

import csv
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import segmentation
from inference.pipeline.networks import registry, runtime
from inference.pipeline.segmentation_star import BLOCK, WORK_UM, decode
from inference.pipeline.shapes import resized
from inference.training.evaluate_segmentation import read_rgb

ROUNDS = 15


def mosaic(data: Path, side: int, factor: float) -> np.ndarray:
    """A square of validation fields of the Barcelona part, each resized by `factor`."""
    with (data / "fields_txl" / "index.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if (r["source"], r["split"]) == ("pbc", "val")]
    fields = [resized(read_rgb(data / "fields_txl" / row["file"]), factor) for row in rows]
    height, width = (min(field.shape[axis] for field in fields) for axis in (0, 1))
    down, across = -(-side // height), -(-side // width)
    chosen = [fields[i % len(fields)][:height, :width] for i in range(down * across)]
    lines = [np.concatenate(chosen[i * across : (i + 1) * across], axis=1) for i in range(down)]
    return np.concatenate(lines)[:side, :side]


def median_ms(action: Callable[[], object]) -> float:
    action()
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        took.append(time.perf_counter() - began)
    return 1000 * statistics.median(took)


def report(tile: np.ndarray, pixel_um: float) -> None:
    network = runtime.load(registry.SEGMENTATION_NETWORK)
    small = resized(tile, pixel_um / WORK_UM)
    sides = tuple(side + -side % BLOCK for side in small.shape[:2])
    batch = cv2.resize(small, sides[::-1])[None]
    maps = network.predict(batch)[0]
    cells = segmentation.segment(tile, pixel_um)
    whole = median_ms(lambda: segmentation.segment(tile, pixel_um))
    forward = median_ms(lambda: network.predict(batch))
    peaks = median_ms(lambda: decode(maps, small.shape[:2]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with torch.inference_mode():
        eager = median_ms(lambda: network.module(torch.from_numpy(batch)))
    print(f"{tile.shape[0]} px at {pixel_um:.2f} µm: {len(cells)} cells, {whole:.0f} ms", end="; ")
    print(f"process peak {peak:.0f} MiB", end="; ")
    print(f"network {forward:.0f}, eager torch {eager:.0f} ({eager / forward:.1f}x)", end="; ")
    print(f"peaks to cells {peaks:.1f} ms", flush=True)


def main(data: Path) -> None:
    torch.set_num_threads(2)
    network = runtime.load(registry.SEGMENTATION_NETWORK)
    print(f"{network.card.architecture}, {sum(p.numel() for p in network.module.parameters()):,} parameters")
    for side in (512, 1024, 2048):
        report(mosaic(data, side, 1.0), 0.1)
    report(mosaic(data, 1024, 0.5), 0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
