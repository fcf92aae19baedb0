"""Change a field so that neither its stain, nor its light, nor its camera can give its stage away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image
from inference.training.augmentation import Float, Generator, Strength, degrade, density_of, recolour

STRENGTH = Strength(colour=1.5, exchange=0.0)
"""How far stain and light stray after the exchange of stains, and the chances of blur, noise and the rest."""

MOVED = (0.7, 1.0)
"""How much of the way a field moves to the stain it is lent."""
FOREIGN = 0.5
"""The chance that the stain is that of another laboratory."""
GREY = 0.1
ZOOM, STRETCH = 1.25, 0.06
"""Fields shrink and grow up to so many times, and are stretched by so much (natural logarithm)."""

LEAST_VARIANCE = 1e-4

Moments = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stain:
    """Mean (3,) and covariance (3, 3) of the optical densities of an image's channels."""

    mean: Moments
    covariance: Moments

    @classmethod
    def of(cls, image: Image) -> Self:
        """Measure uint8 RGB of any shape (..., 3)."""
        return cls.of_density(density_of(image.astype(np.float32)))

    @classmethod
    def of_density(cls, density: Float) -> Self:
        """Measure optical densities float32 (..., 3)."""
        pixels = density.reshape(-1, 3).astype(np.float64)
        return cls(pixels.mean(axis=0), np.cov(pixels.T) + LEAST_VARIANCE * np.eye(3))


@dataclass(frozen=True, slots=True)
class Lent:
    """The stains to move fields to: those of the set itself, of whatever stage, and of other laboratories."""

    own: Sequence[Stain]
    others: Sequence[Stain]

    def draw(self, rng: Generator) -> Stain:
        """Return one of them."""
        among = self.others if rng.random() < FOREIGN else self.own
        return among[int(rng.integers(len(among)))]


def augment(field: Image, side: int, rng: Generator, lent: Lent) -> Image:
    """Return a random variant of a square field, uint8 RGB, `side` px wide.

    Every field is moved to a stain that is drawn whatever its stage, in mean and covariance, so that the
    colours of what is left do not tell the stage; see benchmarks/staging_shortcuts.py.
    """
    density = density_of(_placed(field, side, rng).astype(np.float32))
    stained = _moved(density, Stain.of_density(density[::2, ::2]), lent.draw(rng), rng.uniform(*MOVED))
    light = 256 * np.exp(-stained) - 1
    strayed = recolour(np.clip(light, 0, 255).astype(np.float32), (), rng, STRENGTH)
    if rng.random() < GREY:
        strayed = np.repeat(strayed.mean(axis=2, keepdims=True), 3, axis=2)
    return degrade(strayed, rng, STRENGTH)


def _placed(field: Image, side: int, rng: Generator) -> Image:
    """Turn by quarters, mirror, shift, zoom and stretch."""
    whole = np.rot90(field, int(rng.integers(4)))
    whole = whole[:, ::-1] if rng.random() < 0.5 else whole
    zoom = side / len(field) * np.exp(rng.uniform(-np.log(ZOOM), np.log(ZOOM)))
    longer = np.exp(rng.normal(0, STRETCH))
    scales = np.array([zoom * longer, zoom / longer])
    middle = (side - scales * len(field)) / 2 + rng.uniform(-0.06, 0.06, 2) * side
    matrix = np.column_stack([np.diag(scales), middle])
    placed = cv2.warpAffine(
        np.ascontiguousarray(whole),
        matrix,
        (side, side),
        flags=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(placed, np.uint8)


def _moved(density: Float, source: Stain, target: Stain, share: float) -> Float:
    """Move densities to the mean and covariance of a stain by the linear map that moves colours least.

    Source: Pitié and Kokaram 2007, "The linear Monge–Kantorovitch linear colour mapping".
    """
    root = _root(source.covariance)
    back = np.linalg.inv(root)
    whole = back @ _root(root @ target.covariance @ root) @ back
    matrix = (1 - share) * np.eye(3) + share * whole
    offset = source.mean + share * (target.mean - source.mean) - matrix @ source.mean
    return np.asarray(density @ matrix.T.astype(np.float32) + offset.astype(np.float32), np.float32)


def _root(covariance: Moments) -> Moments:
    """Return the symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(values.clip(min=1e-9))) @ vectors.T)
