"""Finds white cells, red cells and platelets in a stained smear with the segmentation network.

The network sees every image at one working resolution; where the image does not say how large its pixels
are, the red cells tell.
"""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from inference.pipeline import star
from inference.pipeline.config import REFERENCE_PIXEL_UM
from inference.pipeline.findings import Image, Instance
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.segmentation_scale import estimate_pixel_um
from inference.pipeline.segmentation_star import KINDS, WORK_UM, Detections, detections
from inference.pipeline.shapes import resized
from inference.pipeline.star import Floats

__all__ = ["estimate_pixel_um", "segment"]

BORDER_PX = 2.0
"""Half the grid of the network, which is as exactly as it can tell where a border cuts a cell."""


def segment(image: Image, pixel_um: float | None = None, network: Network | None = None) -> list[Instance]:
    """Find the cells of a field.

    Args:
        image: uint8 RGB, shape (height, width, 3).
        pixel_um: micrometres per pixel; None to estimate it from the red cells.
        network: None for the product's own.

    Returns:
        One instance per cell in pixels of `image`, red cells, white cells and platelets mixed, whole
        or cut by the image border; an empty list where there is none.

    Raises NetworkUnavailable when the network's card or weights are missing or damaged.
    """
    if min(image.shape[:2]) < 8:
        return []
    network = network or runtime.load(registry.SEGMENTATION_NETWORK)
    if pixel_um is None:
        pixel_um = estimate_pixel_um(image, network) or REFERENCE_PIXEL_UM
    small = resized(image, pixel_um / WORK_UM)
    found = detections(small, network)
    return _instances(found, small.shape, image.shape, network.card.text["calibration"])


def _instances(
    found: Detections, shape: tuple[int, ...], full: tuple[int, ...], calibration: Mapping[str, Any]
) -> list[Instance]:
    """The detections in pixels of the full image of shape `full`, cut off at its border."""
    scale = np.array([full[1] / shape[1], full[0] / shape[0]], np.float32)
    limit = np.array([full[1], full[0]], np.float32)
    corners = _reaching_the_border(star.outlines(found.centres, found.radii), shape) * scale
    confidences = _confidences(found, calibration)
    made = []
    for kind, outline, confidence in zip(found.kinds, corners, confidences, strict=True):
        area = float(cv2.contourArea(outline))
        low, high = np.floor(outline.min(axis=0)), np.ceil(outline.max(axis=0))
        if area < 1:
            continue
        hull = float(cv2.contourArea(cv2.convexHull(outline)))
        made.append(
            Instance(
                kind=KINDS[kind],
                box=(int(low[0]), int(low[1]), int(high[0]), int(high[1])),
                polygon=tuple((int(x), int(y)) for x, y in np.minimum(outline, limit - 1)),
                centroid=_centroid(outline),
                area_px=round(area),
                confidence=float(confidence),
                solidity=min(1.0, area / max(hull, 1e-6)),
            )
        )
    return made


def _reaching_the_border(corners: Floats, shape: tuple[int, ...]) -> Floats:
    """Outlines cut off at the border; what comes within BORDER_PX of it is taken to go on beyond it."""
    limit = np.array([shape[1], shape[0]], np.float32)
    corners = np.where(corners < BORDER_PX, 0, corners)
    return np.where(corners > limit - BORDER_PX, limit, corners).astype(np.float32)


def _confidences(found: Detections, calibration: Mapping[str, Any]) -> Floats:
    """Chance, 0–1, that each detection is a cell of its kind, by the card's logistic regression."""
    weights = np.array([calibration[kind.value] for kind in KINDS], np.float32)[found.kinds].reshape(-1, 2)
    return np.asarray(1 / (1 + np.exp(-(weights[:, 0] * found.logits + weights[:, 1]))), np.float32)


def _centroid(outline: Floats) -> tuple[float, float]:
    moments = cv2.moments(outline)
    if moments["m00"] == 0:
        x, y = outline.mean(axis=0)
        return float(x), float(y)
    return moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
