"""How coarse an image may be before the red-cell network sees shapes that are not there.

python benchmarks/rbc_resolution.py ../shared/data

Val fields of fields_txl, whose red cells are overwhelmingly normal, are shrunk until their cells are so many
px across, and go the product's way from there: the share called normal, and called sickle. Last come benign
fields of staging_taleqani val as they are, whose cells are small, thin and pale.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from rbc_other_cameras import called, share, squares_of_image

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.findings import Image
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.red_cell_measures import diameter_px
from inference.pipeline.segmentation import segment
from inference.training.cell_images import read_cell_image
from inference.training.labels import INDEX, rows_of
from inference.training.laboratories import VAL
from inference.training.rbc_cells import NORMAL, SICKLE, evenly, red_cells

ACROSS = (32, 28, 24, 20, 16)
"""Diameters of the cells in px."""


def shrunk(image: Image, across: int) -> Image | None:
    """The image with red cells of this diameter; None where they are smaller, or there are none."""
    found = red_cells(segment(image))
    factor = across / np.median([diameter_px(cell) for cell in found]) if found else 1.0
    if factor >= 1:
        return None
    size = round(image.shape[1] * factor), round(image.shape[0] * factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def state(told: str, images: Iterable[Image], network: Network) -> None:
    counts = called([one for image in images for one in squares_of_image(image, network, False)], network)
    total = counts.total()
    print(f"| {told} | {share(counts[NORMAL], total)} | {share(counts[SICKLE], total)} |", flush=True)


def main(data: Path) -> None:
    network = runtime.load(registry.RBC_NETWORK)
    print("| cells across | called normal | called sickle |\n|---|---|---|")
    rows = [
        row
        for source in ("bccd", "raabin")
        for row in rows_of(data / "fields_txl" / INDEX, {"source": source, "split": VAL})
    ]
    images = [read_cell_image(data / "fields_txl" / row["file"]) for row in rows]
    state("as they are", images, network)
    for across in ACROSS:
        coarse = [small for image in images if (small := shrunk(image, across)) is not None]
        state(f"{across} px, {len(coarse)} fields", coarse, network)
    folder = data / "staging_taleqani"
    benign = rows_of(folder / INDEX, {"label": "Benign", "split": VAL})
    fields = [read_cell_image(folder / row["file"]) for row in evenly(benign, len(images))]
    across = np.median([diameter_px(cell) for field in fields for cell in red_cells(segment(field))])
    state(f"benign of staging_taleqani, {across:.0f} px, {len(fields)} fields", fields, network)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
