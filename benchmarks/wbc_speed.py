"""How long naming a white cell takes, from the image to its call, beside eager torch in the same run.

python benchmarks/wbc_speed.py ../shared/data

Cells of single-cell images are cut out, shown in every view of the card, classified in batches of 16 and
calibrated; segmentation is not counted. Eager torch does the same network work for one cell at a time. Every
figure is the median over rounds in turns.
"""

import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import cells
from inference.pipeline.classification import TURNS, Calibration, answers, augmentation_of
from inference.pipeline.config import Config
from inference.pipeline.explanation import outline_in_square
from inference.pipeline.findings import Image, Instance
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network, prepare
from inference.pipeline.seen_colours import SeenColours
from inference.pipeline.segmentation import segment
from inference.training.evaluate_segmentation import read_rgb
from inference.training.labels import samples

CELLS, BATCH, ROUNDS = 64, 16, 7


def found(data: Path) -> list[tuple[Image, Instance]]:
    images = [read_rgb(sample.path) for sample in samples(data / "wbc_pbc", "val")[: 2 * CELLS]]
    pairs = [(image, cells.centre_instance(segment(image, 0.1), image.shape)) for image in images]
    return [(image, instance) for image, instance in pairs if instance is not None][:CELLS]


def cut(pairs: list[tuple[Image, Instance]], config: Config) -> tuple[list[Image], list]:
    side, padding = config.cells.wbc_side, config.cells.padding
    crops = [cells.crop(image, instance, config.cells, side) for image, instance in pairs]
    boxes = [cells.crop_box(instance, padding) for _, instance in pairs]
    outlines = [outline_in_square(i, box, side) for (_, i), box in zip(pairs, boxes, strict=True)]
    return crops, outlines


def ours(pairs: list[tuple[Image, Instance]], network: Network, colours: SeenColours) -> dict[str, float]:
    started = perf_counter()
    crops, outlines = cut(pairs, Config())
    after_cut = perf_counter()
    views = colours.views(crops, outlines)
    after_views = perf_counter()
    logits = answers(views, network, BATCH).logits
    after_network = perf_counter()
    Calibration.of(network.card).calls(logits)
    ended = perf_counter()
    steps = np.diff([started, after_cut, after_views, after_network, ended])
    each = dict(zip(("crop", "views", "network", "calibration"), 1000 * steps / len(pairs), strict=True))
    return {**each, "whole": 1000 * (ended - started) / len(pairs)}


@torch.inference_mode()
def eager(views: dict[str, list[Image]], network: Network) -> float:
    """One pass of the network over one cell at a time: milliseconds each."""
    turns = len(TURNS[augmentation_of(network.card)])
    started = perf_counter()
    for crops in views.values():
        for row in prepare(crops, network.card.input):
            for _ in range(turns):
                network.module(torch.from_numpy(row[None]))
    return 1000 * (perf_counter() - started) / len(next(iter(views.values())))


def single(views: dict[str, list[Image]], network: Network) -> float:
    """The same in our runtime: milliseconds each."""
    count = len(next(iter(views.values())))
    started = perf_counter()
    for place in range(count):
        answers({name: [crops[place]] for name, crops in views.items()}, network)
    return 1000 * (perf_counter() - started) / count


def main(data: Path) -> None:
    network, pairs = runtime.load(registry.WBC_NETWORK), found(data)
    colours = SeenColours.of(pairs[0][0], "cell", network.card, Config())
    views = colours.views(*cut(pairs, Config()))
    ours(pairs, network, colours), eager(views, network), single(views, network)
    rounds = [one_round(pairs, network, colours, views) for _ in range(ROUNDS)]
    steps = {name: float(np.median([one[name] for one in rounds])) for name in rounds[0]}
    print(f"{len(pairs)} cells, batches of {BATCH}, ms per cell:")
    print(", ".join(f"{name} {value:.2f}" for name, value in steps.items()))
    print(f"eager torch / runtime, one cell at a time: {steps['eager, one'] / steps['runtime, one']:.1f}")
    print(f"eager torch one at a time / whole in batches: {steps['eager, one'] / steps['whole']:.1f}")


def one_round(
    pairs: list[tuple[Image, Instance]],
    network: Network,
    colours: SeenColours,
    views: dict[str, list[Image]],
) -> dict[str, float]:
    alone = {"eager, one": eager(views, network), "runtime, one": single(views, network)}
    return {**ours(pairs, network, colours), **alone}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
