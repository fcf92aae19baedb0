"""Outlines of labelled cells: which cells exist is the boxes' word, where they end the stain's.

A box stands a little off its cell. By how much is read off the cells that touch no other; where cells
overlap, the ellipse in the box so narrowed says where the one goes on under the other.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from inference.pipeline.findings import Kind
from inference.pipeline.optical import Stain, nuclear_mask, stained
from inference.pipeline.segmentation_star import KINDS
from inference.pipeline.shapes import Mask, clean, dilate, ellipse, fill, opened
from inference.pipeline.star import Floats
from inference.training.evaluate_segmentation import box_overlaps

STORED_UM = 0.14
"""Fields are kept a little finer than the network sees them, so that they can be enlarged."""

RED_CELL_PX = 7.2 / STORED_UM
BOX_SHARE = 0.92
"""How much of its box a red cell takes up where no cell of the field lies apart to tell."""

PLATELET_SHARE = 0.85
LEAST_PX = 20

HALO_PX = 1
"""Faint stain reaches this far beyond the outline that a person draws round a white cell: made without this,
outlines were 2 to 3 % wider than the masks of fields_bcisc."""


@dataclass(frozen=True, slots=True)
class Region:
    """One cell: its kind as an index into KINDS, its mask in a window, and the window's corner x, y."""

    kind: int
    mask: Mask
    corner: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Outlined:
    """The cells of a field, and the area that is stained: `area` as red cells are, `pale` at all."""

    regions: list[Region]
    area: Mask
    pale: Mask


def outlined(stain: Stain, boxes: dict[Kind, Floats]) -> Outlined:
    """Outline the cells in boxes, float32 (n, 4) per kind, in px of an image at STORED_UM."""
    nuclear = clean(nuclear_mask(stain), 9)
    hole = 0.5 * RED_CELL_PX**2
    area = fill(stained(stain, nuclear) | nuclear, hole)
    pale = fill(area | (stain.density > stain.floor), hole)
    red = _red_cells(area, boxes)
    taken = np.zeros(area.shape, np.bool_)
    for region in red:
        x, y = region.corner
        taken[y : y + region.mask.shape[0], x : x + region.mask.shape[1]] |= region.mask
    own = (pale & ~(taken & ~dilate(nuclear, 4))) | nuclear
    white = [_white_cell(own, box) for box in boxes[Kind.WBC]]
    platelets = [_platelet(area, box) for box in boxes[Kind.PLATELET]]
    return Outlined([r for r in white + red + platelets if r.mask.sum() >= LEAST_PX], area, pale)


def window(box: Floats, shape: tuple[int, ...], margin: float = 0.0) -> tuple[slice, slice]:
    """Rows and columns of an image of this shape that a box covers."""
    low = np.floor(box[:2] - margin).clip(0).astype(int)
    high = np.minimum(np.ceil(box[2:] + margin), (shape[1], shape[0])).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _corner(place: tuple[slice, slice]) -> tuple[int, int]:
    return place[1].start, place[0].start


def _red_cells(area: Mask, boxes: dict[Kind, Floats]) -> list[Region]:
    red = boxes[Kind.RBC]
    apart = _apart(red, np.concatenate([boxes[kind] for kind in KINDS]), area.shape)
    own = [_largest(area[window(box, area.shape)]) for box in red]
    clear = [free and mask.sum() > 0.55 * _size(box) for free, mask, box in zip(apart, own, red, strict=True)]
    shares = [
        np.sqrt(_size(_bounds(mask)) / _size(box))
        for mask, box, free in zip(own, red, clear, strict=True)
        if free
    ]
    share = float(np.median(shares)) if shares else BOX_SHARE
    usual = max(float(np.median([np.sqrt(_size(box)) for box in red])) if len(red) else 0.0, RED_CELL_PX)
    return [
        _red_cell(area, box, mask if free else None, (share, usual))
        for mask, box, free in zip(own, red, clear, strict=True)
    ]


def _red_cell(area: Mask, box: Floats, clear: Mask | None, usual: tuple[float, float]) -> Region:
    """The mask of a cell that lies clear; else what is stained in the ellipse, or the whole ellipse where
    hardly anything is. A broken ring is closed by its convex hull."""
    place = window(box, area.shape)
    whole = _ellipse(place, _completed(box, area.shape, usual[1]), usual[0], 2.3)
    mask = _largest(whole & area[place]) if clear is None else clear
    if mask.sum() <= 0.4 * whole.sum():
        mask = whole
    elif mask.sum() <= 0.85 * whole.sum():
        mask = _hull(mask) & whole
    return Region(KINDS.index(Kind.RBC), mask, _corner(place))


def _white_cell(own: Mask, box: Floats) -> Region:
    """What is stained inside the rounded box and belongs to no red cell, in one piece without fringes."""
    place = window(box, own.shape)
    room = _ellipse(place, box, 1.0, 3.0)
    body = _largest(np.asarray(binary_fill_holes(opened(own[place] & room, 4)), np.bool_))
    if body.sum() <= 0.35 * _size(box):
        return Region(KINDS.index(Kind.WBC), _ellipse(place, box, 0.9, 2.3), _corner(place))
    return Region(KINDS.index(Kind.WBC), _eroded(body, HALO_PX), _corner(place))


def _eroded(mask: Mask, radius: int) -> Mask:
    return cv2.erode(mask.astype(np.uint8), ellipse(radius)).astype(np.bool_)


def _platelet(area: Mask, box: Floats) -> Region:
    place = window(box, area.shape)
    return Region(KINDS.index(Kind.PLATELET), _ellipse(place, box, PLATELET_SHARE, 2.0), _corner(place))


def _apart(red: Floats, others: Floats, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which boxes overlap no other and touch no border."""
    overlaps = box_overlaps([tuple(box) for box in red.tolist()], [tuple(box) for box in others.tolist()])
    alone = (overlaps > 0.01).sum(axis=1) <= 1
    height, width = shape[:2]
    return alone & (red[:, :2] > 1).all(axis=1) & (red[:, 2] < width - 1) & (red[:, 3] < height - 1)


def _completed(box: Floats, shape: tuple[int, ...], usual: float) -> Floats:
    """The box of a cell that the border cuts, as wide and high as the field's cells mostly are."""
    low, high = box[:2].copy(), box[2:].copy()
    small = high - low < usual
    at_start, at_end = small & (low <= 1), small & (high >= np.array(shape[1::-1]) - 1)
    return np.concatenate(
        [np.where(at_start, high - usual, low), np.where(at_end & ~at_start, low + usual, high)]
    )


def _ellipse(place: tuple[slice, slice], box: Floats, share: float, power: float) -> Mask:
    """Superellipse that fills `share` of a box in width and height, as a window of the image shows it."""
    rows, columns = np.ogrid[place]
    middle, reach = (box[:2] + box[2:]) / 2, np.maximum(share * (box[2:] - box[:2]) / 2, 1)
    across = np.abs(columns + 0.5 - middle[0]) / reach[0]
    down = np.abs(rows + 0.5 - middle[1]) / reach[1]
    return np.asarray(across**power + down**power <= 1, np.bool_)


def _hull(mask: Mask) -> Mask:
    rows, columns = np.nonzero(mask)
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(canvas, cv2.convexHull(np.stack([columns, rows], axis=1).astype(np.int32)), 1)
    return canvas.astype(np.bool_)


def _largest(mask: Mask) -> Mask:
    if not mask.any():
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), np.bool_)


def _bounds(mask: Mask) -> Floats:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return np.array([x, y, x + width, y + height], np.float32)


def _size(box: Floats) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
