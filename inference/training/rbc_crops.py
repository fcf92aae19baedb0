"""Cut the labelled red cells out of their fields as the product does, and keep them for a training."""

import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from inference.pipeline.config import RBC_SHAPES, CellConfig
from inference.pipeline.networks import registry
from inference.training.crops import Crops, keep, kept_crops
from inference.training.rbc_cells import (
    PIXEL_UM,
    REACH,
    RED_LABORATORIES,
    ROUND,
    SURE,
    WHOLE,
    RedCell,
    RedField,
    cut_field,
)

log = logging.getLogger(__name__)


def red_crops(data: Path, part: str, out: Path) -> Crops:
    """Return the crops of one part, train or val, of all laboratories; they are kept in `out`."""
    fields = [field for listed in RED_LABORATORIES.values() for field in listed(data, part)]
    return cut_fields(fields, out / f"{part}.npz")


def cut_fields(fields: Sequence[RedField], cache: Path) -> Crops:
    """Return the crops of the labelled cells of fields, labels as places in RBC_SHAPES; `cache` (.npz) spares
    a resumed training the cutting, as long as the same fields would be cut in the same way."""
    made_from = _fingerprint(fields)
    if (crops := kept_crops(cache, made_from)) is not None:
        return crops
    # A forked child would wait for ever on the threads that OpenCV had in its parent.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        cells = [cell for of in pool.map(cut_field, fields, chunksize=8) for cell in of]
    log.info("%s: %d crops of %d fields", cache.stem, len(cells), len(fields))
    crops = as_crops(cells)
    keep(crops, cache, made_from)
    return crops


def as_crops(cells: Sequence[RedCell]) -> Crops:
    """Return cells in the form in which a training takes them."""
    return Crops(
        np.stack([cell.image for cell in cells]),
        np.stack([cell.mask for cell in cells]),
        np.array([RBC_SHAPES.index(cell.shape) for cell in cells], np.int64),
        np.array([cell.laboratory for cell in cells]),
        np.zeros((len(cells), 0), np.int64),
        np.ones(len(cells), np.bool_),
    )


def _fingerprint(fields: Sequence[RedField]) -> str:
    """Return a sha256 of all that decides the crops: files, points and labels, and how cells are cut."""
    card = registry.card(registry.SEGMENTATION_NETWORK)
    digest = hashlib.sha256(repr((CellConfig(), PIXEL_UM, REACH, SURE, WHOLE, ROUND, card.text)).encode())
    for field in fields:
        digest.update(repr(field).encode())
    return digest.hexdigest()
