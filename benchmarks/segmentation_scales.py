"""The segmentation on validation fields brought to other pixel sizes, which it has to find out by itself.

python benchmarks/segmentation_scales.py ../shared/data

Each field of fields_txl is resized so that its red cells have the diameter they would have at the given size
of a pixel. Enlarged fields hold no more detail than the original.
"""

import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import segmentation
from inference.pipeline.config import RBC_DIAMETER_UM
from inference.pipeline.findings import Kind
from inference.pipeline.shapes import resized
from inference.training.evaluate_segmentation import box_overlaps, match, read_boxes, read_rgb
from inference.training.segmentation_labels import NAMES

SIZES = (0.05, 0.08, 0.12, 0.2, 0.3, 0.4, 0.5)
BOX_SHARE = 0.92
"""A labelled box stands off its red cell: so much of its width the cell takes up."""


def main(data: Path) -> None:
    folder = data / "fields_txl"
    with (folder / "index.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    for size in SIZES:
        tallies = {kind: np.zeros(3, int) for kind in Kind}
        errors = []
        for row in rows:
            image = read_rgb(folder / row["file"])
            red = np.array(read_boxes(folder / row["label_file"], NAMES, image.shape)[Kind.RBC], float)
            if len(red) < 4:
                continue
            sides = np.sqrt((red[:, 2:] - red[:, :2]).prod(axis=1))
            original = RBC_DIAMETER_UM / (BOX_SHARE * float(np.percentile(sides, 60)))
            shown = resized(image, original / size)
            truth = read_boxes(folder / row["label_file"], NAMES, shown.shape)
            estimate = segmentation.estimate_pixel_um(shown)
            errors.append(abs(np.log((estimate or 1e-3) / size)))
            found = [cell for cell in segmentation.segment(shown, estimate) if cell.confidence >= 0.5]
            for kind, boxes in truth.items():
                mine = [cell for cell in found if cell.kind is kind]
                overlaps = box_overlaps([cell.box for cell in mine], boxes)
                hits = sum(hit > 0 for hit in match([cell.confidence for cell in mine], overlaps))
                tallies[kind] += (hits, len(mine), len(boxes))
        print(
            f"{size:.2f} µm: scale off by more than 20 % in {np.mean(np.array(errors) > 0.2):.1%}", end="; "
        )
        for kind, (hits, mine, labelled) in tallies.items():
            print(f"{kind} P {hits / max(1, mine):.3f} R {hits / max(1, labelled):.3f}", end="; ")
        print(flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
