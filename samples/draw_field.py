"""Draws samples/synthetic_field.png: a procedurally drawn smear for those who have none at hand.

python samples/draw_field.py

Everything in it is synthetic: red cells with a pale centre, some touching, leukocytes with round or
lobed nuclei, platelets, a lamp that is brighter in the middle, a little blur and noise. It is for trying
the way from upload to report, and proves nothing about real cells.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

WIDTH, HEIGHT = 1280, 960
PIXEL_UM = 0.1
SEED = 20
TARGET = Path(__file__).with_name("synthetic_field.png")
BACKGROUND = np.array([252.0, 234.0, 208.0])

Plane = NDArray[np.float32]
Absorbance = tuple[float, float, float]

RED: Absorbance = (0.10, 0.17, 0.10)
PLATELET: Absorbance = (0.18, 0.34, 0.12)


@dataclass(frozen=True, slots=True)
class White:
    """How a kind of leukocyte is drawn: radius in px, cytoplasm and chromatin, and how grainy each is;
    `lobes` of the nucleus as offset x, y and half axes in px."""

    radius: float
    plasma: Absorbance
    chromatin: Absorbance
    grain: tuple[float, float]
    lobes: tuple[tuple[int, int, int, int], ...]


WHITES = {
    "neutrophil": White(
        60,
        (0.06, 0.13, 0.06),
        (0.44, 0.66, 0.14),
        (0.5, 0.5),
        ((-22, -14, 20, 15), (10, -24, 18, 14), (24, 8, 17, 14), (-2, 14, 13, 10)),
    ),
    "eosinophil": White(
        62,
        (0.10, 0.33, 0.24),
        (0.40, 0.46, 0.06),
        (0.7, 0.4),
        ((-20, -18, 25, 20), (14, 20, 25, 20)),
    ),
    "lymphocyte": White(50, (0.16, 0.16, 0.04), (0.36, 0.60, 0.13), (0.1, 0.35), ((-4, 2, 43, 40),)),
    "monocyte": White(
        84,
        (0.14, 0.17, 0.06),
        (0.30, 0.48, 0.11),
        (0.15, 0.4),
        ((-26, -16, 34, 30), (6, -34, 34, 22), (-24, 18, 30, 26)),
    ),
}


@dataclass(slots=True)
class Field:
    """The optical density drawn so far, float32 (height, width, 3), and a source of chance."""

    density: Plane
    random: np.random.Generator

    def stain(self, mask: Plane, absorbance: Absorbance) -> None:
        self.density += mask[..., None] * np.asarray(absorbance, np.float32)

    def replace(self, mask: Plane, absorbance: Absorbance) -> None:
        self.density *= 1 - mask[..., None]
        self.stain(mask, absorbance)


def blob(field: Field, centre: tuple[float, float], axes: tuple[float, float], rough: float) -> Plane:
    """A filled, slightly irregular ellipse with a soft edge: 0–1, float32 (HEIGHT, WIDTH)."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    ripple = np.ones_like(angles)
    for order in (2, 3, 5):
        ripple += (
            rough / order * field.random.normal() * np.cos(order * angles + field.random.uniform(0, 6.28))
        )
    turn = field.random.uniform(0, np.pi)
    x, y = axes[0] * ripple * np.cos(angles), axes[1] * ripple * np.sin(angles)
    points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(canvas, [np.rint(16 * (points + centre)).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return cv2.GaussianBlur(canvas, (0, 0), 1.2).astype(np.float32) / 255


def red_cell(field: Field, centre: tuple[float, float]) -> None:
    radius = field.random.normal(36, 2)
    axes = (radius * field.random.uniform(0.97, 1.08), radius * field.random.uniform(0.92, 1.0))
    body = blob(field, centre, axes, 0.02)
    pallor = cv2.GaussianBlur(blob(field, centre, (0.45 * axes[0], 0.45 * axes[1]), 0.05), (0, 0), 5)
    field.stain(body * (1 - 0.6 * pallor) * field.random.uniform(0.9, 1.1), RED)


def grain(field: Field, strength: float) -> Plane:
    """Fine texture around 1, as of granules and chromatin."""
    speckle = field.random.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32)
    return np.clip(1 + strength * 2.2 * cv2.GaussianBlur(speckle, (0, 0), 1.8), 0.3, 2.0)


def white_cell(field: Field, centre: tuple[float, float], kind: str) -> None:
    drawn, size = WHITES[kind], field.random.uniform(0.95, 1.05)
    body = blob(field, centre, (size * drawn.radius, size * drawn.radius * 0.96), 0.03)
    field.replace(body, (0.0, 0.0, 0.0))
    field.stain(body * grain(field, drawn.grain[0]), drawn.plasma)
    turn = field.random.uniform(0, 2 * np.pi)
    nucleus = np.zeros((HEIGHT, WIDTH), np.float32)
    for x, y, long, short in drawn.lobes:
        place = (
            centre[0] + size * (x * np.cos(turn) - y * np.sin(turn)),
            centre[1] + size * (x * np.sin(turn) + y * np.cos(turn)),
        )
        nucleus = np.maximum(nucleus, blob(field, place, (size * long, size * short), 0.08))
    field.stain(np.minimum(nucleus, body) * grain(field, drawn.grain[1]), drawn.chromatin)


def platelet(field: Field, centre: tuple[float, float]) -> None:
    radius = field.random.uniform(9, 14)
    field.replace(blob(field, centre, (radius, radius * 0.85), 0.15), PLATELET)


def places(
    random: np.random.Generator, wanted: int, apart: float, taken: list[tuple[float, float, float]]
) -> list:
    """Up to `wanted` random centres that keep `apart` px from each other and clear of what is taken."""
    found: list[tuple[float, float]] = []
    for _ in range(wanted * 60):
        x, y = random.uniform(10, WIDTH - 10), random.uniform(10, HEIGHT - 10)
        near = any(np.hypot(x - a, y - b) < r + apart / 2 for a, b, r in taken)
        if not near and all(np.hypot(x - a, y - b) >= apart for a, b in found):
            found.append((x, y))
        if len(found) == wanted:
            break
    return found


def draw() -> NDArray[np.uint8]:
    """Draw the field: uint8 RGB (HEIGHT, WIDTH, 3)."""
    random = np.random.default_rng(SEED)
    field = Field(np.zeros((HEIGHT, WIDTH, 3), np.float32), random)
    whites = {
        "neutrophil": [(300, 250), (980, 700), (640, 560)],
        "lymphocyte": [(960, 240), (250, 690)],
        "monocyte": [(600, 180)],
        "eosinophil": [(520, 800)],
    }
    taken = [(x, y, WHITES[kind].radius) for kind, centres in whites.items() for x, y in centres]
    reds = places(random, 75, 74, taken)
    pairs = [(x + 62 * np.cos(a), y + 62 * np.sin(a)) for x, y in reds[:8] for a in [random.uniform(0, 6.28)]]
    clear = [p for p in pairs if all(np.hypot(p[0] - a, p[1] - b) > r + 40 for a, b, r in taken)]
    for centre in [*reds, *clear]:
        red_cell(field, centre)
    for kind, centres in whites.items():
        for centre in centres:
            white_cell(field, centre, kind)
    taken += [(x, y, 36.0) for x, y in [*reds, *clear]]
    for centre in places(random, 14, 40, taken):
        platelet(field, centre)
    return photograph(field)


def photograph(field: Field) -> NDArray[np.uint8]:
    """What a camera would see: uneven lamp, lens blur, sensor noise."""
    rows, columns = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    lamp = 1 - 0.05 * (rows**2 + columns**2)
    light = BACKGROUND * lamp[..., None] * np.power(10.0, -field.density)
    seen = cv2.GaussianBlur(light, (0, 0), 0.8) + field.random.normal(0, 1.2, light.shape)
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def main() -> None:
    about = PngImagePlugin.PngInfo()
    about.add_text("Title", "Synthetic blood smear field")
    about.add_text("Description", "synthetic: procedurally drawn, shows no real cells")
    dots = 25_400 / PIXEL_UM
    Image.fromarray(draw()).save(TARGET, pnginfo=about, dpi=(dots, dots), optimize=True)


if __name__ == "__main__":
    main()
