"""Runs the segmentation network and reads the cells off its maps."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from inference.pipeline import star
from inference.pipeline.findings import Image, Kind
from inference.pipeline.networks.runtime import Network
from inference.pipeline.networks.segmentation import OFFSET_PX, RADIUS_PX, RAYS, STRIDE
from inference.pipeline.segmentation_engine import UndecodableTile
from inference.pipeline.star import Floats

KINDS = (Kind.RBC, Kind.WBC, Kind.PLATELET)
"""In the order of the network's outputs."""

WHITE = KINDS.index(Kind.WBC)

WORK_UM = 0.2
"""Pixel size in µm that the network sees: a red cell is then 36 px wide."""

BLOCK = 64
"""Sides are filled up to multiples of this: the network halves an image five times, and for every new shape
OpenVINO has to prepare itself."""

LEAST_CHANCE = 0.1
"""Peaks below this are not looked at."""

LOBE = 0.8
"""A white cell of whose box another's takes up this share, or the other way round, is a lobe of that one."""

SAME_CELL = 0.55
"""Two detections whose boxes overlap by more than this are one cell, whatever their kinds."""


@dataclass(frozen=True, slots=True)
class Detections:
    """Cells in px of the network's input: `kinds` int64 (n,), 0 red cell, 1 white cell, 2 platelet; `logits`
    float32 (n,) of being one; `centres` float32 (n, 2) as x, y; `radii` float32 (n, 32). Surest first."""

    kinds: NDArray[np.int64]
    logits: Floats
    centres: Floats
    radii: Floats

    def __len__(self) -> int:
        return len(self.kinds)

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Detections":
        """Return the detections that a flag or an index chooses."""
        return Detections(self.kinds[chosen], self.logits[chosen], self.centres[chosen], self.radii[chosen])


def detections(image: Image, network: Network) -> Detections:
    """Run the network on uint8 RGB (height, width, 3) at the working resolution and read off the cells."""
    return decode(network.predict(padded(image, network)[None])[0], (image.shape[0], image.shape[1]))


def padded(image: Image, network: Network) -> Image:
    """The image filled up to sides that the network takes, multiples of BLOCK."""
    height, width = image.shape[:2]
    return filled_up(image, (height + -height % BLOCK, width + -width % BLOCK), network)


def filled_up(image: Image, shape: tuple[int, int], network: Network) -> Image:
    """The image with the network's mean colour to its right and below, (height, width) px."""
    beyond = [round(255 * value) for value in network.card.input.mean]
    down, right = shape[0] - image.shape[0], shape[1] - image.shape[1]
    return np.asarray(
        cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_CONSTANT, value=beyond), np.uint8
    )


def decode(maps: Floats, shape: tuple[int, int]) -> Detections:
    """Find the cells in the network's answer.

    Args:
        maps: float32 (41, height / 4, width / 4), channels as in `networks.segmentation.Maps`.
        shape: (height, width) in px of the image, which may be smaller than what was put into the network.

    Returns:
        Every peak of a centre map, without those that a surer detection of the same cell outdoes.

    Raises UndecodableTile when the answer holds values that are no numbers.
    """
    if not np.isfinite(maps).all():
        raise UndecodableTile("The segmentation network gave no usable answer for this part of the image.")
    found = _peaks(maps, shape)
    return found.only(_unique(found, shape))


def _peaks(maps: Floats, shape: tuple[int, int]) -> Detections:
    rows, columns = -(-shape[0] // STRIDE), -(-shape[1] // STRIDE)
    maps = maps[:, :rows, :columns]
    logits = np.ascontiguousarray(maps[: len(KINDS)].transpose(1, 2, 0))
    highest = cv2.dilate(logits, np.ones((3, 3), np.uint8)).reshape(logits.shape)
    least = np.log(LEAST_CHANCE / (1 - LEAST_CHANCE))
    row, column, kind = np.nonzero((logits == highest) & (logits > least))
    order = np.argsort(-logits[row, column, kind], kind="stable")
    row, column, kind = row[order], column[order], kind[order]
    place = (np.stack([column, row], axis=1).astype(np.float32) + 0.5) * STRIDE
    said = maps[2 * len(KINDS) + 1 :, row, column].T
    return Detections(
        kind.astype(np.int64),
        logits[row, column, kind],
        place + said[:, :2] * OFFSET_PX,
        np.exp(np.clip(said[:, 2 : 2 + RAYS], -3, 3)) * np.float32(RADIUS_PX),
    )


def boxes(found: Detections, shape: tuple[int, int]) -> Floats:
    """Boxes x0, y0, x1, y1 of the detections inside a (height, width) image, float32 (n, 4)."""
    corners = star.outlines(found.centres, found.radii)
    limit = np.array([shape[1], shape[0]], np.float32)
    low, high = corners.min(axis=1, initial=np.inf), corners.max(axis=1, initial=-np.inf)
    return np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)], axis=1)


def _unique(found: Detections, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Indices of the detections that no surer one of the same cell outdoes; they come surest first."""
    if len(found) < 2:
        return np.arange(len(found))
    # Boxes that overlap by half have centres closer than half the larger one's width.
    reach = float(found.radii.max())
    pairs = cKDTree(found.centres).query_pairs(reach, output_type="ndarray")
    surer, other = pairs.min(axis=1), pairs.max(axis=1)
    all_boxes = boxes(found, shape)
    first, second = all_boxes[surer], all_boxes[other]
    both_white = (found.kinds[surer] == WHITE) & (found.kinds[other] == WHITE)
    same = (_overlap(first, second) > SAME_CELL) | (both_white & (_inside(first, second) > LOBE))
    kept = np.ones(len(found), np.bool_)
    surer, other = surer[same], other[same]
    for index in np.lexsort((other, surer)):
        kept[other[index]] &= not kept[surer[index]]
    return np.flatnonzero(kept)


def _overlap(first: Floats, second: Floats) -> Floats:
    """IoU of boxes (n, 4), pair by pair."""
    shared = _shared(first, second)
    return np.asarray(shared / np.maximum(_size(first) + _size(second) - shared, 1e-6), np.float32)


def _inside(first: Floats, second: Floats) -> Floats:
    """Share of the smaller of two boxes (n, 4) that lies in the other, pair by pair."""
    smaller = np.minimum(_size(first), _size(second))
    return np.asarray(_shared(first, second) / np.maximum(smaller, 1e-6), np.float32)


def _shared(first: Floats, second: Floats) -> Floats:
    sides = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    return np.asarray(np.clip(sides, 0, None).prod(axis=1), np.float32)


def _size(boxed: Floats) -> Floats:
    return np.asarray((boxed[:, 2:] - boxed[:, :2]).prod(axis=1), np.float32)
