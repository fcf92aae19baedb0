"""Labelled fields as training sees them: an image, its cells with outlines, and what nobody labelled."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.pipeline import star
from inference.pipeline.findings import Box, Image, Kind
from inference.pipeline.optical import stain_of
from inference.pipeline.shapes import Mask, dilate, opened, resized
from inference.pipeline.star import Floats
from inference.training.evaluate_segmentation import box_overlaps, read_boxes, read_rgb
from inference.training.labels import INDEX, Row, rows_of
from inference.training.segmentation_outlines import BOX_SHARE, RED_CELL_PX, Region, outlined, window

RAYS = 64
"""Twice as many as the network gives, so that a turned outline keeps its corners."""

NAMES = (Kind.WBC, Kind.RBC, Kind.PLATELET)
"""The numbers of classes.txt in fields_txl."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of a field: `kinds` int64 (n,), 0 red cell, 1 white cell, 2 platelet; `centres` float32 (n, 2) as
    x, y and `radii` float32 (n, RAYS), both in px of the field."""

    kinds: NDArray[np.int64]
    centres: Floats
    radii: Floats

    def __len__(self) -> int:
        return len(self.kinds)

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Cells":
        """Return the cells that a flag or an index chooses."""
        return Cells(self.kinds[chosen], self.centres[chosen], self.radii[chosen])

    def joined(self, other: "Cells") -> "Cells":
        """Return these cells followed by others."""
        return Cells(
            np.concatenate([self.kinds, other.kinds]),
            np.concatenate([self.centres, other.centres]),
            np.concatenate([self.radii, other.radii]),
        )


@dataclass(frozen=True, slots=True)
class Field:
    """A labelled field at STORED_UM: `image` uint8 RGB (height, width, 3); `unknown` bool (height, width),
    what looks like a cell and is labelled as none; `ground` float32 (3,), the colour without cells."""

    image: Image
    cells: Cells
    unknown: Mask
    ground: Floats
    source: str


def cells_of(found: Sequence[Region]) -> Cells:
    """Measure regions."""
    measured = [star.measure(region.mask, RAYS) for region in found]
    centres = [centre + region.corner for (centre, _), region in zip(measured, found, strict=True)]
    return Cells(
        np.array([region.kind for region in found], np.int64),
        np.array(centres, np.float32).reshape(-1, 2),
        np.array([radii for _, radii in measured], np.float32).reshape(-1, RAYS),
    )


def _smooth(cells: Cells, shape: tuple[int, ...]) -> Cells:
    """Take spikes and notches off outlines by a running median of five rays, but not the sharp ends of the
    cells that the border cuts."""
    around = [np.roll(cells.radii, shift, axis=1) for shift in (-2, -1, 0, 1, 2)]
    corners = star.outlines(cells.centres, cells.radii)
    inside = (corners.min(axis=1) > 1) & (corners.max(axis=1) < np.array(shape[1::-1]) - 1)
    radii = np.where(inside.all(axis=1)[:, None], np.median(around, axis=0), cells.radii)
    return Cells(cells.kinds, cells.centres, radii.astype(np.float32))


def boxed_field(image: Image, boxes: dict[Kind, list[Box]], red_px: float, source: str) -> Field | None:
    """Turn the boxes of a field into outlines.

    Args:
        image: uint8 RGB, shape (height, width, 3).
        boxes: per kind, in pixels of `image`.
        red_px: width of the field's red-cell boxes in pixels of `image`.
        source: where the field comes from.

    Returns:
        The field at STORED_UM, or None where nothing in it is stained.
    """
    factor = RED_CELL_PX / (BOX_SHARE * red_px)
    placed = {kind: np.asarray(found, np.float32).reshape(-1, 4) * factor for kind, found in boxes.items()}
    placed[Kind.RBC] = _once(placed[Kind.RBC], placed[Kind.WBC])
    return outlined_field(resized(image, factor), placed, source)


def outlined_field(image: Image, boxes: dict[Kind, Floats], source: str) -> Field | None:
    """Turn boxes float32 (n, 4) of every kind, in px of an image at STORED_UM, into outlines; None where
    nothing in the image is stained."""
    stain = stain_of(image)
    if stain is None:
        return None
    made = outlined(stain, boxes)
    labelled = np.zeros(made.area.shape, np.bool_)
    for boxed in boxes.values():
        for box in boxed:
            labelled[window(box, labelled.shape, 3)] = True
    free = ~dilate(made.pale, 3)
    ground = np.median(image[free if free.any() else ~made.area], axis=0).astype(np.float32)
    cells = _smooth(cells_of(made.regions), image.shape)
    return Field(image, cells, opened(made.area & ~labelled, 3), ground, source)


def _once(red: Floats, white: Floats) -> Floats:
    """The red cells' boxes without those that label a white cell a second time."""
    doubled = box_overlaps([tuple(b) for b in red.tolist()], [tuple(b) for b in white.tolist()]) > 0.5
    return red[~doubled.any(axis=1)]


def read_fields(data: Path, split: str) -> list[Field]:
    """Read and outline all fields of one split of fields_txl."""
    folder = data / "fields_txl"
    rows = rows_of(folder / INDEX, {"split": split}, ("file", "label_file", "source"))
    read = [_read(folder, row) for row in rows]
    usual = {
        row["source"]: float(np.nanmedian([red for _, _, red, source in read if source == row["source"]]))
        for row in rows
    }
    fields = [
        boxed_field(image, boxes, red if np.isfinite(red) else usual[source], source)
        for image, boxes, red, source in read
    ]
    return [field for field in fields if field is not None]


def _read(folder: Path, row: Row) -> tuple[Image, dict[Kind, list[Box]], float, str]:
    """Image, boxes, median width of the whole red cells (NaN where there are too few) and source."""
    image = read_rgb(folder / row["file"])
    boxes = read_boxes(folder / row["label_file"], NAMES, image.shape)
    red = np.asarray(boxes[Kind.RBC], np.float64).reshape(-1, 4)
    whole = (red[:, :2] > 2).all(axis=1) & (red[:, 2] < image.shape[1] - 2) & (red[:, 3] < image.shape[0] - 2)
    widths = np.sqrt((red[whole, 2:] - red[whole, :2]).prod(axis=1))
    return image, boxes, float(np.median(widths)) if len(widths) > 3 else np.nan, row["source"]
