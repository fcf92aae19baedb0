"""Draw the cells that were found onto the image they were found in."""

from collections.abc import Iterable

import cv2
import numpy as np

from inference.pipeline.findings import Cell, Image, Kind

ORANGE, VERMILLION, BLUISH_GREEN, SKY_GREY = (230, 159, 0), (213, 94, 0), (0, 158, 115), (110, 140, 170)
"""Okabe and Ito's colours that colour-blind readers can tell apart, and a quiet grey-blue; RGB."""

COLOURS = {Kind.WBC: ORANGE, Kind.RBC: SKY_GREY, Kind.PLATELET: BLUISH_GREEN}


def overlay(image: Image, cells: Iterable[Cell]) -> Image:
    """Return a copy of an image with the cells drawn on it.

    Takes and gives uint8 RGB (height, width, 3). Red cells get a thin outline, platelets a box, white cells a
    thick box with their class; white cells that a human should look at are drawn in vermillion with "?".
    """
    canvas = np.ascontiguousarray(image).copy()
    thin = max(1, round(min(image.shape[:2]) / 700))
    for cell in sorted(cells, key=lambda cell: cell.instance.kind is Kind.WBC):
        _draw(canvas, cell, thin)
    return canvas


def _draw(canvas: Image, cell: Cell, thin: int) -> None:
    instance = cell.instance
    colour = VERMILLION if cell.review_reasons else COLOURS[instance.kind]
    if instance.kind is Kind.RBC:
        outline = np.array(instance.polygon, np.int32).reshape(-1, 1, 2)
        cv2.polylines(canvas, [outline], True, colour, thin, cv2.LINE_AA)
        return
    thick = 2 * thin if instance.kind is Kind.WBC else thin
    x0, y0, x1, y1 = instance.box
    cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), colour, thick)
    if cell.call is not None:
        _write(canvas, cell.call.label + (" ?" if cell.review_reasons else ""), instance.box[:2], thin)


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
