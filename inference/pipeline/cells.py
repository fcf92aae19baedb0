"""Decides which instances count as cells, removes duplicates, and cuts out the squares to classify."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from inference.pipeline.config import REFERENCE_PIXEL_UM, CellConfig, TileConfig
from inference.pipeline.findings import Box, Image, Instance, Kind

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]
KINDS = tuple(Kind)

PART_SHARE = 0.75
"""A detection is part of a larger one when this share of its box lies inside."""

CENTRE_REACH = 0.35
"""How far from the middle of a single-cell image its cell may lie, as a share of the longer side."""


def select(instances: Iterable[Instance], config: CellConfig, pixel_um: float | None) -> list[Instance]:
    """Keep the instances with the confidence, area, aspect and solidity of a cell.

    Args:
        instances: candidates in pixels of one image.
        config: the limits; its areas are px at 0.1 µm per pixel and are scaled to `pixel_um`.
        pixel_um: micrometres per pixel, None for 0.1.

    Returns:
        The instances kept, in their order.
    """
    scale = (REFERENCE_PIXEL_UM / (pixel_um or REFERENCE_PIXEL_UM)) ** 2
    return [
        instance
        for instance in instances
        if instance.confidence >= config.min_confidence
        and config.min_area * scale <= instance.area_px <= config.max_area * scale
        and _aspect(instance.box) <= config.max_aspect
        and instance.solidity >= config.min_solidity
    ]


def _aspect(box: Box) -> float:
    width, height = box[2] - box[0], box[3] - box[1]
    return max(width, height) / max(1, min(width, height))


def to_level0(instance: Instance, tile_box: Box, number: int) -> Instance:
    """Move an instance from the pixels of tile `number` to level-0 pixels; `tile_box` is the tile there."""
    left, top = tile_box[:2]
    x0, y0, x1, y1 = instance.box
    return replace(
        instance,
        box=(x0 + left, y0 + top, x1 + left, y1 + top),
        polygon=tuple((x + left, y + top) for x, y in instance.polygon),
        centroid=(instance.centroid[0] + left, instance.centroid[1] + top),
        tile=number,
    )


def drop_edge_cells(
    instances: Iterable[Instance], tile_box: Box, size: tuple[int, int], config: TileConfig
) -> list[Instance]:
    """Leave to the neighbouring tile what lies within the margin of an inner tile edge.

    Args:
        instances: detections of one tile in level-0 pixels.
        tile_box: the tile in level-0 pixels.
        size: width and height of the slide; the slide's own border is no inner edge.
        config: holds the margin in px.

    Returns:
        The instances this tile answers for. A cell too large to lie clear of both opposite inner edges
        would be lost to every tile, so instances longer than the tiles' overlap are kept.
    """
    margin = config.edge_margin
    left = tile_box[0] + margin if tile_box[0] > 0 else -1
    top = tile_box[1] + margin if tile_box[1] > 0 else -1
    right = tile_box[2] - margin if tile_box[2] < size[0] else size[0] + 1
    bottom = tile_box[3] - margin if tile_box[3] < size[1] else size[1] + 1
    kept = []
    for instance in instances:
        x0, y0, x1, y1 = instance.box
        inside = x0 >= left and y0 >= top and x1 <= right and y1 <= bottom
        if inside or max(x1 - x0, y1 - y0) > config.overlap - 2 * margin:
            kept.append(instance)
    return kept


def drop_duplicates(instances: Sequence[Instance], config: CellConfig) -> list[Instance]:
    """Keep one of any two detections of the same cell.

    Args:
        instances: detections of all tiles in level-0 pixels.
        config: holds the intersection over union from which two boxes are one cell.

    Returns:
        The instances kept, highest confidence first. Of two that overlap the surer stays, and of a
        whole cell and the part of it that a neighbouring tile saw, the whole one.
    """
    surest = sorted(instances, key=lambda instance: -instance.confidence)
    table = _table(surest)
    larger, inner = _near(table)
    first, second = np.minimum(larger, inner), np.maximum(larger, inner)
    again = _iou(table, first, second) >= config.duplicate_iou
    distinct = _survivors(len(surest), first[again], second[again])
    part = _part_of_larger(table, larger, inner) & distinct[larger] & distinct[inner]
    # A part of a part goes with it, so it does not matter which of them is looked at first.
    whole = np.ones(len(surest), np.bool_)
    whole[inner[part]] = False
    return [surest[place] for place in np.flatnonzero(distinct & whole)]


def _table(instances: Sequence[Instance]) -> Numbers:
    """Box, tile, number of the kind and area of every instance, float64 (n, 7)."""
    rows = [(*i.box, i.tile, KINDS.index(i.kind), i.area_px) for i in instances]
    return np.array(rows, np.float64).reshape(-1, 7)


def _near(table: Numbers) -> tuple[Indices, Indices]:
    """Pairs of which the first has the larger box and the second its centre within the first's half diagonal.

    One of any two boxes that overlap by half, or lie one in the other, is such a pair. Boxes are looked up
    in classes of size, so that a few large ones do not make every small one's neighbourhood large.
    """
    if len(table) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    centres = (table[:, :2] + table[:, 2:4]) / 2
    sides = table[:, 2:4] - table[:, :2]
    reach, size = np.hypot(*sides.T) / 2, sides.prod(axis=1)
    everything = cKDTree(centres)
    classes = np.round(2 * np.log2(np.maximum(reach, 1))).astype(np.int64)
    found = [np.zeros((0, 2), np.int64)]
    for number in np.unique(classes):
        members = np.flatnonzero(classes == number)
        near = cKDTree(centres[members]).sparse_distance_matrix(
            everything, float(reach[members].max()), output_type="ndarray"
        )
        pairs = np.column_stack([members[near["i"]], near["j"]])
        smaller = size[pairs[:, 1]] < size[pairs[:, 0]]
        equal = (size[pairs[:, 1]] == size[pairs[:, 0]]) & (pairs[:, 0] < pairs[:, 1])
        found.append(pairs[smaller | equal])
    larger, inner = np.concatenate(found).T
    return larger, inner


def _survivors(count: int, surer: Indices, other: Indices) -> Flags:
    """Which of `count` instances, surest first, stay when of each pair the surer one, if it stays itself,
    drops the other."""
    alive = np.ones(count, np.bool_)
    for place in np.lexsort((other, surer)):
        alive[other[place]] &= not alive[surer[place]]
    return alive


def _part_of_larger(table: Numbers, larger: Indices, inner: Indices) -> Flags:
    """Whether most of each inner box lies in the larger one, which another tile saw as the same kind."""
    first, second = table[larger], table[inner]
    inside = _shared(first, second) >= PART_SHARE * (second[:, 2:4] - second[:, :2]).prod(axis=1)
    apart = (first[:, 4] != second[:, 4]) & (first[:, 5] == second[:, 5])
    return np.asarray(inside & apart & (first[:, 6] >= second[:, 6]))


def _iou(table: Numbers, first: Indices, second: Indices) -> Numbers:
    shared, sizes = _shared(table[first], table[second]), (table[:, 2:4] - table[:, :2]).prod(axis=1)
    return np.asarray(shared / np.maximum(sizes[first] + sizes[second] - shared, 1e-9))


def _shared(first: Numbers, second: Numbers) -> Numbers:
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:4], second[:, 2:4])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=1))


def crop_box(instance: Instance, padding: float) -> Box:
    """The square around a cell in level-0 pixels, which may reach over the border of the image.

    It is centred on the centroid, `padding` longer than the longer side of the box, and longer still
    where an eccentric centroid would cut the cell.
    """
    x0, y0, x1, y1 = instance.box
    cx, cy = instance.centroid
    reach = max(cx - x0, x1 - cx, cy - y0, y1 - cy)
    half = max(max(x1 - x0, y1 - y0) * (1 + padding) / 2, reach * (1 + padding / 4))
    left, top, side = round(cx - half), round(cy - half), max(2, round(2 * half))
    return left, top, left + side, top + side


def crop(image: Image, instance: Instance, config: CellConfig, side: int) -> Image:
    """Cut out the square around a cell.

    Args:
        image: uint8 RGB, shape (height, width, 3), in whose pixels the instance is given.
        instance: the cell.
        config: holds the padding.
        side: side of the result in px.

    Returns:
        uint8 RGB, shape (side, side, 3); reflected where the square reaches over the border.
    """
    return resized(cut(image, crop_box(instance, config.padding)), side)


def cut(image: Image, box: Box) -> Image:
    """Cut a box out of an image, reflected where it reaches over the border."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = box
    rows = _reflected(y0, y1, height)
    columns = _reflected(x0, x1, width)
    return np.ascontiguousarray(image[np.ix_(rows, columns)])


