"""Change a cell's crop the way another laboratory's stain, light, camera and framing would."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image

Generator = np.random.Generator
Float = NDArray[np.float32]

HED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
"""Rows: optical density in red, green, blue of the nuclear dye, the cytoplasmic dye and the rest
(Ruifrok and Johnston 2001, as in scikit-image)."""
UNMIX = np.linalg.inv(HED).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Strength:
    """How far a crop may stray: `colour` scales every stain and light change, the rest are chances."""

    colour: float = 1.0
    background: float = 0.5
    blur: float = 0.35
    resolution: float = 0.25
    noise: float = 0.3
    jpeg: float = 0.3


GENTLE = Strength(colour=0.7, background=0.35, blur=0.2, resolution=0.15, noise=0.15, jpeg=0.15)
"""For the end of a training, so that the network settles on cells as they mostly look."""


def augment(crop: Image, side: int, rng: Generator, strength: Strength | None = None) -> Image:
    """Return a random variant of a crop.

    Takes and gives square uint8 RGB, the result `side` px wide.
    """
    chosen = strength or Strength()
    turned, zoom = _turn(crop, rng)
    image = cv2.resize(turned, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    image = _recolour(image, rng, chosen.colour)
    if rng.random() < chosen.background:
        image = _replace_background(image, zoom, rng)
    return _degrade(image, rng, chosen)


def _turn(crop: Image, rng: Generator) -> tuple[Image, float]:
    """Rotate, mirror, shift and zoom by 0.75–1.3; return the crop and the zoom."""
    side = crop.shape[0]
    zoom = float(np.exp(rng.uniform(np.log(0.75), np.log(1.3))))
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(0, 360), zoom)
    matrix[:, 2] += rng.uniform(-0.06, 0.06, 2) * side
    if rng.random() < 0.5:
        matrix[0] = -matrix[0]
        matrix[0, 2] += side - 1
    turned = cv2.warpAffine(
        crop, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(turned, np.uint8), zoom


def _recolour(image: Float, rng: Generator, amount: float) -> Float:
    """Change stain, exposure, white balance, saturation and evenness of light; float32 RGB in 0–255."""
    density = -np.log((image + 1.0) / 256.0)
    dyes = density.reshape(-1, 3) @ UNMIX
    dyes = dyes * np.exp(rng.normal(0, 0.2 * amount, 3)).astype(np.float32)
    dyes += rng.normal(0, 0.03 * amount, 3).astype(np.float32)
    density = (dyes @ HED).reshape(image.shape)
    density *= np.exp(rng.normal(0, 0.15 * amount, 3)).astype(np.float32)
    light = np.exp(-density) * _light(image.shape[0], rng, amount)
    grey = light.mean(axis=2, keepdims=True)
    light = grey + (light - grey) * np.float32(np.exp(rng.normal(0, 0.2 * amount)))
    return np.clip(light, 0, 1, dtype=np.float32) * np.float32(255)


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


def _replace_background(image: Float, zoom: float, rng: Generator) -> Float:
    """Dim what lies outside a soft circle round the cell, or paint over it, so that it cannot be learnt."""
    side = image.shape[0]
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    radius = np.float32(zoom * rng.uniform(0.92, 1.15))
    distance = np.sqrt(axis[None] ** 2 + axis[:, None] ** 2)
    outside = np.clip((distance - radius) / 0.12, 0, 1)[..., None]
    if rng.random() < 0.4:
        fill = image * np.float32(rng.uniform(0.2, 0.9))
    else:
        fill = np.broadcast_to(rng.uniform(90, 255, 3).astype(np.float32), image.shape)
    return np.asarray(image + (fill - image) * outside, np.float32)


def _degrade(image: Float, rng: Generator, strength: Strength) -> Image:
    """Blur, lose resolution, add sensor noise and compress; float32 in, uint8 out."""
    side = image.shape[0]
    if rng.random() < strength.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0)), np.float32)
    if rng.random() < strength.resolution:
        small = int(side * rng.uniform(0.4, 0.8))
        shrunk = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
    if rng.random() < strength.noise:
        image = image + rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1, 10))
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < strength.jpeg:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))])
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return pixels
