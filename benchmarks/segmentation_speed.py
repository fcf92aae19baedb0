"""Milliseconds from a tile to its cells and the memory they take, beside other networks in the same run.

python benchmarks/segmentation_speed.py ../shared/data

The tiles are put together from validation fields of one laboratory, at the pixel size it photographs at and
at twice that, where a tile holds four times as many cells and the network sees four times as many pixels.

Beside the network stand the same network in eager torch and, at the same input, YOLO11n-seg of the optional
extra with random weights, fused as its library predicts, in eager torch, with the library's own suppression
of boxes and its own masks. Random weights find nothing, so that ten of their best boxes per cell are let
through, which leaves about a mask per cell and never more than the library's 300; how many is printed.

The memory that a tile adds is measured in a fresh process with the network loaded and warmed up: the highest
resident set while the tile is segmented (VmHWM, put back beforehand) less the resident set before (VmRSS).
"""

import csv
import math
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import segmentation, segmentation_yolo
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import FromPixels
from inference.pipeline.segmentation_star import KINDS, WORK_UM, decode, padded
from inference.pipeline.shapes import resized
from inference.training.evaluate_segmentation import read_rgb

ROUNDS = 15
THREADS = 2

BOXES_PER_CELL = 10


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


def resident_mib(field: str) -> float:
    """A line of the process's status, as VmRSS or VmHWM, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def mib_of_tile(tile: np.ndarray, pixel_um: float) -> tuple[float, float]:
    """This process's resident set before a tile, and what the tile adds to it at its highest."""
    torch.set_num_threads(THREADS)
    segmentation.engine().warm_up()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident_mib("VmRSS")
    segmentation.segment(tile, pixel_um)
    return before, resident_mib("VmHWM") - before


def in_fresh_process(tile: np.ndarray, pixel_um: float) -> tuple[float, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(mib_of_tile, tile, pixel_um).result()


def yolo() -> FromPixels | None:
    """YOLO11n-seg with random weights; None without the optional extra."""
    torch.manual_seed(1)
    try:
        network = segmentation_yolo.build()
    except NetworkUnavailable as error:
        print(f"without YOLO11n-seg: {error}")
        return None
    return FromPixels(segmentation_yolo.fused(network), segmentation_yolo.CONTRACT).eval()


@torch.inference_mode()
def report_yolo(network: FromPixels, batch: np.ndarray, cells: int, compact_ms: float) -> None:
    """Print YOLO's time at the same input beside that of the compact network with its decoding."""
    suppression = segmentation_yolo.imported("utils.nms").non_max_suppression
    process_mask = segmentation_yolo.imported("utils.ops").process_mask
    pixels = torch.from_numpy(batch)
    (said, _), _ = network(pixels)
    best = said[0, 4 : 4 + len(KINDS)].amax(dim=0)
    least = float(best.topk(min(len(best), BOXES_PER_CELL * cells + 1)).values[-1])

    def whole() -> int:
        (said, prototypes), _ = network(pixels)
        (rows,) = suppression(said, least, 0.7, nc=len(KINDS), max_time_img=math.inf)
        return len(process_mask(prototypes[0], rows[:, 6:], rows[:, :4], batch.shape[1:3], upsample=True))

    masks = whole()
    forward, took = median_ms(lambda: network(pixels)), median_ms(whole)
    print(f"    YOLO11n-seg, eager torch: network {forward:.0f} ms", end="; ")
    print(f"with its boxes and {masks} masks {took:.0f} ms ({took / compact_ms:.1f}x ours)", flush=True)


def report(tile: np.ndarray, pixel_um: float, other: FromPixels | None) -> None:
    network = runtime.load(registry.SEGMENTATION_NETWORK)

    def prepared() -> tuple[np.ndarray, tuple[int, int]]:
        small = resized(tile, pixel_um / WORK_UM)
        return padded(small, network)[None], (small.shape[0], small.shape[1])

    batch, shape = prepared()
    maps = network.predict(batch)[0]
    cells = segmentation.segment(tile, pixel_um)
    whole = median_ms(lambda: segmentation.segment(tile, pixel_um))
    forward = median_ms(lambda: network.predict(batch))
    before = median_ms(prepared)
    peaks = median_ms(lambda: decode(maps, shape))
    with torch.inference_mode():
        eager = median_ms(lambda: network.module(torch.from_numpy(batch)))
    decoding = whole - forward - before
    megapixels = shape[0] * shape[1] / 1e6
    print(f"{tile.shape[0]} px at {pixel_um:.2f} µm: {len(cells)} cells, {whole:.0f} ms", end="; ")
    print(f"{whole / megapixels:.0f} ms per megapixel that the network sees", flush=True)
    print(f"    network {forward:.0f} ms, eager torch {eager:.0f} ms ({eager / forward:.1f}x)", end="; ")
    print(f"resized in {before:.1f} ms; peaks to cells {peaks:.1f} ms", end="; ")
    print(f"decoding {decoding:.1f} ms, {100 * decoding / whole:.0f} % of the whole")
    resident, added = in_fresh_process(tile, pixel_um)
    print(f"    the tile adds {added:.0f} MiB to a process of {resident:.0f} MiB", flush=True)
    if other is not None:
        report_yolo(other, batch, len(cells), whole - before)


def main(data: Path) -> None:
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)
    network, other = runtime.load(registry.SEGMENTATION_NETWORK), yolo()
    print(f"{network.card.architecture}, {sum(p.numel() for p in network.module.parameters()):,} parameters")
    for side in (512, 1024, 2048):
        report(mosaic(data, side, 1.0), 0.1, other)
    report(mosaic(data, 1024, 0.5), 0.2, other)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
