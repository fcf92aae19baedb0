"""How often the network is right elsewhere, by the distance of the stain from its training stains.

python benchmarks/stain_accuracy.py ../shared/data

The white cells of the Raabin fields (five classes, two microscopes with phone cameras), found, cropped and
called as in an analysis. The limit of "stain beyond normalisation" stands where it stops being right.
"""

import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import cells, stain, stain_range
from inference.pipeline.classification import classify
from inference.pipeline.config import DIFFERENTIAL_CLASSES, Config
from inference.pipeline.findings import Image, Instance, Kind
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.seen_colours import SeenColours
from inference.pipeline.segmentation import segment
from inference.pipeline.stain_range import StainRange
from inference.training.evaluate_segmentation import read_rgb

MATURE = DIFFERENTIAL_CLASSES[:5]
STEPS = (0.0, 3.0, 4.0, 5.0, 6.0, 99.0)
REACH = 80
"""How far in px the cell that is found may lie from the middle of its box."""


def nearest(found: list[Instance], box: list[float]) -> Instance | None:
    middle = np.add(box[:2], box[2:]) / 2
    near = [(float(np.abs(middle - i.centroid).max()), i) for i in found if i.kind is Kind.WBC]
    distance, instance = min(near, key=lambda pair: pair[0], default=(REACH, None))
    return instance if distance < REACH else None


def calls(image: Image, instance: Instance, network: Network) -> tuple[str, str]:
    config = Config()
    crop = cells.crop(image, instance, config.cells, config.cells.wbc_side)
    views = SeenColours.of(image, "field", network.card, config).views([crop])
    return tuple(classify(views, network, declared)[0].label for declared in (None, MATURE))


def main(data: Path) -> None:
    network, folder = runtime.load(registry.WBC_NETWORK), data / "fields_txl"
    within = StainRange.from_data(network.card.text["input"]["stain_ranges"]["field"])
    results = []
    for row in csv.DictReader((folder / "wbc_raabin.csv").open()):
        image = read_rgb(folder / row["file"])
        instance = nearest(segment(image), [float(value) for value in row["box_x0_y0_x1_y1"].split()])
        if instance is not None:
            distance = within.distance(stain_range.figures(stain.sample(image)))
            results.append((distance, *(label == row["label"] for label in calls(image, instance, network))))
    distances, free, declared = np.array(results, float).T
    print("distance      n   right  right, five classes declared")
    for low, high in zip(STEPS, STEPS[1:], strict=False):
        here = (distances >= low) & (distances < high)
        if here.any():
            right = f"{free[here].mean():7.3f} {declared[here].mean():7.3f}"
            print(f"{low:4.0f}-{high:3.0f} {here.sum():6d} {right}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
