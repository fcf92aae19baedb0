"""Changes a window as another laboratory's stain, lamp, lens and camera would."""

import cv2
import numpy as np

from inference.pipeline.findings import Image
from inference.pipeline.star import Floats

Generator = np.random.Generator


def recoloured(image: Image, rng: Generator) -> Image:
    """Change an image at random; uint8 RGB, shape kept, and nothing in it moves."""
    light = image.astype(np.float32)
    if rng.random() < 0.9:
        light = _stained_anew(light, rng)
    if rng.random() < 0.5:
        light = light * _lamp(image.shape[0], rng)
    if rng.random() < 0.15:
        light = _seen_poorly(light, rng)
    return _photographed(_focused(light, rng), rng)


def _focused(light: Floats, rng: Generator) -> Floats:
    """Now and then out of focus, or sharpened as many cameras do."""
    if rng.random() < 0.4:
        return np.asarray(cv2.GaussianBlur(light, (0, 0), float(rng.uniform(0.3, 1.6))), np.float32)
    if rng.random() < 0.2:
        fine = light - cv2.GaussianBlur(light, (0, 0), 1.5)
        return np.asarray(light + np.float32(rng.uniform(0.3, 1.2)) * fine, np.float32)
    return light


def _photographed(light: Floats, rng: Generator) -> Image:
    """Sensor noise and JPEG compression; float32 in, uint8 out."""
    if rng.random() < 0.35:
        light = light + np.float32(rng.uniform(1, 9)) * rng.standard_normal(light.shape, np.float32)
    pixels = np.clip(light, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))]
        pixels = np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR), np.uint8
        )
    return pixels


def _stained_anew(light: Floats, rng: Generator) -> Floats:
    """Other amounts of stain, other colours of it, another lamp and saturation."""
    density = -np.log((light + 1) / 256)
    base = np.percentile(density.reshape(-1, 3)[::7], 10, axis=0).astype(np.float32)
    stain = density - base
    mixed = np.eye(3) + rng.normal(0, rng.choice((0.05, 0.15)), (3, 3))
    gain = np.exp(rng.normal(0, 0.3)) * np.exp(rng.normal(0, 0.2, 3))
    stain = stain @ (mixed * gain).astype(np.float32)
    lamp = np.abs(rng.normal(0, 0.14)) + np.abs(rng.normal(0, 0.12, 3)) * (rng.random() < 0.7)
    keep = np.float32(rng.uniform(0, 1))
    changed = np.exp(-(stain + keep * base + lamp.astype(np.float32))) * 256 - 1
    grey = changed.mean(axis=2, keepdims=True)
    strength = np.float32(np.exp(rng.normal(0, 0.25)))
    return np.clip(grey + (changed - grey) * strength, 0, 255).astype(np.float32)


def _lamp(side: int, rng: Generator) -> Floats:
    """Uneven light, float32 (side, side, 3) about 1: a slope and the fall-off of a lens."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * axis[None] + np.sin(angle) * axis[:, None]
    centre = rng.uniform(-1, 1, 2)
    bowl = (axis[None] - centre[0]) ** 2 + (axis[:, None] - centre[1]) ** 2
    tint = rng.uniform(0.4, 1.0, 3).astype(np.float32)
    shade = rng.uniform(0, 0.25) * slope - rng.uniform(0, 0.12) * bowl
    return np.asarray(1 + shade[..., None] * tint, np.float32)


def _seen_poorly(light: Floats, rng: Generator) -> Floats:
    """A poor lens: red and blue a pixel apart from green, or less resolution than the size promises."""
    side = light.shape[0]
    if rng.random() < 0.5:
        small = max(8, int(side * rng.uniform(0.4, 0.75)))
        shrunk = cv2.resize(light, (small, small), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
    for channel in (0, 2):
        matrix = np.array([[1, 0, rng.uniform(-1.2, 1.2)], [0, 1, rng.uniform(-1.2, 1.2)]])
        light[..., channel] = cv2.warpAffine(
            np.ascontiguousarray(light[..., channel]), matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101
        )
    return light
