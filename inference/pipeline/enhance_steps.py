"""The steps of the Medical Enhanced Filter, except for its bilateral filter.

Which steps there are is the project's numeric contract; where it leaves a strength open, the value stands
here with its reason. Images are uint8 RGB (height, width, 3), planes uint8 (height, width).
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image

Plane = NDArray[np.uint8]
Grid = tuple[int, int]

LOW, HIGH = 0.02, 0.98
MIN_SPAN = 12
"""A channel whose 2nd and 98th percentile lie closer together shows an empty ground with its noise, and is
left as it is; in 750 cells of five laboratories they lie at least 17 levels apart."""

FIXED_GRIDS: tuple[Grid, Grid] = ((4, 4), (8, 8))
CLIP_LIMIT = 2.0
"""Local contrast grows to the threefold at most, as what is clipped is spread evenly; and noise with it."""

EDGES_FROM, EDGES_SURE = 50, 150
"""Canny's thresholds on the stretched lightness: they draw the outlines of nucleus, lobes and cell, on 7–8 %
of the pixels of a sharp cell, and leave the grain of the background out."""

TILE = 56
"""Side in px of the coarse tiles of v1 on a cell of 224 px; adapted grids keep it in other sizes."""
TYPICAL_EDGES = 0.08
LEAST_DETAIL, MOST_DETAIL = 0.5, 1.5
"""With the share of edge pixels of a typical cell tiles have that side. With fewer they grow, as a tile
without structure has only noise to spread; with more they shrink, as long as a tile holds light and dark."""

INNER, OUTER = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)) for side in (3, 7))
INNER_SHARE = 0.6
"""The thin gradient places the boundary, the wide one gives it body."""
HIGHLIGHT = 0.3
"""This much of the blended gradient is taken off a black pixel, nothing off a white one; with more, chromatin
next to bright cytoplasm drowns in black."""

GAUSSIAN_SIDE = (5, 5)
"""OpenCV's Gaussian of 5 px (σ 1.1) keeps single noisy pixels out of the Laplacian."""
SHARPNESS = 0.5
"""Half of the Laplacian of Gaussian makes boundaries steeper without a visible halo."""

SMALL = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
"""Narrower than 9 of 224 px are granules, vacuoles and clumps of chromatin; lobes are wider."""
LIFT = 0.5
"""Half of its height is added to what is small."""


def stretch(image: Image) -> Image:
    """Stretch each channel: its 2nd percentile becomes 0, its 98th 255, what lies beyond is cut off."""
    affine = np.eye(3, 4, dtype=np.float32)
    for channel, plane in enumerate(cv2.split(image)):
        low, high = _percentiles(plane)
        if high - low >= MIN_SPAN:
            gain = 255 / (high - low)
            affine[channel, channel], affine[channel, 3] = gain, -gain * low
    return np.asarray(cv2.transform(image, affine), np.uint8)


def _percentiles(plane: NDArray[Any]) -> tuple[int, int]:
    """The smallest levels at or below which 2 % and 98 % of the pixels lie."""
    below = np.cumsum(cv2.calcHist([plane], [0], None, [256], [0, 256]))
    low, high = np.searchsorted(below, (LOW * plane.size, HIGH * plane.size))
    return int(low), int(high)


def find_edges(lightness: Plane) -> Plane:
    """Find the edges of a stretched lightness 0–255: 255 on an edge, 0 elsewhere (Canny)."""
    return np.asarray(cv2.Canny(lightness, EDGES_FROM, EDGES_SURE), np.uint8)


def adapted_grids(edges: Plane) -> tuple[Grid, Grid]:
    """Return a coarse and a fine grid (columns, rows) for an image's size and its share of edge pixels."""
    share = np.count_nonzero(edges) / edges.size
    detail = np.clip(np.sqrt(share / TYPICAL_EDGES), LEAST_DETAIL, MOST_DETAIL)
    rows, columns = (max(1, round(detail * length / TILE)) for length in edges.shape)
    return (columns, rows), (2 * columns, 2 * rows)


def clahe(lightness: Plane, grid: Grid) -> Plane:
    """Equalise a lightness in the tiles (columns, rows) of a grid, with limited contrast.

    Source: Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV, 1994.
    """
    return np.asarray(cv2.createCLAHE(CLIP_LIMIT, grid).apply(lightness), np.uint8)


def fuse(wide: Plane, narrow: Plane, edges: Plane) -> Plane:
    """Take the equalisation in `narrow` tiles at the edges and that in `wide` tiles far from them.

    Small tiles bring out the detail that an edge promises; elsewhere they would bring out noise.
    """
    near = cv2.blur(cv2.dilate(edges, OUTER), (7, 7))
    far = cv2.bitwise_not(near)
    fused = cv2.add(cv2.multiply(narrow, near, scale=1 / 255), cv2.multiply(wide, far, scale=1 / 255))
    return np.asarray(fused, np.uint8)


def highlight_nuclei(image: Image) -> Image:
    """Darken the dark side of boundaries in red light, which shows nuclei: red cells let it pass.

    The blend of the morphological gradients (dilation minus erosion) in discs of 3 and 7 px is taken off, the
    more the darker the pixel.
    """
    red = cv2.extractChannel(image, 0)
    inner, outer = (cv2.morphologyEx(red, cv2.MORPH_GRADIENT, disc) for disc in (INNER, OUTER))
    blend = cv2.addWeighted(inner, INNER_SHARE, outer, 1 - INNER_SHARE, 0)
    darker = cv2.multiply(blend, cv2.bitwise_not(red), scale=HIGHLIGHT / 255)
    return np.asarray(cv2.subtract(image, cv2.cvtColor(darker, cv2.COLOR_GRAY2RGB)), np.uint8)


def sharpen(image: Image, edges: Plane) -> Image:
    """Take the Laplacian of Gaussian off each channel, on `edges` and one px beside them only."""
    log = cv2.Laplacian(cv2.GaussianBlur(image, GAUSSIAN_SIDE, 0), cv2.CV_16S, ksize=1, scale=SHARPNESS)
    sharp = cv2.subtract(image, log, dtype=cv2.CV_8U)
    return np.asarray(cv2.copyTo(sharp, cv2.dilate(edges, INNER), image.copy()), np.uint8)


def lift_small(image: Image) -> Image:
    """Make small bright spots brighter and small dark ones darker, per channel (top-hat and bottom-hat)."""
    bright, dark = (cv2.morphologyEx(image, hat, SMALL) for hat in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT))
    lift = cv2.addWeighted(bright, LIFT, dark, -LIFT, 0, dtype=cv2.CV_16S)
    return np.asarray(cv2.add(image, lift, dtype=cv2.CV_8U), np.uint8)
