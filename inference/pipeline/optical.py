"""Stain in optical density, where amounts of stain add up and the colour of the lamp cancels.

The background is fitted as a smooth surface and divided out. Nuclear stain is the density in green minus
the density in blue: high in chromatin and platelets, low in haemoglobin, whichever the scanner.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image
from inference.pipeline.shapes import Mask, Plane, dilate

STAINED_SHARE = 0.45
"""Cells begin at this share of the red cells' own density: about half way up their edge."""


@dataclass(frozen=True, slots=True)
class Stain:
    """One image in optical density: `optical` red, green, blue, float32 (height, width, 3); `density`
    their mean with green doubled and `nuclear` green minus blue, float32 (height, width); `floor` the
    density up to which a pixel is background."""

    optical: Plane
    density: Plane
    nuclear: Plane
    floor: float


def stain_of(image: Image) -> Stain | None:
    """Convert an image to optical density against its own background.

    Args:
        image: uint8 RGB, shape (height, width, 3).

    Returns:
        The stain planes, or None where the image is constant, nearly black or without contrast.
    """
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.uint8)
    logs = -np.log10((smooth.astype(np.float32) + 1.0) / 256.0)
    usable = _usable(smooth)
    if usable.mean() < 0.02:
        return None
    background = _background(logs, usable)
    optical = np.where(usable[..., None], logs - background, 0.0).astype(np.float32)
    density = optical @ np.array([0.25, 0.5, 0.25], np.float32)
    noise = _noise(density[usable])
    if float(np.percentile(density, 99.5)) < max(0.03, 4 * noise):
        return None
    return Stain(optical, density, optical[..., 1] - optical[..., 2], float(np.clip(3 * noise, 0.012, 0.03)))


def _usable(image: Image) -> Mask:
    """Everything but the black frame that an eyepiece or a scanner leaves around the field."""
    dark = (image.max(axis=2) < 45).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(dark)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    big = stats[:, cv2.CC_STAT_AREA] > 0.02 * dark.size
    frame = np.zeros(count, np.bool_)
    frame[border] = big[border]
    frame[0] = False
    return ~frame[labels]


def _background(logs: Plane, usable: Mask) -> Plane:
    """Background of each channel in log units: a quadratic surface where there is enough of it."""
    step = max(1, int(np.sqrt(logs[..., 0].size / 12_000)))
    height, width = logs.shape[:2]
    rows, columns = np.mgrid[0:height:step, 0:width:step]
    keep = usable[::step, ::step]
    sample = logs[::step, ::step][keep]
    level, reach = _background_level(sample[:, 1])
    inside = np.abs(sample[:, 1] - level) < reach
    constant = np.median(sample[inside], axis=0).astype(np.float32)
    surface = np.broadcast_to(constant, logs.shape)
    if inside.mean() < 0.15 or min(height, width) < 200:
        return surface
    terms = _quadratic((rows[keep] + 0.5) / height, (columns[keep] + 0.5) / width)
    for _ in range(3):
        weights = np.linalg.lstsq(terms[inside], sample[inside], rcond=None)[0]
        inside = np.abs(sample[:, 1] - terms @ weights[:, 1]) < reach
        if inside.mean() < 0.1:
            return surface
    grid = (np.mgrid[0:32, 0:32].astype(np.float32) + 0.5) / 32
    return np.asarray(cv2.resize(_quadratic(*grid) @ weights, (width, height)), np.float32)


def _quadratic(y: NDArray[np.floating], x: NDArray[np.floating]) -> Plane:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).astype(np.float32)


def _background_level(green: NDArray[np.float32]) -> tuple[float, float]:
    """The brightest population of the green channel (log units) and how far it reaches, found by
    splitting in two while the brighter part still falls into two clearly different ones."""
    values, reach = green, 0.05
    for _ in range(3):
        cut = otsu(values)
        bright, dark = values[values <= cut], values[values > cut]
        if not bright.size or not dark.size or bright.size < 0.06 * green.size:
            break
        level, other = float(np.median(bright)), float(np.median(dark))
        if other - level < 0.06:
            break
        values, reach = bright, float(np.clip(0.4 * (other - level), 0.015, 0.05))
    return float(np.median(values)), reach


def otsu(values: NDArray[np.float32], bins: int = 256) -> float:
    """Otsu's threshold of a one-dimensional sample."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6:
        return high
    scaled = ((values - low) * ((bins - 1) / (high - low))).astype(np.uint8)
    cut, _ = cv2.threshold(scaled.reshape(1, -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return low + (float(cut) + 0.5) * (high - low) / (bins - 1)


def _noise(density: NDArray[np.float32]) -> float:
    """Spread of the background, from the densities below zero, which hold no stain."""
    below = density[density < 0]
    return float(1.4826 * np.median(-below)) if below.size else 0.0


def nuclear_mask(stain: Stain) -> Mask:
    """Pixels with the colour of chromatin: Otsu inside the stained area, refused where the two parts
    are too much alike to be nuclei and red cells."""
    stained = stain.nuclear[stain.density > stain.floor]
    if stained.size < 20:
        return np.zeros(stain.nuclear.shape, np.bool_)
    cut = max(otsu(np.clip(stained, 0, float(np.percentile(stained, 99.8)))), 0.08)
    high, low = stained[stained > cut], stained[stained <= cut]
    if high.size and low.size and float(high.mean()) < 1.8 * max(float(np.median(low)), 0.03):
        cut = max(cut, 0.35)
    return (stain.nuclear > cut) & (stain.nuclear > 0.75 * stain.density)


def stained(stain: Stain, nuclei: Mask) -> Mask:
    """Pixels that belong to some cell: at least 0.35 of the red cells' own density."""
    red = stain.density[(stain.density > stain.floor) & ~dilate(nuclei, 5)]
    typical = float(np.median(red)) if red.size > 50 else 0.0
    return stain.density > max(stain.floor, STAINED_SHARE * typical)


def colour_distance(optical: Plane, sample: Mask) -> Plane:
    """Mahalanobis distance of every pixel's optical densities to those of the sample."""
    values = optical[sample]
    centre = np.median(values, axis=0)
    spread = np.cov((values - centre).T) + 1e-4 * np.eye(3)
    offset = optical - centre
    return np.sqrt(np.einsum("...i,ij,...j", offset, np.linalg.inv(spread), offset)).astype(np.float32)
