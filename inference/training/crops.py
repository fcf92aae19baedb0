"""Cut single cells out of the data sets as the product does: segment, pick the labelled cell, crop, pad."""

import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.cells import crop_box
from inference.pipeline.config import WBC_CLASSES, CellConfig
from inference.pipeline.explanation import outline_in_square
from inference.pipeline.findings import Image
from inference.pipeline.levels import mask_of
from inference.pipeline.networks import registry
from inference.pipeline.segmentation import segment
from inference.training.attributes import coded
from inference.training.boxed_cells import labelled_crop
from inference.training.cell_images import read_cell_image
from inference.training.labels import Sample
from inference.training.laboratories import pixel_um

log = logging.getLogger(__name__)

SIDE = 160
"""Side in px of the crops that a training keeps: larger than any input, small enough to hold them all."""

ON_CELL = 255


@dataclass(frozen=True, slots=True)
class Crops:
    """Labelled crops uint8 RGB (n, side, side, 3).

    `masks` uint8 (n, side, side) is 255 on the cell, all over where none was found; `labels` int64 (n,) are
    places in the network's classes; `laboratories` str (n,); `attributes` int64 (n, 11) as
    `attributes.coded` has them, (n, 0) of cells without any; `found` bool (n,) says whether a cell was found,
    or the whole frame had to stand in for it.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    labels: NDArray[np.int64]
    laboratories: NDArray[np.str_]
    attributes: NDArray[np.int64]
    found: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the crops of all parts, one after the other."""
        columns = ([getattr(part, field.name) for part in parts] for field in fields(cls))
        return cls(*(np.concatenate(column) for column in columns))

    def without(self, laboratories: Sequence[str]) -> Self:
        """Return the crops of all other laboratories."""
        kept = ~np.isin(self.laboratories, laboratories)
        return type(self)(*(getattr(self, field.name)[kept] for field in fields(self)))


Cut = tuple[Image, NDArray[np.uint8], bool]


def cut(sample: Sample) -> Cut:
    """Return the crop of a labelled cell, where in it the cell lies, and whether it was found."""
    cv2.setNumThreads(1)
    image, config = read_cell_image(sample.path), CellConfig()
    crop, instance = labelled_crop(image, segment(image, pixel_um(sample)), sample.box, config)
    mask = np.full(crop.shape[:2], ON_CELL, np.uint8)
    if instance is not None:
        outline = outline_in_square(instance, crop_box(instance, config.padding), len(crop))
        mask = mask_of(outline, len(crop))
    small, where = (cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for part in (crop, mask))
    return np.asarray(small, np.uint8), np.asarray(where, np.uint8), instance is not None


def cut_all(samples: Sequence[Sample], cache: Path) -> Crops:
    """Return the crops of a list of samples; `cache` (.npz) spares a resumed training the cutting.

    What is kept there is taken only when the same samples would be cut in the same way.
    """
    made_from = _fingerprint(samples)
    if (crops := kept_crops(cache, made_from)) is not None:
        return crops
    crops = _cut_anew(samples)
    log.info(
        "%s: %d crops, %d without a cell near the centre", cache.stem, len(samples), int((~crops.found).sum())
    )
    keep(crops, cache, made_from)
    return crops


def keep(crops: Crops, cache: Path, made_from: str) -> None:
    """Write crops to a cache (.npz) with the fingerprint of all that decides them."""
    columns: dict[str, Any] = {field.name: getattr(crops, field.name) for field in fields(Crops)}
    np.savez(cache, made_from=np.array(made_from), **columns)


def _fingerprint(samples: Sequence[Sample]) -> str:
    """Return a sha256 of all that decides the crops: files, boxes, labels and words of the samples, and how
    they are cut, which is by the segmentation network as its card has it."""
    card = registry.card(registry.SEGMENTATION_NETWORK)
    digest = hashlib.sha256(repr((SIDE, CellConfig(), card.text)).encode())
    for sample in samples:
        digest.update(repr((sample, pixel_um(sample))).encode())
    return digest.hexdigest()


def kept_crops(cache: Path, made_from: str) -> Crops | None:
    """Return the crops of a cache, None where there is none or where it was made from something else."""
    if not cache.is_file():
        return None
    with np.load(cache) as kept:
        if kept.get("made_from") != made_from:
            return None
        return Crops(**{field.name: kept[field.name] for field in fields(Crops)})


def _cut_anew(samples: Sequence[Sample]) -> Crops:
    # A forked child would wait for ever on the threads that OpenCV had in its parent.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        images, masks, found = zip(*pool.map(cut, samples, chunksize=32), strict=True)
    return Crops(
        np.stack(images),
        np.stack(masks),
        np.array([WBC_CLASSES.index(sample.label) for sample in samples], np.int64),
        np.array([sample.laboratory for sample in samples]),
        np.stack([coded(sample.attributes) for sample in samples]),
        np.array(found),
    )
