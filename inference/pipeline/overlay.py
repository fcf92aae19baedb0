"""Draw the cells that were found onto a picture of the image they were found in."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Cell, Image, Kind

ORANGE, VERMILLION, BLUISH_GREEN, SKY_GREY = (230, 159, 0), (213, 94, 0), (0, 158, 115), (110, 140, 170)
"""Okabe and Ito's colours that colour-blind readers can tell apart, and a quiet grey-blue; RGB."""

COLOURS = {Kind.WBC: ORANGE, Kind.RBC: SKY_GREY, Kind.PLATELET: BLUISH_GREEN}

DRAWN_FROM, NAMED_FROM = 6, 24
"""Pixels of the picture from which on a cell is drawn, and named; smaller ones would hide the picture."""

LINE_OF_CELL = 30
"""A line is at most such a part of the side of its cell, so that on a crowded slide cells stay visible."""


@dataclass(frozen=True, slots=True)
class _Canvas:
    """The picture that is drawn on, how many of its pixels one of level 0 is, and its thinnest line in px."""

    pixels: Image
    scale: float
    thin: int

    def place(self, points: object) -> NDArray[np.int32]:
        """Level-0 coordinates as pixels of the picture."""
        return np.rint(np.asarray(points, np.float64) * self.scale).astype(np.int32)


def overlay(image: Image, cells: Iterable[Cell], scale: float = 1.0) -> Image:
    """Return a copy of a picture with the cells drawn on it.

    Red cells get a thin outline, platelets a box, white cells a thick box with their class; white cells that
    a human should look at are drawn in vermillion with "?". Cells of fewer than DRAWN_FROM px in the picture
    are left out, but for white ones that a human should look at, which get a dot.

    Args:
        image: the whole image or a smaller picture of it, uint8 RGB (height, width, 3).
        cells: in level-0 pixels.
        scale: pixels of the picture per level-0 pixel.

    Returns:
        uint8 RGB of the same shape.
    """
    pixels = np.ascontiguousarray(image).copy()
    canvas = _Canvas(pixels, scale, max(1, round(min(image.shape[:2]) / 700)))
    for cell in sorted(cells, key=_last_on_top):
        _draw(canvas, cell)
    return pixels


def _last_on_top(cell: Cell) -> tuple[bool, bool]:
    return cell.instance.kind is Kind.WBC, bool(cell.review_reasons)


def _draw(canvas: _Canvas, cell: Cell) -> None:
    instance = cell.instance
    x0, y0, x1, y1 = canvas.place(instance.box).tolist()
    side = max(x1 - x0, y1 - y0)
    if side < DRAWN_FROM:
        _dot(canvas, cell)
        return
    colour = VERMILLION if cell.review_reasons else COLOURS[instance.kind]
    thin = max(1, min(canvas.thin, side // LINE_OF_CELL))
    if instance.kind is Kind.RBC:
        outline = canvas.place(instance.polygon).reshape(-1, 1, 2)
        cv2.polylines(canvas.pixels, [outline], True, colour, thin, cv2.LINE_AA)
        return
    thick = 2 * thin if instance.kind is Kind.WBC else thin
    cv2.rectangle(canvas.pixels, (x0, y0), (x1 - 1, y1 - 1), colour, thick)
    if cell.call is not None and side >= NAMED_FROM:
        _write(canvas.pixels, cell.call.label + (" ?" if cell.review_reasons else ""), (x0, y0), thin)


def _dot(canvas: _Canvas, cell: Cell) -> None:
    """Show where a cell lies that is too small to be drawn, if a human should look at it."""
    if cell.instance.kind is Kind.WBC and cell.review_reasons:
        middle = canvas.place(cell.instance.centroid).tolist()
        cv2.circle(canvas.pixels, middle, DRAWN_FROM // 2, VERMILLION, cv2.FILLED, cv2.LINE_AA)


def _write(canvas: Image, text: str, corner: tuple[int, int], thin: int) -> None:
    """Write dark text on a white strip above a box, or inside it where there is no room above."""
    scale = 0.4 * thin
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thin)
    x = max(0, min(corner[0], canvas.shape[1] - width))
    y = corner[1] - base if corner[1] > height + 2 * base else corner[1] + height + base
    cv2.rectangle(canvas, (x, y - height - 1), (x + width, y + base), (255, 255, 255), cv2.FILLED)
    cv2.putText(
        canvas,
        text.replace("_", " "),
        (x, y),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        (25, 25, 25),
        thin,
        cv2.LINE_AA,
    )
