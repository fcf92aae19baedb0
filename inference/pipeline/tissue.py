"""Finds where the cells lie and how large they are, without segmentation.

Everything is measured on a reduced grey image whose background was levelled, so that the light of the
microscope, the depth of the stain and the size of the pixels do not decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image

Plane = NDArray[np.uint8]
Outline = NDArray[np.int32]

SIDE = 290
"""Side in px to which a square image is about reduced: cells keep a radius of 5 px or more."""
GROUND_QUANTILE = 0.95
"""The background is as bright as this quantile, which leaves out glare."""
DARKER = 0.95
"""A pixel may be tissue where it is darker than this share of the background."""
GROUND_REACH = 0.3
"""Share of the shorter side within which some background is expected to show."""
LIGHT_LEAST = 0.75
"""The light falls off to this share of itself at most: what is darker all around is a sheet of cells."""
FRAME_GREY, FRAME_SHARE = 45, 0.02
"""The frame of an eyepiece is darker than this grey level, and at least this share of the image."""
RADIUS_QUANTILE = 0.35
"""Cells that overlap look larger than they are, so the smaller ones speak for all."""
RADIUS_SHARE = 0.15
"""No cell is larger than this share of the image's shorter side: what is larger is a clump or a blur."""


@dataclass(frozen=True, slots=True)
class Field:
    """One window, reduced `step` times: `mask` 1 on tissue with the pale centres of cells filled, `frame` 1
    outside the field of view, both uint8 (height, width); `depth` the distance of tissue to its border,
    float32, px of the reduced window."""

    step: int
    mask: Plane
    frame: Plane
    depth: NDArray[np.float32]


def grey_of(window: Image) -> Plane:
    """Grey levels, uint8 (height, width), of a uint8 RGB window."""
    return np.asarray(cv2.cvtColor(window, cv2.COLOR_RGB2GRAY), np.uint8)


