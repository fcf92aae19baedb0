"""Bring a crop to common light and dye, measured in the crop itself: the views that need no reference."""

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image, Outline

Mask = NDArray[np.uint8]
Levels = NDArray[np.float64]

GLASS = 240.0
"""The value that empty glass is moved to in every channel."""

DYE = 1.6
"""The density, as ``ln(glass / value)``, that the densest dye of a cell is moved to in the channel that shows
it best."""

WEAKEST_DYE = 0.3
"""A cell with less density than this is hardly stained; its noise is not to be made a dye."""

GLASS_SHARE, DYE_SHARE = 0.70, 0.05
"""Of the pixels around the cell, the share that is darker than glass: red cells and shadows are, bright rims
are not. Of those on the cell, the share that is denser than the dye that counts: specks and noise."""

FEWEST = 50
"""Pixels that are needed to measure anything."""

ENDS, LEAST_RANGE = 0.01, 8.0
"""The share of pixels beyond each end of a stretched channel, and the range below which there is nothing to
stretch but noise."""


def levelled(crop: Image, mask: Mask) -> Image:
    """Return a crop as if it had been taken in even white light and stained to a common strength.

    In each channel the density ``-ln(value / 256)`` is taken relative to that of the glass around the cell;
    all three are then scaled by one factor, so that the hue of the dyes and their relation stay.

    Args:
        crop: uint8 RGB, shape (side, side, 3).
        mask: uint8, shape (side, side), 255 on the cell; where it leaves too little beside the cell or on it,
            the whole crop stands in.

    Returns:
        uint8 RGB of the same shape.
    """
    glass = _quantile(crop, (mask < 64).astype(np.uint8), GLASS_SHARE)
    dye = _quantile(crop, (mask > 128).astype(np.uint8), DYE_SHARE)
    strength = max(float((_density(dye) - _density(glass)).max()), WEAKEST_DYE)
    values = _density(np.arange(256.0))[:, None] - _density(glass)
    table = np.clip(GLASS * np.exp(-values * DYE / strength), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(crop, table[None]), np.uint8)


def stretched(crop: Image) -> Image:
    """Return a crop with its darkest and brightest hundredth moved to black and white in every channel.

    Takes and gives uint8 RGB, shape (side, side, 3).
    """
    low, high = (_quantile(crop, None, share) for share in (ENDS, 1 - ENDS))
    values = (np.arange(256.0)[:, None] - low) * 255 / np.maximum(high - low, LEAST_RANGE)
    return np.asarray(cv2.LUT(crop, np.clip(values, 0, 255).astype(np.uint8)[None]), np.uint8)


def mask_of(outline: Outline, side: int) -> Mask:
    """Return uint8 (side, side), 255 inside an outline, ``x, y`` in px."""
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(np.asarray(outline, np.float64)).astype(np.int32)], 255)
    return mask


def shown(view: str, crop: Image, mask: Mask) -> Image:
    """Return a crop in a view that is measured in the crop itself: "as_is", "levels" or "stretched"."""
    if view == "levels":
        return levelled(crop, mask)
    return stretched(crop) if view == "stretched" else crop


def _density(values: Levels) -> Levels:
    return np.asarray(-np.log((values + 1) / 256), np.float64)


def _quantile(crop: Image, where: Mask | None, share: float) -> Levels:
    """Return the value of each channel, float64 (3,), below which that share of the chosen pixels lies."""
    chosen = where if where is not None and cv2.countNonZero(where) >= FEWEST else None
    counts = np.column_stack(
        [cv2.calcHist([crop], [channel], chosen, [256], [0, 256]) for channel in range(3)]
    )
    below = np.cumsum(counts, axis=0)
    return np.asarray((below < share * below[-1]).sum(axis=0), np.float64)
