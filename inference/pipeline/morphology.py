"""Measure a white cell: its nucleus, its cytoplasm, its size."""

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.morphology import local_maxima, reconstruction

from inference.pipeline.cell_words import Morphology
from inference.pipeline.findings import Image
from inference.pipeline.nucleus import FEWEST, NUCLEAR, densities
from inference.pipeline.shapes import Plane, depth_of, ellipse

Mask = NDArray[np.uint8]
Flags = NDArray[np.bool_]

NECK = 0.7
"""Two lobes are separate where the bridge between them is narrower than this share of the thinner one, or
there is none."""
LEAST_LOBE = 0.045
"""The least radius of a lobe as a share of the crop's side."""
RIM = 0.025
"""How far from its border a part is measured, as a share of the side: nearer, its neighbour shines in."""
FINE, COARSE = 0.006, 0.03
"""The blurs between which fine structure lies, as shares of the side: noise is finer, shading coarser."""


def measure(crop: Image, cell_mask: Mask, nucleus_mask: Mask, um_per_px: float | None = None) -> Morphology:
    """Measure a cell on its crop.

    Args:
        crop: uint8 RGB, shape (side, side, 3).
        cell_mask: uint8, shape (side, side), 255 on the cell.
        nucleus_mask: the same of its nucleus.
        um_per_px: micrometres per pixel of the crop, None where that is unknown.

    Returns:
        The measures; what too few pixels show is None.
    """
    cell, nucleus = cell_mask > 127, (nucleus_mask > 127) & (cell_mask > 127)
    optical = densities(crop, cell_mask, FINE)
    dye = np.asarray(optical @ np.array(NUCLEAR, np.float32), np.float32)
    inner, plasm = _within(nucleus), _within(cell & ~nucleus)
    red, blue = _mean(optical[..., 0], plasm), _mean(optical[..., 2] - optical[..., 0], plasm)
    area = int(cell.sum())
    return Morphology(
        nc_ratio=_rounded(nucleus.sum() / area) if area >= FEWEST else None,
        nucleus_lobes=_lobes(nucleus),
        nucleus_solidity=_solidity(nucleus),
        nucleus_contrast=_difference(_mean(dye, inner), _mean(dye, plasm)),
        chromatin_texture=_texture(dye, inner),
        cytoplasm_blueness=red,
        cytoplasm_redness=blue,
        granularity=_spread(_fine(optical[..., 1]), plasm),
        cell_diameter_um=_diameter(area, um_per_px),
    )


def _within(part: Flags) -> Flags:
    brush = ellipse(round(RIM * len(part)))
    return cv2.erode(part.astype(np.uint8), brush, borderValue=0).astype(np.bool_)


def _lobes(nucleus: Flags) -> int:
    """Count the places where the nucleus is thick and between which it is narrow."""
    depth = depth_of(nucleus)
    if not (depth > 0).any():
        return 0
    flooded = reconstruction(NECK * depth, depth)  # type: ignore[no-untyped-call]
    tops = local_maxima(flooded).astype(np.uint8)  # type: ignore[no-untyped-call]
    _, labels = cv2.connectedComponents(tops)
    thick = np.unique(labels[(depth >= LEAST_LOBE * len(nucleus)) & (tops > 0)])
    return max(1, len(thick))


def _solidity(nucleus: Flags) -> float | None:
    points = np.argwhere(nucleus)[:, ::-1].astype(np.int32)
    if len(points) < FEWEST:
        return None
    hull = np.zeros(nucleus.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    return _rounded(len(points) / int(hull.sum()))


def _fine(plane: Plane) -> Plane:
    return np.asarray(plane - cv2.GaussianBlur(plane, (0, 0), COARSE * len(plane)), np.float32)


def _mean(plane: Plane, where: Flags) -> float | None:
    return _rounded(plane[where].mean()) if where.sum() >= FEWEST else None


def _spread(plane: Plane, where: Flags) -> float | None:
    return _rounded(plane[where].std()) if where.sum() >= FEWEST else None


def _texture(dye: Plane, where: Flags) -> float | None:
    mean, spread = _mean(dye, where), _spread(dye, where)
    return _rounded(spread / mean) if mean and spread is not None and mean > 0 else None


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else _rounded(one - other)


def _diameter(area: int, um_per_px: float | None) -> float | None:
    return _rounded(2 * np.sqrt(area / np.pi) * um_per_px) if um_per_px and area else None


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 4)
