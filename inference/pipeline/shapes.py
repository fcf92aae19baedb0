"""Images and masks and what is measured on them: small wrappers that fix the types of cv2 and scikit-image.

Masks are bool, planes float32 and labels int32 (0 is background), all (height, width); lengths in px.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.morphology import local_maxima, reconstruction

from inference.pipeline.findings import Image

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]
Labels = NDArray[np.int32]

NECK = 0.96
"""Two cells are separate where the neck between them is narrower than this share of the thinner one."""


def ellipse(radius: int) -> NDArray[np.uint8]:
    side = 2 * max(0, radius) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def dilate(mask: Mask, radius: int) -> Mask:
    return cv2.dilate(mask.astype(np.uint8), ellipse(radius)).astype(np.bool_)


def opened(mask: Mask, radius: float) -> Mask:
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, ellipse(round(radius)))
    return opened.astype(np.bool_)


def clean(mask: Mask, least: float) -> Mask:
    """Drop connected parts smaller than `least` pixels."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    keep = stats[:, cv2.CC_STAT_AREA] >= least
    keep[0] = False
    return np.asarray(keep[labels], np.bool_)


def fill(mask: Mask, most: float) -> Mask:
    """Fill holes of at most `most` pixels, such as the pale centre of red cells."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    hole = stats[:, cv2.CC_STAT_AREA] <= most
    hole[0] = False
    return mask | hole[labels]


def depth_of(mask: Mask) -> Plane:
    """Distance of every pixel to the nearest background pixel."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def peaks(depth: Plane) -> Mask:
    """Regional maxima of the depth that a neck of less than 0.88 of their own depth sets apart."""
    smooth = cv2.GaussianBlur(depth, (0, 0), 1.0)
    flooded = reconstruction(NECK * smooth, smooth)  # type: ignore[no-untyped-call]
    maxima = local_maxima(flooded)  # type: ignore[no-untyped-call]
    return np.asarray(maxima & (depth > 1.0), np.bool_)


def spots(peaks: Mask) -> list[tuple[int, int]]:
    """One pixel (row, column) of each connected peak, the one nearest its centre."""
    _, labels, stats, centres = cv2.connectedComponentsWithStats(peaks.astype(np.uint8))
    spots = []
    for number in range(1, len(centres)):
        x, y, width, height = stats[number, :4]
        rows, columns = np.nonzero(labels[y : y + height, x : x + width] == number)
        cx, cy = centres[number] - (x, y)
        nearest = int(np.argmin((rows - cy) ** 2 + (columns - cx) ** 2))
        spots.append((int(rows[nearest] + y), int(columns[nearest] + x)))
    return spots


def disc_values(plane: Labels, y: int, x: int, radius: float) -> NDArray[np.int32]:
    reach = int(radius)
    top, left = max(0, y - reach), max(0, x - reach)
    window = plane[top : y + reach + 1, left : x + reach + 1]
    rows, columns = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
    return window[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2]


def component_areas(mask: Mask) -> NDArray[np.int32]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return np.asarray(stats[1:, cv2.CC_STAT_AREA], np.int32)


def resized(image: Image, factor: float) -> Image:
    """Resize uint8 RGB (height, width, 3) by a factor; an image of less than 8 px is made 8 px wide."""
    if abs(factor - 1) < 0.02:
        return image
    size = max(8, round(image.shape[1] * factor)), max(8, round(image.shape[0] * factor))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)
