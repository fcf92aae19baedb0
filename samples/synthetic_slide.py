"""Composes a synthetic whole slide out of real smear fields: a tiled pyramidal BigTIFF of any size.

python samples/synthetic_slide.py ../shared/data slide.tif --side 40000

The cells are real, their arrangement is not: fields of the training split (`fields_txl`) are brought to one
scale and one background, cells cut by a field's border are painted over, and the fields are laid side by
side, turned and mirrored at random, with patches of empty glass and patches out of focus between them. It is
for trying what a large slide asks of memory, time and pages, and proves nothing about counts.
"""

import argparse
import csv
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyvips
import tifffile
from numpy.typing import NDArray
from PIL import Image

PIXEL_UM = 0.1
# Median over each source's fields, from the size of their red cells.
SOURCE_UM = {"bccd": 0.081, "raabin": 0.060, "pbc": 0.101}
SIDE, MARGIN = 384, 32
PITCH = SIDE - MARGIN
GROUND = np.array([236, 228, 232], np.float32)
NOISE, BLUR_SIGMA = 1.5, 6.0
# A cell reaches so much further than the ellipse in its box.
REACH = 1.35
EMPTY_SHARE, BLURRED_SHARE = 0.25, 0.06
ABOUT = "synthetic: composed of real smear fields (TXL-PBC), not a scan of one slide"

