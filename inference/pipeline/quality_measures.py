"""Measures what the quality of an image is judged by, on reduced images wherever that loses nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from inference.pipeline import sharpness, tissue
from inference.pipeline.findings import Image
from inference.pipeline.tissue import Field, Plane

CLUMP_CELLS = 8
"""From this many cells in one piece on, a clump is too large to be told apart."""
NOISE_SIDE = 400
"""Side in px of the middle of a window on which noise is measured."""
NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
NOT_CLIPPED = 249
"""Above this grey level the camera cuts noise off."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured of an image.

    `focus` as in `sharpness.ratio`; `ground` grey level of the background, `noise` and `spread` standard
    deviations of noise and of all pixels, in grey levels 0–255; `clipped` share of pure white; `density`
    mean optical density of tissue (natural logarithm), `colour` its densest channel less its clearest;
    `tissue` share of the field of view; `clumped` share of tissue in pieces of CLUMP_CELLS cells and more,
    times the share of the field that is empty, for where there is no room cells must touch; `radius` of the
    cells, px.
    """

    focus: float
    ground: float
    clipped: float
    noise: float
    density: float
    colour: float
    tissue: float
    clumped: float
    spread: float
    radius: float


def measure(windows: Image | Sequence[Image]) -> Measures:
    """Measure one image or several windows of one slide, uint8 RGB (height, width, 3), at level 0."""
    images = [windows] if isinstance(windows, np.ndarray) else windows
    greys = [tissue.grey_of(image) for image in images]
    found, ground = tissue.fields(greys)
    radius, share = tissue.cell_radius(found), tissue.tissue_share(found)
    density, colour = _stain(images, found)
    return Measures(
        focus=_focus(greys, found, radius),
        ground=ground,
        clipped=float(np.mean([cv2.countNonZero(cv2.inRange(grey, 255, 255)) / grey.size for grey in greys])),
        noise=float(np.median([_noise(grey) for grey in greys])),
        density=density,
        colour=colour,
        tissue=share,
        clumped=tissue.clumped_share(found, radius, CLUMP_CELLS) * (1 - share),
        spread=float(max(cv2.meanStdDev(grey)[1].item() for grey in greys)),
        radius=radius,
    )


def _focus(greys: Sequence[Plane], found: Sequence[Field], radius: float) -> float:
    step = sharpness.step_for(radius)
    energies = [
        sharpness.energies(tissue.reduced(grey, step), field.mask, field.frame)
        for grey, field in zip(greys, found, strict=True)
    ]
    return sharpness.ratio(np.sum(energies, axis=0))


def _noise(grey: Plane) -> float:
    """Standard deviation of noise in grey levels, blind to edges and to clipped white.

    Source: Immerkær, Fast noise variance estimation, CVIU 1996, here with the median for the mean.
    """
    top, left = (max(0, (length - NOISE_SIDE) // 2) for length in grey.shape)
    middle = np.ascontiguousarray(grey[top : top + NOISE_SIDE, left : left + NOISE_SIDE])
    differences = np.asarray(cv2.convertScaleAbs(cv2.filter2D(middle, cv2.CV_16S, NOISE_KERNEL)), np.uint8)
    counts = tissue.histogram([differences], [(middle <= NOT_CLIPPED).astype(np.uint8)])
    return tissue.quantile(counts, 0.5) / 0.6745 / 6


def _stain(images: Sequence[Image], found: Sequence[Field]) -> tuple[float, float]:
    """Mean optical density of tissue (natural logarithm), and the spread of its channels."""
    sizes = [tuple(max(1, length // 2) for length in field.mask.shape[::-1]) for field in found]
    images = [_thinned(image, size) for image, size in zip(images, sizes, strict=True)]
    masks = [_thinned(field.mask, size) for field, size in zip(found, sizes, strict=True)]
    frames = [_thinned(field.frame, size) for field, size in zip(found, sizes, strict=True)]
    channels = zip(*(cv2.split(image) for image in images), strict=True)
    densities = [_density(planes, masks, frames) for planes in channels]
    return float(np.mean(densities)), max(densities) - min(densities)


def _thinned(pixels: Plane, size: Sequence[int]) -> Plane:
    """Evenly spread pixels of a plane or an image, as many as fit `size` (width, height)."""
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def _density(planes: Sequence[Plane], masks: Sequence[Plane], frames: Sequence[Plane]) -> float:
    """Mean optical density of tissue in one channel of all windows, 0 where there is no tissue."""
    ground = tissue.ground_level(planes, frames)
    counts = tissue.histogram(planes, masks)
    optical = np.log((ground + 1) / np.arange(1, 257))
    return float(counts @ optical / max(1.0, counts.sum()))
