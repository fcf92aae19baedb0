"""Cut single cells out of the data sets as the product does: segment, pick the centre cell, crop, pad."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.cells import single_cell_crop
from inference.pipeline.config import WBC_CLASSES, CellConfig
from inference.pipeline.findings import Image
from inference.pipeline.segmentation import segment
from inference.training.evaluate_segmentation import read_rgb
from inference.training.labels import Sample

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Crops:
    """Crops uint8 RGB (n, side, side, 3), their classes int64 (n,) as indices into the taxonomy, and
    `found` bool (n,): whether a cell was found, or the whole frame had to stand in for it."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    found: NDArray[np.bool_]

    def joined(self, other: "Crops") -> "Crops":
        """Return these crops followed by others."""
        return Crops(
            np.concatenate([self.images, other.images]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.found, other.found]),
        )


def cut(path: Path) -> tuple[Image, bool]:
    """Return the crop of the cell nearest the centre of an image, and whether one was found."""
    cv2.setNumThreads(1)
    image, config = read_rgb(path), CellConfig()
    crop, instance = single_cell_crop(image, segment(image), config, config.wbc_side)
    return crop, instance is not None


def cut_all(samples: Sequence[Sample], cache: Path) -> Crops:
    """Return the crops of a list of samples; `cache` (.npz) spares a resumed training the cutting."""
    labels = np.array([WBC_CLASSES.index(sample.label) for sample in samples], np.int64)
    if cache.is_file():
        with np.load(cache) as kept:
            if len(kept["labels"]) == len(labels) and (kept["labels"] == labels).all():
                return Crops(kept["images"], kept["labels"], kept["found"])
    # A forked child would wait for ever on the threads that OpenCV had in its parent.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        pairs = list(pool.map(cut, [sample.path for sample in samples], chunksize=32))
    crops = Crops(np.stack([image for image, _ in pairs]), labels, np.array([found for _, found in pairs]))
    log.info(
        "%s: %d crops, %d without a cell near the centre", cache.stem, len(labels), int((~crops.found).sum())
    )
    np.savez(cache, images=crops.images, labels=crops.labels, found=crops.found)
    return crops