Square = NDArray[np.uint8]
Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a slide is laid out of, all uint8 (SIDE, SIDE, 3): `fields` in and `blurred` out of focus, and
    `empty` glass."""

    fields: list[Square]
    blurred: list[Square]
    empty: Square


def prepared(data: Path, source: str, random: np.random.Generator) -> Parts:
    """Cut one square out of every training field of a source that is large enough."""
    folder = data / "fields_txl"
    with (folder / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["source"], row["split"]) == (source, "train")]
    fields = [square(folder, row, random) for row in rows]
    blurred = [cv2.GaussianBlur(field, (0, 0), BLUR_SIGMA) for field in fields]
    noisy = GROUND + random.normal(0, NOISE, (SIDE, SIDE, 3))
    return Parts(fields, blurred, np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def square(folder: Path, row: dict[str, str], random: np.random.Generator) -> Square:
    """A square of a field at PIXEL_UM on GROUND, without the cells that its border would cut; uint8."""
    image = np.asarray(Image.open(folder / row["file"]).convert("RGB"))
    shares = np.loadtxt(folder / row["label_file"], ndmin=2)[:, 1:]
    scale = max(SOURCE_UM[row["source"]] / PIXEL_UM, SIDE / min(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (int(random.integers(0, side - SIDE + 1)) for side in size)
    corners = np.hstack([shares[:, :2] - shares[:, 2:] / 2, shares[:, :2] + shares[:, 2:] / 2]) * (size * 2)
    boxes = np.rint(corners - (left, top, left, top)).astype(int)
    cropped = image[top : top + SIDE, left : left + SIDE].astype(np.float32)
    level = cropped * (GROUND / background(cropped, boxes))
    weight = (fading() * (1 - cut_cells(boxes)))[..., None]
    return np.clip(np.rint(level * weight + GROUND * (1 - weight)), 0, 255).astype(np.uint8)


def background(image: Plane, boxes: NDArray[np.int_]) -> Plane:
    """The light behind the cells as a smooth surface, from what lies outside of the boxes and is bright."""
    usable = (image[..., 1] > np.percentile(image[..., 1], 40)).astype(np.float32)
    for x0, y0, x1, y1 in boxes.clip(0, SIDE):
        usable[y0:y1, x0:x1] = 0
    if usable.mean() < 0.02:
        usable = (image[..., 1] >= np.percentile(image[..., 1], 90)).astype(np.float32)
    # So smooth a surface loses nothing at an eighth of the size.
    small = (SIDE // 8, SIDE // 8)
    weight = cv2.resize(usable, small, interpolation=cv2.INTER_AREA)
    light = cv2.resize(image * usable[..., None], small, interpolation=cv2.INTER_AREA)
    weight, light = (cv2.GaussianBlur(plane, (0, 0), SIDE / 32) for plane in (weight, light))
    return cv2.resize(light / (weight[..., None] + 1e-6) + 1e-3, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def fading() -> Plane:
    """0 at the border of a square to 1 at MARGIN px from it, float32 (SIDE, SIDE)."""
    steps = np.minimum(np.arange(SIDE), np.arange(SIDE)[::-1]) / MARGIN
    edge = np.clip(steps, 0, 1).astype(np.float32)
    return np.minimum(edge[:, None], edge[None, :])


def cut_cells(boxes: NDArray[np.int_]) -> Plane:
    """1 where cells lie that the border or its fading would cut, float32 (SIDE, SIDE), soft at its edges.

    Where cells touch, a pixel belongs to the one of whose ellipse it is the nearest to the centre.
    """
    corners = boxes.astype(np.float32)
    centres, radii = (corners[:, :2] + corners[:, 2:]) / 2, (corners[:, 2:] - corners[:, :2]) / 2 + 1
    inside = ((centres + radii > 0) & (centres - radii < SIDE)).all(axis=1)
    cut = inside & ((centres - radii < MARGIN) | (centres + radii > SIDE - MARGIN)).any(axis=1)
    if not cut.any():
        return np.zeros((SIDE, SIDE), np.float32)
    along = np.arange(SIDE, dtype=np.float32)[:, None]
    x, y = (((along - centres[:, axis]) / radii[:, axis]) ** 2 for axis in (0, 1))
    distance = y[:, None] + x[None, :]
    gone = cut[distance.argmin(axis=-1)] & (distance.min(axis=-1) < REACH**2)
    return cv2.GaussianBlur(gone.astype(np.float32), (0, 0), 2)


def patches(count: int, share: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """A map of count × count places of which about `share` are set, in connected patches."""
    coarse = random.normal(size=(max(2, count // 8), max(2, count // 8))).astype(np.float32)
    smooth = cv2.resize(coarse, (count, count), interpolation=cv2.INTER_CUBIC)
    return smooth <= np.quantile(smooth, share)


def tiles(parts: Parts, side: int, random: np.random.Generator) -> Iterator[Square]:
    """The slide as squares of PITCH px, row by row, uint8; the last of each row and column reach over it."""
    count = -(-side // PITCH)
    empty, blurred = (patches(count, share, random) for share in (EMPTY_SHARE, BLURRED_SHARE))
    carried = np.full((MARGIN, count * PITCH + MARGIN, 3), 255, np.uint8)
    for row in range(count):
        band = np.concatenate([carried, np.full((PITCH, carried.shape[1], 3), 255, np.uint8)])
        for column in range(count):
            choice = parts.blurred if blurred[row, column] else parts.fields
            picked = parts.empty if empty[row, column] else choice[random.integers(len(choice))]
            turned = np.rot90(picked, random.integers(4))[:, :: random.choice((-1, 1))]
            place = band[:, column * PITCH : column * PITCH + SIDE]
            np.minimum(place, turned, out=place)
        carried = band[PITCH:]
        yield from (band[:PITCH, column * PITCH : (column + 1) * PITCH] for column in range(count))


def save(plain: Path, target: Path, tile: int) -> None:
    """Write a plain TIFF as a pyramid of JPEG tiles, a few rows of them in memory at a time."""
    image = pyvips.Image.new_from_file(str(plain)).copy(xres=1000 / PIXEL_UM, yres=1000 / PIXEL_UM)
    image.set_type(pyvips.GValue.gstr_type, "image-description", ABOUT)
    image.tiffsave(
        str(target),
        tile=True,
        tile_width=tile,
        tile_height=tile,
        pyramid=True,
        bigtiff=True,
        compression="jpeg",
        Q=88,
        resunit="cm",
    )


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    reader.add_argument("data", type=Path, help="the folder that holds fields_txl")
    reader.add_argument("target", type=Path, help="the TIFF to write")
    reader.add_argument("--side", type=int, default=40_000, help="px of a side (40000)")
    reader.add_argument("--tile", type=int, default=256, help="px of a tile's side (256)")
    reader.add_argument("--source", choices=SOURCE_UM, default="bccd", help="whose fields (bccd)")
    reader.add_argument("--seed", type=int, default=40)
    chosen = reader.parse_args()
    random = np.random.default_rng(chosen.seed)
    parts = prepared(chosen.data, chosen.source, random)
    with tempfile.TemporaryDirectory(dir=chosen.target.parent) as folder:
        plain, shape = Path(folder, "plain.tif"), (chosen.side, chosen.side, 3)
        laid = tiles(parts, chosen.side, random)
        tifffile.imwrite(plain, laid, shape=shape, dtype=np.uint8, tile=(PITCH, PITCH), bigtiff=True)
        save(plain, chosen.target, chosen.tile)


if __name__ == "__main__":
    main()
