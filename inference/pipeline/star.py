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


def moved(radii: Floats, linear: NDArray[np.float64]) -> Floats:
    """Radii of the same shapes after a turn, a mirroring, a scaling, a stretch, or all of them.

    Args:
        radii: float32 (n, rays) in px.
        linear: float64 (2, 2), what is done to points x, y about each centre.

    Returns:
        float32 (n, rays). A shape that is star-shaped about its centre stays so under every linear map, so
        the rays are moved and read off between where they land.
    """
    rays = radii.shape[1]
    landed = directions(rays) @ linear.T
    angle = np.arctan2(landed[:, 1], landed[:, 0]) % (2 * np.pi)
    order = np.argsort(angle)
    angle, length = angle[order], np.hypot(*landed.T)[order] * radii[:, order]
    wanted = 2 * np.pi * np.arange(rays) / rays
    following = np.searchsorted(angle, wanted, side="right") % rays
    before = following - 1
    gap = (angle[following] - angle[before]) % (2 * np.pi)
    share = ((wanted - angle[before]) % (2 * np.pi)) / np.maximum(gap, 1e-9)
    return np.asarray((1 - share) * length[:, before] + share * length[:, following], np.float32)
