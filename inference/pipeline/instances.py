"""Turns labelled regions into instances: outline, size, shape, and how much they are to be trusted."""

from dataclasses import astuple, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from inference.pipeline.findings import Box, Instance, Kind
from inference.pipeline.optical import Stain
from inference.pipeline.shapes import Labels, Mask

LEAST_UM2 = {Kind.WBC: 12.0, Kind.RBC: 3.0, Kind.PLATELET: 1.0}
"""Regions smaller than this are no cells."""

USUAL_UM2 = {Kind.WBC: 110.0, Kind.RBC: 40.0, Kind.PLATELET: 6.0}
"""Middling areas, the yardstick of the sizes in `Features`."""


@dataclass(frozen=True, slots=True)
class Regions:
    """Watershed result: `labels` int32 (height, width), 0 outside; `kinds` names each label's kind."""

    labels: Labels
    kinds: dict[int, Kind]


@dataclass(frozen=True, slots=True)
class Features:
    """What tells a cell from a chance shape, each about 0 to 1 in size.

    `size` is the natural logarithm of the area over the usual one and `oddity` its square; `solidity`
    the share of the convex hull; `roundness` 4π area over perimeter squared; `density` the mean density
    over the image's red cells; `nuclear` the share of nuclear stain; `edge` how much darker the rim is
    than the background just outside; `contact` the share of the outline that touches other cells;
    `cut` whether the image border cuts the cell.
    """

    size: float
    oddity: float
    solidity: float
    roundness: float
    density: float
    nuclear: float
    edge: float
    contact: float
    cut: float


WEIGHTS: dict[Kind, tuple[float, ...]] = {
    Kind.WBC: (0.087, 2.0, -0.207, 0.499, 1.045, 0.805, 0.507, -0.691, -0.273, -0.494),
    Kind.RBC: (-0.897, -0.458, -1.411, 1.203, 2.29, 0.389, -0.106, 1.892, -1.868, 0.409),
    Kind.PLATELET: (-0.809, 1.121, -1.719, 0.484, 3.668, 0.301, -1.052, 2.387, -4.797, -0.257),
}
"""Intercept and one weight per feature, fitted on labelled training fields by
benchmarks/segmentation_confidence.py: of the regions there 97 % of the white, 90 % of the red cells and
95 % of the platelets fall on the right side of 0.5."""


def confidence(kind: Kind, features: Features) -> float:
    """Chance, 0–1, that a region of this kind and shape is a cell of this kind, by logistic regression."""
    weights = WEIGHTS[kind]
    score = weights[0] + float(np.dot(weights[1:], astuple(features)))
    return float(1 / (1 + np.exp(-np.clip(score, -30, 30))))


def instances(regions: Regions, stain: Stain, unit: float, shape: tuple[int, ...]) -> list[Instance]:
    """Measure every region.

    Args:
        regions: labels at working resolution.
        stain: the stain planes they were found in.
        unit: working pixels per µm.
        shape: (height, width, ...) of the image whose pixels the instances are to be in.

    Returns:
        One instance per region that is not too small.
    """
    scale = shape[1] / regions.labels.shape[1], shape[0] / regions.labels.shape[0]
    return [
        _instance(region, scale, confidence(region.kind, region.features), shape)
        for region in measured(regions, stain, unit)
    ]


@dataclass(frozen=True, slots=True)
class Region:
    """One region at working resolution: its box, its outline (n, 2) as x, y, its pixels and features."""

    kind: Kind
    box: Box
    outline: NDArray[np.int32]
    centroid: tuple[float, float]
    area: int
    features: Features


