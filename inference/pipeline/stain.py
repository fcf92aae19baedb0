"""Brings the stain of a smear towards the stain of the training smears (Reinhard's method)."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image

MIN_SPREAD = 0.5
"""Standard deviation of the lightness below which an image is blank and has no stain to be moved."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The stain of one image: mean and standard deviation of its pixels in CIE L*a*b* (L 0–100)."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def is_flat(self) -> bool:
        """Whether the image was blank or black, so that there is nothing to normalise."""
        return self.std[0] < MIN_SPREAD


def fit(image: Image) -> Reference:
    """Measure the stain of an image.

    Args:
        image: uint8 RGB, shape (height, width, 3); a whole field, or a sample of a slide.

    Returns:
        The reference, to be measured once per slide and used for all its tiles and cells.
    """
    values = _lab(image).reshape(-1, 3)
    return Reference(_triple(values.mean(axis=0)), _triple(values.std(axis=0)))


def normalise(image: Image, source: Reference, target: Reference) -> Image:
    """Move the colours of an image from one stain to another.

    Args:
        image: uint8 RGB, shape (height, width, 3).
        source: the stain of the slide that the image is part of.
        target: the stain to reach.

    Returns:
        uint8 RGB of the same shape; the image itself when its slide is blank or black.

    Source: Reinhard et al., Color transfer between images, IEEE CG&A 2001, here in CIE L*a*b*.
    """
    if source.is_flat:
        return image
    gain = np.divide(target.std, np.maximum(source.std, 1e-3)).astype(np.float32)
    moved = (_lab(image) - np.asarray(source.mean, np.float32)) * gain + np.asarray(target.mean, np.float32)
    moved[..., 0] = np.clip(moved[..., 0], 0, 100)
    colours = cv2.cvtColor(moved, cv2.COLOR_LAB2RGB)
    return np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)


def _lab(image: Image) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _triple(values: NDArray[np.floating]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