def _reflected(start: int, stop: int, length: int) -> NDArray[np.int64]:
    """Indices from start to stop, mirrored at 0 and length - 1 (the edge pixel is not repeated)."""
    if length == 1:
        return np.zeros(stop - start, np.int64)
    period = 2 * (length - 1)
    index = np.arange(start, stop) % period
    return np.where(index < length, index, period - index)


def resized(image: Image, side: int) -> Image:
    """Resize to a square, by area averaging downwards and bicubic upwards."""
    smaller = side < image.shape[0]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=interpolation), np.uint8)


def centre_instance(instances: Iterable[Instance], shape: tuple[int, ...]) -> Instance | None:
    """The cell a single-cell image shows: the white cell nearest the middle, else a platelet there.

    Args:
        instances: what segmentation found in the image.
        shape: (height, width, ...) of the image.

    Returns:
        The instance, or None when no white cell or platelet lies near the middle.
    """
    near = [i for i in instances if _offset(i, shape) <= CENTRE_REACH * max(shape[:2])]
    for kind in (Kind.WBC, Kind.PLATELET):
        candidates = [i for i in near if i.kind is kind]
        if kind is Kind.WBC:
            candidates = [i for i in candidates if _holds_middle(i, shape)] or candidates
        if candidates:
            return min(candidates, key=lambda instance: _offset(instance, shape))
    return None