def reduced(pixels: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Average blocks of step × step pixels, grey or colour; what fills no whole block is left out."""
    height, width = pixels.shape[0] // step, pixels.shape[1] // step
    if step == 1 or not height or not width:
        return pixels
    whole = pixels[: height * step, : width * step]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def step_for(grey: Plane) -> int:
    """Whole factor by which a window is reduced before it is looked at."""
    return max(1, round(float(np.sqrt(grey.size)) / SIDE))


def fields(greys: Sequence[Plane]) -> tuple[list[Field], float]:
    """Look at the windows of one slide.

    Args:
        greys: grey levels of each window, uint8 (height, width), all at the same scale.

    Returns:
        The windows, all reduced by the same step, and the grey level of their background, 0–255.
    """
    step = max(step_for(grey) for grey in greys)
    small = [reduced(grey, step) for grey in greys]
    frames = [_frame(grey) for grey in small]
    ground = ground_level(small, frames)
    return [_field(grey, frame, ground, step) for grey, frame in zip(small, frames, strict=True)], ground


def ground_level(greys: Sequence[Plane], frames: Sequence[Plane]) -> float:
    """Grey level of the background of some windows, 0 where there is no field of view."""
    return quantile(histogram(greys, [1 - frame for frame in frames]), GROUND_QUANTILE)


def histogram(planes: Sequence[Plane], masks: Sequence[Plane]) -> NDArray[np.float64]:
    """Count the 256 levels of the pixels whose mask is not 0."""
    counts = np.zeros(256)
    for plane, mask in zip(planes, masks, strict=True):
        counts += cv2.calcHist([plane], [0], mask, [256], [0, 256]).ravel()
    return counts


def quantile(counts: NDArray[np.float64], share: float) -> float:
    """The lowest level that reaches `share` of what a histogram counted; 0 where that is nothing."""
    return float(np.searchsorted(np.cumsum(counts), share * counts.sum()))


def _frame(grey: Plane) -> Plane:
    """The dark surroundings of a round field of view: large, nearly black and at the border."""
    nothing = np.zeros_like(grey)
    dark = (grey < min(FRAME_GREY, ground_level([grey], [nothing]) / 4)).astype(np.uint8)
    if dark.mean() < FRAME_SHARE:
        return nothing
    count, labels, stats, _ = cv2.connectedComponentsWithStats(dark)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    outside = np.zeros(count, np.uint8)
    outside[border] = stats[border, cv2.CC_STAT_AREA] > FRAME_SHARE * grey.size
    outside[0] = 0
    return grown(outside[labels], 9)


def grown(mask: Plane, side: int) -> Plane:
    """Dilate a mask by a square of `side` px."""
    return np.asarray(cv2.dilate(mask, _square(side)), np.uint8)


def _square(side: int) -> Plane:
    return np.ones((side, side), np.uint8)


def _field(grey: Plane, frame: Plane, ground: float, step: int) -> Field:
    level = _levelled(grey, ground)
    level[frame > 0] = round(ground)
    mask = _filled(_mask(level, ground_level([level], [frame])))
    return Field(step, mask, frame, _depth(mask))


def _levelled(grey: Plane, ground: float) -> Plane:
    """Divide uneven light out: the background is the brightest within reach of each pixel."""
    coarse = reduced(grey, max(1, min(grey.shape) // 100))
    side = int(GROUND_REACH * min(coarse.shape)) | 1
    brightest = cv2.blur(cv2.dilate(cv2.blur(coarse, (3, 3)), _square(side)), (side, side))
    light = np.maximum(cv2.resize(brightest, grey.shape[::-1]), max(1, round(LIGHT_LEAST * ground)))
    return np.asarray(cv2.divide(grey, light, scale=ground), np.uint8)


def _mask(grey: Plane, ground: float) -> Plane:
    """Tissue begins half way between the background and the typical pixel that is darker."""
    darker = (grey < DARKER * ground).astype(np.uint8)
    if not darker.any():
        return darker
    return (grey < (ground + quantile(histogram([grey], [darker]), 0.5)) / 2).astype(np.uint8)


def _filled(mask: Plane) -> Plane:
    """Fill holes that are no wider than the tissue around them is thick: the pale centres of red cells."""
    if not mask.any():
        return mask
    largest = np.pi * _mean_radius(mask, _depth(mask)) ** 2
    holes = [line for line, outer in _outlines(mask) if outer >= 0 and cv2.contourArea(line) < largest]
    return np.asarray(cv2.drawContours(mask.copy(), holes, -1, 1, cv2.FILLED), np.uint8)


def _outlines(mask: Plane) -> list[tuple[Outline, int]]:
    """Outlines of the pieces of a mask and of their holes; with each hole the place of its piece, else -1."""
    outlines, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if tree is None:
        return []
    outer = tree.reshape(-1, 4)[:, 3].tolist()
    return [(np.asarray(line, np.int32), place) for line, place in zip(outlines, outer, strict=True)]


def _depth(mask: Plane) -> NDArray[np.float32]:
    """Distance to the border of the mask; where there is no border, the size of the image."""
    return np.minimum(cv2.distanceTransform(mask, cv2.DIST_L2, 3), np.float32(max(mask.shape)))


def _mean_radius(mask: Plane, depth: NDArray[np.float32]) -> float:
    """Radius of the disc whose pixels lie as deep as these on average: three times their mean depth."""
    return 3 * float(cv2.mean(depth, mask)[0])


def cell_radius(found: Sequence[Field]) -> float:
    """Typical radius of the cells in px of level 0; 0 where there is no tissue.

    The height of the ridges of the distance transform, without the low ones of platelets and dirt. In 8 of 10
    fields it is 0.64–0.95 of half the side of boxes drawn by hand (benchmarks/quality_thresholds.py).
    """
    peaks = np.concatenate([_peaks(field) for field in found])
    if not peaks.size:
        return 0.0
    shortest = min(min(field.mask.shape) for field in found)
    return found[0].step * min(float(np.quantile(peaks, RADIUS_QUANTILE)), RADIUS_SHARE * shortest)


def _peaks(field: Field) -> NDArray[np.float32]:
    highest = cv2.dilate(field.depth, _square(9))
    least = max(1.0, 0.4 * _mean_radius(field.mask, field.depth))
    return field.depth[(field.depth == highest) & (field.depth >= least)]


def tissue_share(found: Sequence[Field]) -> float:
    """Share of the field of view that is tissue, 0–1."""
    tissue = sum(int(cv2.countNonZero(field.mask)) for field in found)
    seen = sum(field.frame.size - int(cv2.countNonZero(field.frame)) for field in found)
    return min(1.0, tissue / seen) if seen else 0.0


def clumped_share(found: Sequence[Field], radius: float, cells: int) -> float:
    """Share of the tissue, 0–1, in connected pieces of at least `cells` cells of `radius` px of level 0."""
    areas = np.concatenate([_areas(field.mask) for field in found])
    single = np.pi * (radius / found[0].step) ** 2
    return float(areas[areas >= cells * single].sum() / areas.sum()) if areas.size else 0.0


def _areas(mask: Plane) -> NDArray[np.float64]:
    """Pixels of each connected piece: those that its outline encloses (Pick's theorem) without its holes."""
    outlines = _outlines(mask)
    areas = np.zeros(len(outlines))
    for place, (line, outer) in enumerate(outlines):
        area, half = cv2.contourArea(line), len(line) / 2
        if outer < 0:
            areas[place] += area + half + 1
        else:
            areas[outer] -= area - half + 1
    return areas[areas > 0]
