"""How long naming a red cell takes in batches of 128, beside eager torch in the same run.

python benchmarks/rbc_speed.py ../shared/data

Crops of labelled cells are shown in every view of the card, classified and calibrated; segmentation and
cutting are not counted. Eager torch does the same network work in the same batches. Every figure is the
median over rounds in turns.
"""

import os
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.classification import classify
from inference.pipeline.findings import Image
from inference.pipeline.levels import Mask, shown
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network, prepare
from inference.training.labels import INDEX, rows_of
from inference.training.rbc_cells import cut_field, pointed

CELLS, BATCH, ROUNDS = 512, 128, 5

Cell = tuple[Image, Mask]


def cells_of(data: Path) -> list[Cell]:
    folder = data / "rbc_chula"
    found: list[Cell] = []
    for field in pointed(folder, rows_of(folder / INDEX, {"split": "val"})):
        found += [(cell.image, cell.mask) for cell in cut_field(field)]
        if len(found) >= CELLS:
            break
    return found[:CELLS]


def seen(cells: list[Cell], network: Network) -> dict[str, list[Image]]:
    return {view: [shown(view, *cell) for cell in cells] for view in network.card.input.views}


def ours(cells: list[Cell], network: Network) -> dict[str, float]:
    """Milliseconds per cell: showing it, and the network with calibration."""
    started = perf_counter()
    views = seen(cells, network)
    between = perf_counter()
    classify(views, network, batch=BATCH)
    ended = perf_counter()
    each = 1000 / len(cells)
    return {"views": each * (between - started), "network": each * (ended - between)}


@torch.inference_mode()
def eager(views: dict[str, list[Image]], network: Network) -> float:
    started = perf_counter()
    for crops in views.values():
        for start in range(0, len(crops), BATCH):
            pixels = prepare(crops[start : start + BATCH], network.card.input)
            network.module(torch.from_numpy(pixels))
    return 1000 * (perf_counter() - started) / len(next(iter(views.values())))


def main(data: Path) -> None:
    network, cells = runtime.load(registry.RBC_NETWORK), cells_of(data)
    views = seen(cells, network)
    ours(cells, network), eager(views, network)
    rounds = [{**ours(cells, network), "eager torch": eager(views, network)} for _ in range(ROUNDS)]
    medians = {name: float(np.median([one[name] for one in rounds])) for name in rounds[0]}
    print(f"{len(cells)} cells, batches of {BATCH}, {len(views)} views, {os.cpu_count()} cores, ms per cell:")
    print(", ".join(f"{name} {value:.3f}" for name, value in medians.items()))
    print(f"views and network {medians['views'] + medians['network']:.3f}")
    print(f"eager torch / network: {medians['eager torch'] / medians['network']:.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
