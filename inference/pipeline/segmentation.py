"""Finds white cells, red cells and platelets in a stained smear, by whichever engine is chosen.

Where cells lie in clumps that a network cannot take apart, the engine without a network counts them, and
that is said. A machine short of memory gets fewer tiles at once.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch

from inference.pipeline.config import REFERENCE_PIXEL_UM, SegmentationEngine
from inference.pipeline.findings import Image, Instance
from inference.pipeline.segmentation_engine import Answer, Engine, UndecodableTile
from inference.pipeline.segmentation_watershed import Watershed

CLUMPED = 0.25
"""The network is defeated where this share of the area that it takes for cells is covered by none that it
found: in fields of single cells it is 1 %, in 9 of 10 below 6 %."""

SURE, MOSTLY = 0.5, 0.6
"""The watershed's cells count from this confidence on, with this share where the network says cells are."""

_ENGINES = {
    SegmentationEngine.COMPACT: ("segmentation_compact", "Compact"),
    SegmentationEngine.WATERSHED: ("segmentation_watershed", "Watershed"),
    SegmentationEngine.MASKRCNN_SWIN: ("segmentation_rcnn", "MaskRcnnSwin"),
    SegmentationEngine.HTC: ("segmentation_rcnn", "Htc"),
    SegmentationEngine.YOLO11_SEG: ("segmentation_yolo", "Yolo11Seg"),
}


@dataclass(frozen=True, slots=True)
class Segmented:
    """The cells of one tile, in its pixels; how many of them the watershed found in clumps that defeated the
    network; and what is to be said where the tile could not be segmented at all."""

    instances: list[Instance]
    from_clumps: int = 0
    failure: str | None = None


@lru_cache(maxsize=4)
def engine(name: SegmentationEngine = SegmentationEngine.COMPACT) -> Engine:
    """Return an engine, loaded once per process; what only another engine needs is not imported.

    Raises NetworkUnavailable when its weights or its library are missing.
    """
    module, made_by = _ENGINES[name]
    made: Engine = getattr(importlib.import_module(f"inference.pipeline.{module}"), made_by)()
    return made


def estimate_pixel_um(image: Image, chosen: Engine | None = None) -> float | None:
    """Estimate micrometres per pixel of uint8 RGB (height, width, 3); None where there is nothing to tell it
    by."""
    return None if _tiny(image) else (chosen or engine()).estimate_pixel_um(image)


def segment(image: Image, pixel_um: float | None = None, chosen: Engine | None = None) -> list[Instance]:
    """Find the cells of a field.

    Args:
        image: uint8 RGB, shape (height, width, 3).
        pixel_um: micrometres per pixel; None to estimate it from the red cells.
        chosen: the engine; None for the default one.

    Returns:
        One instance per cell in pixels of `image`, red cells, white cells and platelets mixed, whole
        or cut by the image border; an empty list where there is none.

    Raises NetworkUnavailable when a network's card or weights are missing or damaged, UndecodableTile when
    its answer cannot be read.
    """
    if _tiny(image):
        return []
    found_by = chosen or engine()
    if pixel_um is None:
        pixel_um = found_by.estimate_pixel_um(image) or REFERENCE_PIXEL_UM
    (answer,) = found_by.find([image], pixel_um)
    return _unclumped(image, pixel_um, answer).instances


def segment_tiles(tiles: Sequence[Image], pixel_um: float | None, chosen: Engine) -> list[Segmented]:
    """Find the cells of tiles of one size.

    Args:
        tiles: uint8 RGB, shape (height, width, 3).
        pixel_um: micrometres per pixel; None for the usual size.
        chosen: the engine.

    Returns:
        One result per tile. A tile that cannot be segmented says so and costs no other tile; where memory
        runs short the tiles are taken in halves, down to one by one.
    """
    if not tiles or _tiny(tiles[0]):
        return [Segmented([]) for _ in tiles]
    at = pixel_um or REFERENCE_PIXEL_UM
    try:
        answers = chosen.find(tiles, at)
    except Exception as error:
        if not isinstance(error, UndecodableTile) and not _memory_is_short(error):
            raise
        if len(tiles) > 1:
            middle = len(tiles) // 2
            return segment_tiles(tiles[:middle], at, chosen) + segment_tiles(tiles[middle:], at, chosen)
        return [Segmented([], failure=_said(error))]
    return [_unclumped(tile, at, answer) for tile, answer in zip(tiles, answers, strict=True)]


def _tiny(image: Image) -> bool:
    return min(image.shape[:2]) < 8


def _memory_is_short(error: Exception) -> bool:
    """Whether an error is torch's, OpenCV's, OpenVINO's or Python's way to say that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError | cv2.error) and ("memory" in text or "alloc" in text)


def _said(error: Exception) -> str:
    if isinstance(error, UndecodableTile):
        return error.text
    return "The memory of the machine did not suffice for this part of the image."


def _unclumped(image: Image, pixel_um: float, answer: Answer) -> Segmented:
    """The answer; with the watershed's cells where too much of what is stained was not taken apart."""
    left = answer.unexplained
    if left is None or left.share < CLUMPED:
        return Segmented(answer.instances)
    (other,) = Watershed().find([image], pixel_um)
    size = image.shape[1::-1]
    where = np.asarray(
        cv2.resize(left.where.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), np.uint8
    )
    added = [cell for cell in other.instances if cell.confidence >= SURE and _lies_in(cell, where)]
    return Segmented([*answer.instances, *added], len(added))


def _lies_in(cell: Instance, where: Image) -> bool:
    """Whether most of a cell lies where `where`, uint8 (height, width), is 1."""
    x0, y0, x1, y1 = cell.box
    own = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(own, [np.asarray(cell.polygon, np.int32) - (x0, y0)], 1)
    return bool((where[y0:y1, x0:x1] & own).sum() > MOSTLY * max(1, own.sum()))