def measured(regions: Regions, stain: Stain, unit: float) -> list[Region]:
    """Outline and features of every region that is not too small."""
    labels = regions.labels
    red = np.isin(labels, [number for number, kind in regions.kinds.items() if kind is Kind.RBC])
    usual = float(np.median(stain.density[red])) if red.any() else 2 * stain.floor
    found = []
    for number, (y0, y1, x0, x1) in _boxes(labels).items():
        kind = regions.kinds.get(number)
        top, left = max(0, y0 - 3), max(0, x0 - 3)
        around = slice(top, y1 + 3), slice(left, x1 + 3)
        mask = labels[around] == number
        if kind is None or mask.sum() < LEAST_UM2[kind] * unit**2:
            continue
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outline = max(contours, key=cv2.contourArea)[:, 0, :]
        if len(outline) < 5:
            continue
        rows, columns = np.nonzero(mask)
        features = Features(
            *_shape_features(outline, int(mask.sum()) / unit**2 / USUAL_UM2[kind]),
            *_stain_features(mask, stain, around, usual),
            _contact(mask, labels[around]),
            float(y0 == 0 or x0 == 0 or y1 == labels.shape[0] or x1 == labels.shape[1]),
        )
        centroid = float(columns.mean()) + left + 0.5, float(rows.mean()) + top + 0.5
        shifted = (outline + np.array([left, top])).astype(np.int32)
        found.append(Region(kind, (x0, y0, x1, y1), shifted, centroid, int(mask.sum()), features))
    return found


def _boxes(labels: Labels) -> dict[int, tuple[int, int, int, int]]:
    """First and last row and column (exclusive) of every label."""
    slices = find_objects(labels)
    return {
        number: (s[0].start, s[0].stop, s[1].start, s[1].stop)
        for number, s in enumerate(slices, start=1)
        if s is not None
    }


def _shape_features(outline: NDArray[np.int32], size: float) -> tuple[float, float, float, float]:
    area = max(float(cv2.contourArea(outline)), 1.0)
    hull = max(float(cv2.contourArea(cv2.convexHull(outline))), area)
    length = max(float(cv2.arcLength(outline, True)), 1.0)
    logarithm = float(np.clip(np.log(size), -3, 3))
    return logarithm, logarithm**2, area / hull, min(1.0, 4 * np.pi * area / length**2)


def _stain_features(
    mask: Mask, stain: Stain, around: tuple[slice, slice], usual: float
) -> tuple[float, float, float]:
    density, nuclear = stain.density[around], stain.nuclear[around]
    rim = mask & ~_eroded(mask)
    inner = rim if rim.any() else mask
    outer = _grown(mask) & ~mask
    mean = float(density[mask].mean())
    edge = float(density[inner].mean()) - (float(density[outer].mean()) if outer.any() else 0.0)
    return (
        float(np.clip(mean / max(usual, 1e-3), 0, 4)),
        float(np.clip(nuclear[mask].mean() / max(mean, 1e-3), -1, 2)),
        float(np.clip(edge / max(usual, 1e-3), -1, 2)),
    )


def _contact(mask: Mask, labels: Labels) -> float:
    """Share of the ring around a region that other cells take up."""
    ring = _grown(mask) & ~mask
    return float((labels[ring] > 0).mean()) if ring.any() else 0.0


def _grown(mask: Mask) -> Mask:
    return cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(np.bool_)


def _eroded(mask: Mask) -> Mask:
    return cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(np.bool_)


def _instance(region: Region, scale: tuple[float, float], trust: float, shape: tuple[int, ...]) -> Instance:
    """The region in pixels of the image; its outline is thinned to the corners that matter."""
    thinned = cv2.approxPolyDP(region.outline.reshape(-1, 1, 2), 0.4, True)[:, 0, :]
    points = (thinned + 0.5) * scale
    x0, y0, x1, y1 = region.box
    return Instance(
        kind=region.kind,
        box=(
            int(x0 * scale[0]),
            int(y0 * scale[1]),
            min(int(np.ceil(x1 * scale[0])), shape[1]),
            min(int(np.ceil(y1 * scale[1])), shape[0]),
        ),
        polygon=tuple((int(x), int(y)) for x, y in points),
        centroid=(region.centroid[0] * scale[0], region.centroid[1] * scale[1]),
        area_px=round(region.area * scale[0] * scale[1]),
        confidence=trust,
        solidity=region.features.solidity,
    )
