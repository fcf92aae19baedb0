"""Macenko's and Vahadane's methods in their plainest form, on every pixel, to time the product against."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image

Floats = NDArray[np.float64]

GLASS = 240.0
"""The level of empty glass that the usual implementations take for granted."""
LEAST_DENSITY, SPARSITY, ROUNDS = 0.15, 0.1, 10


@dataclass(frozen=True, slots=True)
class PlainStains:
    """Two stains as columns (3, 2) of optical density, and their 99th percentiles (2,)."""

    vectors: Floats
    strengths: Floats


def macenko(image: Image) -> PlainStains:
    """Find the two stains of uint8 RGB pixels (height, width, 3) by Macenko et al., ISBI 2009."""
    density = _density(image)
    stained = density[(density >= LEAST_DENSITY).all(axis=1)]
    _, axes = np.linalg.eigh(np.cov(stained.T))
    plane = axes[:, 1:]
    angles = np.arctan2(*(stained @ plane).T[::-1])
    ends = np.percentile(angles, [1, 99])
    return _stains(density, plane @ np.array([np.cos(ends), np.sin(ends)]))


def vahadane(image: Image) -> PlainStains:
    """Find the two stains by Vahadane et al., IEEE TMI 2016: sparse non-negative factorisation of all stained
    pixels by hierarchical alternating least squares (Cichocki, Zdunek and Amari, ICA 2007)."""
    density = _density(image)
    stained = density[(density >= LEAST_DENSITY).all(axis=1)].T
    vectors = macenko(image).vectors.clip(0)
    codes = np.linalg.lstsq(vectors, stained, rcond=None)[0].clip(0)
    for _ in range(ROUNDS):
        for one, other in ((0, 1), (1, 0)):
            rest = stained - np.outer(vectors[:, other], codes[other])
            codes[one] = np.maximum(vectors[:, one] @ rest - SPARSITY, 0)
            better = np.maximum(rest @ codes[one], 0)
            vectors[:, one] = better / np.linalg.norm(better)
    return _stains(density, vectors)


def moved(image: Image, source: PlainStains, target: PlainStains) -> Image:
    """Give uint8 RGB pixels (height, width, 3) the stains of another image; what neither explains is lost."""
    amounts = np.linalg.lstsq(source.vectors, _density(image).T, rcond=None)[0]
    scaled = amounts * (target.strengths / source.strengths)[:, None]
    levels = GLASS * np.exp(-(target.vectors @ scaled))
    return np.asarray(np.clip(levels, 0, 255).T.reshape(image.shape), np.uint8)


def _density(image: Image) -> Floats:
    return -np.log((image.reshape(-1, 3).astype(np.float64) + 1) / GLASS)


def _stains(density: Floats, vectors: Floats) -> PlainStains:
    ordered = vectors[:, np.argsort(vectors[2])]
    amounts = np.linalg.lstsq(ordered, density.T, rcond=None)[0]
    return PlainStains(ordered, np.percentile(amounts, 99, axis=1))
