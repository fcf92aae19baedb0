"""The Medical Enhanced Filter v1 as it is usually written down: OpenCV calls with floats between."""

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline import enhance_steps as steps
from inference.pipeline.findings import Image


def mef_v1(image: Image) -> Image:
    """Filter uint8 RGB pixels (height, width, 3) in the strengths of the product."""
    shares = (100 * steps.LOW, 100 * steps.HIGH)
    low, high = np.percentile(image, shares, axis=(0, 1), method="inverted_cdf").astype(float)
    stretched = _levels((image - low) / (high - low) * 255)
    lab = np.asarray(cv2.cvtColor(stretched, cv2.COLOR_RGB2LAB), np.uint8)
    edges = np.asarray(cv2.Canny(lab[..., 0], steps.EDGES_FROM, steps.EDGES_SURE), np.uint8)
    lab[..., 0] = _fused(lab[..., 0], edges)
    smooth = cv2.bilateralFilter(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 9, 65, 65)
    return _sharpened(_highlighted(np.asarray(smooth, np.uint8)), edges)


def _fused(lightness: Image, edges: Image) -> Image:
    wide, narrow = (cv2.createCLAHE(steps.CLIP_LIMIT, grid).apply(lightness) for grid in steps.FIXED_GRIDS)
    near = cv2.blur(cv2.dilate(edges, steps.OUTER), (7, 7)) / 255
    return _levels(narrow * near + wide * (1 - near))


def _highlighted(image: Image) -> Image:
    red = image[..., 0]
    inner = cv2.morphologyEx(red, cv2.MORPH_GRADIENT, steps.INNER)
    outer = cv2.morphologyEx(red, cv2.MORPH_GRADIENT, steps.OUTER)
    blend = steps.INNER_SHARE * inner + (1 - steps.INNER_SHARE) * outer
    return _levels(image - (steps.HIGHLIGHT * blend * (1 - red / 255))[..., None])


def _sharpened(image: Image, edges: Image) -> Image:
    log = cv2.Laplacian(cv2.GaussianBlur(image.astype(np.float32), steps.GAUSSIAN_SIDE, 0), cv2.CV_32F)
    sharp = _levels(image - steps.SHARPNESS * log)
    return np.where(cv2.dilate(edges, steps.INNER)[..., None] > 0, sharp, image)


def _levels(values: NDArray[np.floating]) -> Image:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
