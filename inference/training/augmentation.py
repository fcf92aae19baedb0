"""Change a cell's crop the way another laboratory's stain, light, camera and framing would."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image

Generator = np.random.Generator
Float = NDArray[np.float32]
Mask = NDArray[np.uint8]

HED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
"""Rows: optical density in red, green, blue of the nuclear dye, the cytoplasmic dye and the rest
(Ruifrok and Johnston 2001, as in scikit-image)."""
UNMIX = np.linalg.inv(HED).astype(np.float32)

STAIN_PIXELS = 3
"""Every so-manieth pixel in both directions is enough to measure a crop's colours."""


@dataclass(frozen=True, slots=True)
class Strength:
    """How far a crop may stray: `colour` scales every stain and light change, `stretch` is the spread
    (natural logarithm) by which one direction gets longer and the other shorter, the rest are chances."""

    colour: float = 1.0
    exchange: float = 0.5
    background: float = 0.6
    blur: float = 0.4
    sharpen: float = 0.07
    resolution: float = 0.3
    noise: float = 0.3
    jpeg: float = 0.3
    stretch: float = 0.06

    def times(self, colour: float, degrading: float) -> "Strength":
        """Return a strength with the colours so many times as far, and all chances but those of the exchange
        of stains and of the background so many times as large."""
        return replace(
            self,
            colour=colour * self.colour,
            blur=degrading * self.blur,
            sharpen=degrading * self.sharpen,
            resolution=degrading * self.resolution,
            noise=degrading * self.noise,
            jpeg=degrading * self.jpeg,
        )


@dataclass(frozen=True, slots=True)
class Stain:
    """Mean and standard deviation of the optical density of a crop's channels, float32 (3,) each."""

    mean: Float
    spread: Float

    @classmethod
    def of(cls, crop: Image) -> "Stain":
        """Measure a crop, uint8 RGB."""
        density = density_of(crop[::STAIN_PIXELS, ::STAIN_PIXELS].astype(np.float32))
        return cls(density.mean(axis=(0, 1)), density.std(axis=(0, 1)) + np.float32(1e-3))


@dataclass(frozen=True, slots=True)
class Strangers:
    """What other cells lend to a crop: the colours of their stain and what they have around them."""

    stains: Sequence[Stain]
    around: Callable[[Generator], Image]


def augment(
    cell: tuple[Image, Mask], side: int, rng: Generator, lent: Strangers, strength: Strength
) -> tuple[Image, Mask]:
    """Return a random variant of a crop and of the mask of its cell.

    Takes square uint8 RGB and uint8 of the same side, 255 on the cell; gives both `side` px wide.
    """
    crop, mask = _turn(cell, side, rng, strength.stretch)
    image = crop.astype(np.float32)
    surroundings = rng.random() < strength.background
    first = rng.random() < 0.5
    if surroundings and first:
        image = _replace_background(image, mask, lent, rng)
    image = recolour(image, lent.stains, rng, strength)
    if surroundings and not first:
        image = _replace_background(image, mask, lent, rng)
    return degrade(image, rng, strength), mask


