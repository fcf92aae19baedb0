"""Each stage in its plainest form, with scikit-image and eager torch, to time the product against."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import binomtest
from skimage import color, feature, filters, measure, segmentation, transform

from inference.pipeline.findings import Image
from inference.pipeline.networks.runtime import FromPixels, several

Statistics = tuple[NDArray[np.float64], NDArray[np.float64]]


def focus(image: Image) -> float:
    """Return the variance of the Laplacian of uint8 RGB pixels (height, width, 3)."""
    return float(filters.laplace(color.rgb2gray(image)).var())


def reinhard(image: Image, target: Statistics) -> Image:
    """Move uint8 RGB pixels to the mean and standard deviation `target` in CIELAB."""
    lab = color.rgb2lab(image)
    moved = (lab - lab.mean(axis=(0, 1))) / lab.std(axis=(0, 1)) * target[1] + target[0]
    return np.asarray(color.lab2rgb(moved) * 255, np.uint8)


def segment(image: Image) -> int:
    """Count the cells of uint8 RGB pixels: Otsu's threshold, distance transform, watershed, at full size."""
    grey = color.rgb2gray(image)
    stained = ndimage.binary_fill_holes(grey < filters.threshold_otsu(grey))
    depth = ndimage.distance_transform_edt(stained)
    peaks = feature.peak_local_max(depth, min_distance=10, labels=measure.label(stained))
    markers = np.zeros(grey.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return len(measure.regionprops(segmentation.watershed(-depth, markers, mask=stained)))


def resize(crops: Sequence[Image], side: int) -> list[Image]:
    """Bring crops to a side in px with anti-aliasing."""
    return [
        np.asarray(transform.resize(crop, (side, side), anti_aliasing=True) * 255, np.uint8) for crop in crops
    ]


@torch.inference_mode()
def classify(module: FromPixels, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return logits (n, classes) of uint8 (n, side, side, 3), one crop at a time in eager torch."""
    return np.concatenate([several(module(torch.from_numpy(row[None])))[0].numpy() for row in batch])


def intervals(counts: Sequence[int]) -> list[tuple[float, float]]:
    """Return the exact 95 % interval of each count among their sum, by scipy's binomial test."""
    total = sum(counts)
    made = [binomtest(count, total).proportion_ci(0.95, "exact") for count in counts]
    return [(interval.low, interval.high) for interval in made]
