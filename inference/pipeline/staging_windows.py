"""The fields into which a smear is cut to be staged: windows of the size of the training fields."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np

from inference.pipeline.findings import Box, Cell
from inference.pipeline.networks.registry import Card

LEAST_SHARE = 0.8
"""A smear may be this much smaller than a window, which is then smaller itself: the network has learnt from
fields shrunk and grown by up to 1.25 times."""

MOST_FIELDS = 400
"""Of a large slide the fields with the most nucleated cells are staged, so many at most."""

NO_NUCLEUS = ("platelet", "artifact")

Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Geometry:
    """How large a training field is: `width_um` by `height_um`, and in an image of the training set, which is
    `image_px` square, the top-left `window_px`; what lies beyond never reaches the network."""

    width_um: float
    height_um: float
    window_px: int
    image_px: int

    @classmethod
    def of(cls, card: Card) -> Self:
        """Read it off a card; raises KeyError, TypeError or ValueError where it is not complete."""
        given = card.text["input"]["field"]
        return cls(
            float(given["width_um"]),
            float(given["height_um"]),
            int(given["window_px"]),
            int(given["image_px"]),
        )

    def window(self, size: Point, pixel_um: float | None) -> Point | None:
        """Return width and height in px of a window in a smear of a `size`, width and height in px.

        None where the smear is smaller than a field, or where nobody knows how large its pixels are.
        """
        if size == (self.image_px, self.image_px):
            return self.window_px, self.window_px
        if not pixel_um:
            return None
        whole = self.width_um / pixel_um, self.height_um / pixel_um
        share = min(1.0, size[0] / whole[0], size[1] / whole[1])
        return (round(whole[0] * share), round(whole[1] * share)) if share >= LEAST_SHARE else None


@dataclass(frozen=True, slots=True)
class Window:
    """A field in level-0 px, its nucleated cells and how many of its leukocytes were called, and called
    blasts."""

    box: Box
    nucleated: int
    leukocytes: int
    blasts: int

    @property
    def blast_share(self) -> float | None:
        """The share of the blasts among the leukocytes, None where there is none."""
        return self.blasts / self.leukocytes if self.leukocytes else None


def windows(size: Point, window: Point, whites: Sequence[Cell]) -> list[Window]:
    """Cut a smear into fields and count the nucleated cells in each by their centroids.

    Args:
        size: width and height of the smear in px.
        window: width and height of a field in px, at most those of the smear.
        whites: the cells of the white-cell stream with their calls.

    Returns:
        The fields that hold a nucleated cell, row by row from the top left, side by side without overlap;
        what is left over at the right and at the bottom is no field. Where no field holds one, the first.
    """
    columns, rows = size[0] // window[0], size[1] // window[1]
    nucleated, leukocytes, blasts = Counter[Point](), Counter[Point](), Counter[Point]()
    for cell in whites:
        place = int(cell.instance.centroid[1]) // window[1], int(cell.instance.centroid[0]) // window[0]
        label = cell.call.label if cell.call else ""
        if label in NO_NUCLEUS or place[0] >= rows or place[1] >= columns:
            continue
        nucleated[place] += 1
        leukocytes[place] += bool(label) and label != "erythroblast"
        blasts[place] += label == "blast"
    most = [place for place, _ in nucleated.most_common(MOST_FIELDS)] or [(0, 0)]
    return [
        Window(_box(place, window), nucleated[place], leukocytes[place], blasts[place])
        for place in sorted(most)
    ]


def boxes(size: Point, window: Point) -> list[Box]:
    """Return all fields of a small smear, `size` and `window` as in `windows`, row by row."""
    places = product(range(size[1] // window[1]), range(size[0] // window[0]))
    return [_box(place, window) for place in places]


def _box(place: Point, window: Point) -> Box:
    row, column = place
    left, top = column * window[0], row * window[1]
    return left, top, left + window[0], top + window[1]


def pooled_blast_share(of: Sequence[Window]) -> float | None:
    """Return the share of the blasts among the leukocytes of several fields, None where there is none."""
    leukocytes = int(np.sum([one.leukocytes for one in of]))
    return float(np.sum([one.blasts for one in of]) / leukocytes) if leukocytes else None
