"""Perturbs images as other stains, lenses and cameras would, to measure what a figure is worth elsewhere."""

import cv2
import numpy as np

from inference.pipeline.findings import Image

KINDS = ("stain", "blur", "scale")

STAIN_GAIN, STAIN_SHIFT = 0.25, 0.04
BLUR_SIGMA = (1.0, 2.5)
SCALE = (0.6, 0.85)


def perturb(image: Image, kind: str, seed: int) -> Image:
    """Perturb an image; nothing in it moves, so that its labels stay true.

    Args:
        image: uint8 RGB, shape (height, width, 3).
        kind: "stain" scales each channel's optical density by 0.75 to 1.25 and shifts it by up to 0.04;
            "blur" is a Gaussian of 1 to 2.5 px; "scale" takes the image at 0.6 to 0.85 of its
            resolution and brings it back to its size.
        seed: fixes the strength; the same seed gives the same image.

    Returns:
        uint8 RGB of the same shape.
    """
    random = np.random.default_rng(seed)
    if kind == "stain":
        return _stain(image, random)
    if kind == "blur":
        return np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(*BLUR_SIGMA)), np.uint8)
    if kind == "scale":
        return _scale(image, random.uniform(*SCALE))
    raise ValueError(f"{kind} is no perturbation; known are {', '.join(KINDS)}")


def _stain(image: Image, random: np.random.Generator) -> Image:
    density = -np.log10((image.astype(np.float32) + 1) / 256)
    gain = random.uniform(1 - STAIN_GAIN, 1 + STAIN_GAIN, 3).astype(np.float32)
    shift = random.uniform(0, STAIN_SHIFT, 3).astype(np.float32)
    colours = 256 * np.power(10.0, -(density * gain + shift)) - 1
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)


def _scale(image: Image, factor: float) -> Image:
    height, width = image.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
