"""Measures of a red cell, and what it is called by shape and diameter together."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.config import RBC_DIAMETER_UM, RBC_NORMAL_DIAMETER_UM
from inference.pipeline.findings import Image, Instance, Outline
from inference.pipeline.levels import mask_of
from inference.pipeline.red_cell_findings import RedCellMeasures

Limits = tuple[float, float]
"""The least and the greatest diameter of a normal red cell in µm."""

CENTRE, RING = 0.6, (0.15, 0.5)
"""Depths below the outline, over the greatest: from the first on lies the middle of a cell, and between the
other two the ring that carries its haemoglobin. The outermost edge, blurred by the optics, is in neither."""

LEAST_DENSITY = 0.02
"""Optical density of the ring below which there is no stain to compare the middle with."""

DENSITY = (0.25, 0.5, 0.25)
"""Weights of red, green and blue in the optical density: haemoglobin and eosin absorb green most."""


def diameter_um(instance: Instance, pixel_um: float) -> float:
    """Diameter in µm of the circle with the area of a cell; `pixel_um` is µm per pixel."""
    return diameter_px(instance) * pixel_um


def diameter_px(instance: Instance) -> float:
    """Diameter in px of the circle with the area of a cell."""
    return 2 * math.sqrt(instance.area_px / math.pi)


def final_label(shape: str, diameter_um: float | None, limits: Limits = RBC_NORMAL_DIAMETER_UM) -> str:
    """What a red cell is called.

    Args:
        shape: one of RBC_SHAPES, as the network says.
        diameter_um: its diameter in µm, None where no pixel size is known.
        limits: the least and the greatest normal diameter in µm.

    Returns:
        One of RBC_CLASSES. Only a cell of normal shape is called by its size: a spherocyte is small and a
        target cell wide by nature, and there the shape is the finding.
    """
    if shape != "normal" or diameter_um is None:
        return shape
    if diameter_um < limits[0]:
        return "microcyte"
    return "macrocyte" if diameter_um > limits[1] else shape


def compared_um(measures: RedCellMeasures) -> float:
    """The diameter in µm that is held against the limits: the cell's own or, where the pixel size is only an
    estimate, what it is beside the median of its smear, taken to be 7.2 µm."""
    return measures.diameter_um or measures.relative_diameter * RBC_DIAMETER_UM


def measure(
    instance: Instance, seen: tuple[Image, Outline], pixel_um: float | None, median_px: float
) -> RedCellMeasures:
    """Measure one red cell.

    Args:
        instance: the cell, with its outline.
        seen: its crop, uint8 RGB (side, side, 3), and its outline ``x, y`` in crop pixels.
        pixel_um: µm per pixel where it is known and no estimate from the red cells; None otherwise.
        median_px: the median diameter of the red cells of the smear in px.
    """
    points = np.asarray(instance.polygon, np.float32)
    return RedCellMeasures(
        diameter_um=diameter_um(instance, pixel_um) if pixel_um else None,
        area_um2=instance.area_px * pixel_um**2 if pixel_um else None,
        relative_diameter=diameter_px(instance) / median_px,
        circularity=circularity(points),
        elongation=elongation(points),
        pallor_ratio=pallor_ratio(*seen),
    )


def circularity(points: NDArray[np.float32]) -> float:
    """4π area over perimeter squared of an outline (n, 2), at most 1; 0 for a line."""
    length = cv2.arcLength(points, True) if len(points) > 2 else 0.0
    return min(1.0, 4 * math.pi * cv2.contourArea(points) / length**2) if length else 0.0


def elongation(points: NDArray[np.float32]) -> float:
    """The long over the short axis of the ellipse with the moments of an outline (n, 2), at least 1."""
    of = cv2.moments(points) if len(points) > 2 else {"m00": 0.0}
    if not of["m00"]:
        return 1.0
    middle, half = (of["mu20"] + of["mu02"]) / 2, math.hypot((of["mu20"] - of["mu02"]) / 2, of["mu11"])
    return math.sqrt((middle + half) / max(middle - half, 1e-9))


def pallor_ratio(crop: Image, outline: Outline) -> float | None:
    """Mean optical density of the middle of a cell over that of the ring around it.

    Args:
        crop: uint8 RGB (side, side, 3) around the cell.
        outline: the cell's, ``x, y`` in crop pixels.

    Returns:
        The ratio, at least 0, or None where the cell is too small or its ring holds no stain. The density is
        taken against the light beside the cell: the brightest quarter of the crop outside it.
    """
    mask = mask_of(outline, len(crop))
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    below = np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 5), np.float32)[1:-1, 1:-1]
    depth = below / max(float(below.max()), 1.0)
    density = _density(crop, mask == 0)
    middle = density[depth >= CENTRE]
    ring = density[(depth >= RING[0]) & (depth <= RING[1])]
    if not middle.size or not ring.size or float(ring.mean()) < LEAST_DENSITY:
        return None
    return max(0.0, float(middle.mean() / ring.mean()))


def _density(crop: Image, outside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Optical density float32 (side, side) against the light that falls beside a cell."""
    logs = -np.log10((crop.astype(np.float32) + 1.0) / 256.0) @ np.array(DENSITY, np.float32)
    beside = logs[outside] if outside.any() else logs.ravel()
    light = beside[beside <= np.quantile(beside, 0.25)]
    return np.asarray(logs - light.mean(), np.float32)