def _turn(cell: tuple[Image, Mask], side: int, rng: Generator, stretch: float) -> tuple[Image, Mask]:
    """Rotate, mirror, shift, stretch a little, and zoom by 0.75–1.3."""
    zoom = float(np.exp(rng.uniform(np.log(0.75), np.log(1.3))))
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(0, 360), zoom)
    longer = float(np.exp(rng.normal(0, stretch)))
    middle = side / 2 * np.array([1 - longer, 1 - 1 / longer])
    matrix = turn @ np.array([[longer, 0, middle[0]], [0, 1 / longer, middle[1]], [0, 0, 1]])
    matrix[:, 2] += rng.uniform(-0.06, 0.06, 2) * side
    if rng.random() < 0.5:
        matrix[0] = -matrix[0]
        matrix[0, 2] += side - 1
    crop, mask = (cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA) for part in cell)
    turned = cv2.warpAffine(crop, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(turned, np.uint8), np.asarray(cv2.warpAffine(mask, matrix, (side, side)), np.uint8)


def density_of(image: Float) -> Float:
    return np.asarray(-np.log((image + np.float32(1)) / np.float32(256)), np.float32)


def recolour(image: Float, stains: Sequence[Stain], rng: Generator, strength: Strength) -> Float:
    """Change stain, exposure, white balance, saturation, contrast and evenness of light; float32 RGB in
    0–255."""
    amount, density = strength.colour, density_of(image)
    if stains and rng.random() < strength.exchange:
        density, amount = _exchange(density, stains[int(rng.integers(len(stains)))], rng), 0.6 * amount
    dyes = density.reshape(-1, 3) @ UNMIX
    dyes = dyes * np.exp(rng.normal(0, 0.2 * amount, 3)).astype(np.float32)
    dyes += rng.normal(0, 0.03 * amount, 3).astype(np.float32)
    stronger = np.exp(rng.normal(0, 0.15 * amount, 3)).astype(np.float32)
    stained = (dyes @ HED).reshape(image.shape) * stronger
    light = np.exp(-stained) * _light(image.shape[0], rng, amount)
    grey = light.mean(axis=2, keepdims=True)
    strayed = grey + (light - grey) * np.float32(np.exp(rng.normal(0, 0.25 * amount)))
    contrast = np.exp(rng.normal(0, 0.2 * amount)) if rng.random() < 0.5 else 1.0
    return np.asarray(np.clip(strayed, 0, 1) ** np.float32(contrast) * 255, np.float32)


def _exchange(density: Float, other: Stain, rng: Generator) -> Float:
    """Move a crop's densities some of the way to those of another laboratory's cell."""
    mean, spread = density.mean(axis=(0, 1)), density.std(axis=(0, 1)) + np.float32(1e-3)
    share = np.float32(rng.uniform(0.2, 1.0))
    wider = np.clip(other.spread / spread, 1 / 3, 3) ** share
    moved = (density - mean) * wider + mean + (other.mean - mean) * share
    return np.clip(moved, -0.2, 5.5, dtype=np.float32)


def _light(side: int, rng: Generator, amount: float) -> Float:
    """Return the factor (side, side, 3) by which lamp and camera change the light."""
    cast = np.exp(rng.normal(0, 0.12 * amount, 3) + rng.normal(-0.03, 0.12 * amount)).astype(np.float32)
    if rng.random() < 0.5:
        return np.broadcast_to(cast, (side, side, 3))
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.3) * amount
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    ramp = 1 + np.float32(slope) * (
        np.float32(np.cos(angle)) * axis[None] + np.float32(np.sin(angle)) * axis[:, None]
    )
    tint = rng.uniform(0.5, 1.0, 3).astype(np.float32)
    return np.asarray(cast * (1 + (ramp[..., None] - 1) * tint), np.float32)


def _replace_background(image: Float, mask: Mask, lent: Strangers, rng: Generator) -> Float:
    """Put something else where the cell is not, behind a soft rim, so that it cannot be learnt."""
    wider = int(rng.integers(0, 4))
    cell = cv2.dilate(mask, np.ones((2 * wider + 1, 2 * wider + 1), np.uint8))
    share = cv2.GaussianBlur(cell.astype(np.float32) / 255, (0, 0), rng.uniform(0.6, 2.0))[..., None]
    other = _surroundings(image, mask, lent, rng)
    return np.asarray(other + (image - other) * share, np.float32)


def _surroundings(image: Float, mask: Mask, lent: Strangers, rng: Generator) -> Float:
    """Return one colour, the own surroundings blurred, darker or evened out, or those of another cell."""
    choice = rng.random()
    if choice < 0.35:
        return np.broadcast_to(rng.uniform(90, 255, 3).astype(np.float32), image.shape)
    if choice < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(2, 8)), np.float32)
    if choice < 0.65:
        return image * np.float32(rng.uniform(0.3, 0.9))
    outside = image[mask < 64]
    if choice < 0.8 and len(outside):
        return np.broadcast_to(outside.mean(axis=0), image.shape)
    other = cv2.resize(lent.around(rng), image.shape[:2], interpolation=cv2.INTER_AREA)
    return np.asarray(other, np.float32)


def degrade(image: Float, rng: Generator, strength: Strength) -> Image:
    """Blur or sharpen, lose resolution, add sensor noise and compress; float32 in, uint8 out."""
    side = image.shape[0]
    if rng.random() < strength.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0) * side / 128), np.float32)
    elif rng.random() < strength.sharpen:
        soft = cv2.GaussianBlur(image, (0, 0), 1.2)
        image = np.asarray(image + (image - soft) * rng.uniform(0.3, 1.5), np.float32)
    if rng.random() < strength.resolution:
        image = _coarser(image, rng)
    if rng.random() < strength.noise:
        image = image + rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1, 10))
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < strength.jpeg:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))])
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return pixels


def _coarser(image: Float, rng: Generator) -> Float:
    side = image.shape[0]
    small = max(2, int(side * rng.uniform(0.3, 0.8)))
    back = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    shrunk = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (side, side), interpolation=back), np.float32)
