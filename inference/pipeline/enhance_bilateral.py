"""The bilateral filter of the Medical Enhanced Filter, several times as fast as OpenCV's on small images.

OpenCV looks every weight up in a table, and runs an image of one cell on one core whatever its threads. Here
a compiled loop computes the weights of a whole vector of pixels at once, and lets go of Python's lock.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from inference.pipeline.findings import Image

Planes = NDArray[np.float32]

RADIUS = 4
SIGMA_COLOUR = SIGMA_SPACE = 65.0

_SIDE = range(-RADIUS, RADIUS + 1)
_DISC = np.array([(dy, dx) for dy in _SIDE for dx in _SIDE if dy**2 + dx**2 <= RADIUS**2])
_NEARNESS = np.exp(-(_DISC**2).sum(axis=1) / (2 * SIGMA_SPACE**2)).astype(np.float32)
_OFFSETS = _DISC + RADIUS
_COLOUR_SCALE = np.float32(1 / (2 * SIGMA_COLOUR**2) / 16)


def bilateral(image: Image) -> Image:
    """Smooth what is even and keep what is an edge.

    A pixel becomes the mean of the disc of 9 px around it. Weights are Gaussians of the distance (standard
    deviation 65 px) and of the sum of the differences in the channels (65 levels); borders are mirrored.

    Args:
        image: uint8 RGB (height, width, 3).

    Returns:
        uint8 RGB of the same shape, within one level of ``cv2.bilateralFilter(image, 9, 65, 65)``; in pure
        noise two.

    Source: Tomasi and Manduchi, Bilateral filtering for gray and color images, ICCV 1998.
    """
    bordered = cv2.copyMakeBorder(image, RADIUS, RADIUS, RADIUS, RADIUS, cv2.BORDER_REFLECT_101)
    smoothed = np.empty_like(image)
    _smooth(np.stack(cv2.split(bordered)).astype(np.float32), smoothed)
    return smoothed


def _rows(planes: Planes, out: Image) -> None:
    """Smooth `planes` (3, height + 8, width + 8) into `out` (height, width, 3).

    The colour weight exp(-x) is (1 - p + p²/2)^16 with p = x/16, at most 1: four squarings need no table. The
    inner loops run along contiguous rows, which is what lets the compiler use vectors.
    """
    height, width = out.shape[:2]
    sums = np.empty((4, width), np.float32)
    red, green, blue, weights = sums[0], sums[1], sums[2], sums[3]
    one, zero, half = np.float32(1), np.float32(0), np.float32(0.5)
    for y in range(height):
        sums[:] = zero
        own_r = planes[0, y + RADIUS, RADIUS:]
        own_g = planes[1, y + RADIUS, RADIUS:]
        own_b = planes[2, y + RADIUS, RADIUS:]
        for tap in range(len(_OFFSETS)):
            dy, dx, nearness = y + _OFFSETS[tap, 0], _OFFSETS[tap, 1], _NEARNESS[tap]
            r, g, b = planes[0, dy, dx:], planes[1, dy, dx:], planes[2, dy, dx:]
            for x in range(width):
                apart = abs(r[x] - own_r[x]) + abs(g[x] - own_g[x]) + abs(b[x] - own_b[x])
                part = min(apart * apart * _COLOUR_SCALE, one)
                weight = one - part + half * part * part
                weight *= weight
                weight *= weight
                weight *= weight
                weight = weight * weight * nearness
                red[x] += weight * r[x]
                green[x] += weight * g[x]
                blue[x] += weight * b[x]
                weights[x] += weight
        for x in range(width):
            share = one / weights[x]
            for channel in range(3):
                out[y, x, channel] = np.uint8(sums[channel, x] * share + half)


_smooth: Callable[[Planes, Image], None] = njit(fastmath=True, nogil=True)(_rows)
