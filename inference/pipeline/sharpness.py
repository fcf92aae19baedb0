"""Measures focus: how much of the fine structure of the cells an image shows.

The variance of the Laplacian grows with contrast, noise, the amount of cells and the size of the pixels.
Measured on tissue, without the noise, where cells have one radius, and against the same at half the
resolution, it grows with focus alone.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.tissue import Plane, grown, reduced

RADIUS = 8
"""Sharpness is measured where cells have this radius in px, so that the size of the pixels does not count."""

ROUNDING = 20 / 12
"""Power of the Laplacian of nothing but rounding to whole grey levels: 1/12 times the sum of its squares."""


def step_for(radius: float) -> int:
    """Whole factor by which an image is reduced before `energies`, from the radius of its cells in px."""
    return max(1, round(radius / RADIUS))


def energies(grey: Plane, mask: Plane, frame: Plane) -> NDArray[np.float64]:
    """Variance of the Laplacian on tissue at this resolution and at half of it, each times its share.

    Args:
        grey: uint8 (height, width), reduced by `step_for`.
        mask, frame: 1 on tissue and outside the field of view, uint8, of the same view at any resolution.

    Returns:
        Two energies without the noise that the background shows, which averaging can only have lowered;
        those of several windows may be added.
    """
    share = float(mask.mean())
    fine, coarse = (_powers(image, mask, frame) for image in (grey, reduced(grey, 2)))
    noise = max(ROUNDING, fine[1]), max(ROUNDING, min(fine[1], coarse[1]))
    return np.array([share * max(0.0, fine[0] - noise[0]), share * max(0.0, coarse[0] - noise[1])])


def _powers(grey: Plane, mask: Plane, frame: Plane) -> tuple[float, float]:
    """Power of the Laplacian on tissue and on background, the border of the image left out."""
    cells = grown(_resized(mask, grey), 3)
    covered = grown(cells | _resized(frame, grey), 5)
    inside = np.zeros_like(grey)
    inside[1:-1, 1:-1] = 1
    laplacian = np.asarray(cv2.Laplacian(grey, cv2.CV_16S), np.int16)
    return _power(laplacian, cells & inside), _power(laplacian, inside & ~covered)


def _resized(mask: Plane, like: Plane) -> Plane:
    return np.asarray(cv2.resize(mask, like.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def _power(values: NDArray[np.int16], mask: Plane) -> float:
    mean, deviation = cv2.meanStdDev(values, mask=mask)
    return float(mean.item() ** 2 + deviation.item() ** 2)


def ratio(found: NDArray[np.float64]) -> float:
    """How much of the fine structure of the cells is there: the first of `energies` as a share of the second,
    0 where there is none."""
    fine, coarse = found
    return float(fine / coarse) if coarse > 0 else 0.0