def centre_red_cell(instances: Iterable[Instance], shape: tuple[int, ...]) -> Instance | None:
    """The red cell nearest the middle of an image (height, width, ...); None when none lies near it."""
    near = [i for i in instances if i.kind is Kind.RBC and _offset(i, shape) <= CENTRE_REACH * max(shape[:2])]
    return min(near, key=lambda instance: _offset(instance, shape), default=None)


def _offset(instance: Instance, shape: tuple[int, ...]) -> float:
    x, y = instance.centroid
    return float(np.hypot(x - shape[1] / 2, y - shape[0] / 2))


def _holds_middle(instance: Instance, shape: tuple[int, ...]) -> bool:
    x0, y0, x1, y1 = instance.box
    return x0 <= shape[1] / 2 <= x1 and y0 <= shape[0] / 2 <= y1


def single_cell_crop(
    image: Image, instances: Iterable[Instance], config: CellConfig, side: int
) -> tuple[Image, Instance | None]:
    """The square to classify in an image of one cell.

    Args:
        image: uint8 RGB, shape (height, width, 3).
        instances: what segmentation found in it.
        config: holds the padding.
        side: side of the crop in px.

    Returns:
        The crop, uint8 RGB (side, side, 3), and the instance it shows; None instead of the instance
        when no cell was found near the middle and the crop is the whole frame, squared by reflection.
    """
    instance = centre_instance(instances, image.shape)
    if instance is not None:
        return crop(image, instance, config, side), instance
    return whole_frame(image, side), None


def whole_frame(image: Image, side: int) -> Image:
    """All of an image, uint8 RGB, squared by reflection, `side` px wide."""
    height, width = image.shape[:2]
    longest = max(height, width)
    left, top = (width - longest) // 2, (height - longest) // 2
    return resized(cut(image, (left, top, left + longest, top + longest)), side)
