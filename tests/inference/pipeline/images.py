"""Images with known answers, drawn for the tests of the stages."""

from collections.abc import Sequence

import cv2
import numpy as np

GROUND = (238, 230, 234)
RED_CELL = (206, 138, 150)
NUCLEUS = (84, 52, 138)


def field(width: int = 640, height: int = 480, seed: int = 1) -> np.ndarray:
    """A pale ground, pink discs of 30 px, and one purple disc of 40 px in the middle."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), GROUND, np.uint8)
    yy, xx = np.mgrid[:height, :width]
    for y in range(60, height - 40, 90):
        for x in range(60, width - 40, 90):
            image[(xx - x) ** 2 + (yy - y) ** 2 < 30**2] = RED_CELL
    image[(xx - width // 2) ** 2 + (yy - height // 2) ** 2 < 40**2] = NUCLEUS
    noisy = image.astype(np.int16) + rng.integers(-3, 4, image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def discs(width: int, height: int, places: Sequence[tuple[int, int]], radius: int = 30) -> np.ndarray:
    """Pink discs with their middles at some places (x, y) on a pale ground."""
    image = np.full((height, width, 3), GROUND, np.uint8)
    for place in places:
        cv2.circle(image, place, radius, RED_CELL, cv2.FILLED)
    return image


def flat(value: int, width: int = 256, height: int = 256) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)
