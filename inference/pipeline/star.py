"""Star-shaped outlines: a cell as its centre and its radii in fixed directions.

The shape of StarDist (Schmidt et al., MICCAI 2018) and PolarMask (Xie et al., CVPR 2020): cells may overlap,
and an outline is a handful of numbers that turns, grows and is compared without any pixels.
"""

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from inference.pipeline.shapes import Mask

Floats = NDArray[np.float32]

RAYS = 32
"""Directions in which the network measures a cell; between them the outline is straight."""


def directions(rays: int = RAYS) -> Floats:
    """Unit vectors x, y of evenly spread rays, float32 (rays, 2); the first points along x."""
    angles = 2 * np.pi * np.arange(rays) / rays
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def outlines(centres: Floats, radii: Floats) -> Floats:
    """Corners of every cell.

    Args:
        centres: float32 (n, 2) as x, y in px.
        radii: float32 (n, rays) in px.

    Returns:
        float32 (n, rays, 2) as x, y in px.
    """
    return np.asarray(centres[:, None] + radii[..., None] * directions(radii.shape[1]), np.float32)


def filled(outline: Floats, shape: tuple[int, int]) -> Mask:
    """Pixels of a (height, width) image inside one outline, float32 (rays, 2)."""
    mask = np.zeros(shape, np.bool_)
    # polygon() counts from the middle of a pixel, an outline from its corner.
    rows, columns = polygon(outline[:, 1] - 0.5, outline[:, 0] - 0.5, shape)  # type: ignore[no-untyped-call]
    mask[rows, columns] = True
    return mask


def areas(radii: Floats) -> Floats:
    """Areas in px² of outlines with radii float32 (n, rays): triangles between neighbouring rays."""
    wedge = np.sin(2 * np.pi / radii.shape[1]) / 2
    return np.asarray(wedge * (radii * np.roll(radii, 1, axis=1)).sum(axis=1), np.float32)


def measure(mask: Mask, rays: int = RAYS) -> tuple[Floats, Floats]:
    """Centroid, float32 (2,) as x, y, and radii, float32 (rays,), of a region that is not empty.

    A radius is the length of its ray inside the region, so that a notch shortens it rather than ends it.
    """
    rows, columns = np.nonzero(mask)
    centre = np.array([columns.mean() + 0.5, rows.mean() + 0.5], np.float32)
    reach = int(np.hypot(np.ptp(columns) + 1, np.ptp(rows) + 1)) + 1
    steps = np.arange(0.25, reach, 0.5, dtype=np.float32)
    points = np.floor(centre + directions(rays)[:, None] * steps[None, :, None]).astype(np.int32)
    x, y = points[..., 0], points[..., 1]
    inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    hit = inside & mask[np.where(inside, y, 0), np.where(inside, x, 0)]
    return centre, np.maximum(hit.sum(axis=1) * np.float32(0.5), np.float32(0.5))


def turned(radii: Floats, angle: float) -> Floats:
    """Radii float32 (n, rays) of the same shapes turned by `angle` (radians, from x towards y)."""
    rays = radii.shape[1]
    shift = angle / (2 * np.pi) * rays
    whole = int(np.floor(shift))
    share = np.float32(shift - whole)
    return np.asarray(
        (1 - share) * np.roll(radii, whole, axis=1) + share * np.roll(radii, whole + 1, axis=1), np.float32
    )


def mirrored(radii: Floats) -> Floats:
    """Radii float32 (n, rays) of the same shapes mirrored from left to right."""
    rays = radii.shape[1]
    return radii[:, (rays // 2 - np.arange(rays)) % rays]
