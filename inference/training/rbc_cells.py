"""Which labelled red cells the data sets hold, and which of the cells that were found each of them is."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.cells import crop, crop_box
from inference.pipeline.config import CellConfig, shape_of
from inference.pipeline.explanation import outline_in_square
from inference.pipeline.findings import Image, Instance, Kind
from inference.pipeline.levels import Mask, mask_of
from inference.pipeline.red_cell_calls import NORMAL
from inference.pipeline.segmentation import segment
from inference.training.cell_images import read_cell_image
from inference.training.labels import INDEX, Row, rows_of
from inference.training.laboratories import TRAIN

POINT_CLASSES = (
    "normal",
    "macrocyte",
    "microcyte",
    "spherocyte",
    "target",
    "stomatocyte",
    "ovalocyte",
    "teardrop",
    "echinocyte",
    "schistocyte",
    "",
    "hypochromic",
    "elliptocyte",
)
"""The classes of the points of rbc_chula by their number; number 10, uncategorised, is left out."""

SICKLE = "sickle"
REACH = 0.75
"""A point belongs to the cell it lies nearest to, up to this many of the cell's radii outside it."""

CLEAR_OF_BORDER = 3
"""A cell whose box is this close to the border of an image in px may be cut by it."""

SURE, WHOLE, ROUND = 0.8, 0.93, 1.2
"""Confidence, solidity, and ratio of the longer axis to the shorter of an unlabelled cell that is taken for a
normal one: neither an overlap, nor a fragment, nor one of the few of another shape."""

PIXEL_UM = {"chula": 0.19, "bccd": 0.078, "raabin": 0.06, "pbc": 0.1, "taleqani": 0.43}
"""Median µm per pixel, as estimated from the cells, of the laboratories whose fields all have one scale; it
spares every field of a training an estimate."""

EVERY = 2
"""Of the sickle cells for training every so-manieth is taken: those of one image are alike."""

EVERY_STAGED = 4
"""Of the fields of a stage of leukemia, which are alike, every so-manieth is taken."""

PER_FIELD, PER_CROP, PER_PHOTOGRAPH = 3, 1, 150
"""So many normal cells at most are taken of a field, of the neighbours of a sickle cell, of a photograph."""


@dataclass(frozen=True, slots=True)
class Point:
    """A labelled place in an image: `x`, `y` in px, and the class of the taxonomy."""

    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class RedField:
    """An image with labelled red cells. Besides them at most `normals` unlabelled round ones count as normal;
    in data sets whose cells overwhelmingly are, as nobody has labelled them."""

    path: Path
    laboratory: str
    points: tuple[Point, ...] = ()
    normals: int = 0


@dataclass(frozen=True, slots=True)
class RedCell:
    """A labelled cell that was found: its crop uint8 RGB, its mask of the same side, 255 on the cell, and the
    class of the taxonomy that it is labelled with."""

    image: Image
    mask: Mask
    label: str
    laboratory: str

    @property
    def shape(self) -> str:
        """What the network is to call it."""
        return shape_of(self.label)


def pointed(folder: Path, rows: Sequence[Row], laboratory: str = "chula") -> list[RedField]:
    """List the fields of rows with the columns file and label_file, in which every line is ``x y number``.

    Raises ValueError for a line that is none, FileNotFoundError where a file of labels is missing.
    """
    return [RedField(folder / row["file"], laboratory, points_of(folder / row["label_file"])) for row in rows]


def points_of(labels: Path) -> tuple[Point, ...]:
    """Read the labelled points of one field; raises ValueError for a line that is none."""
    lines = [line.split() for line in labels.read_text(encoding="utf-8").splitlines()]
    points = (_point(words, labels) for words in lines if words)
    return tuple(point for point in points if point.label)


def _point(words: Sequence[str], labels: Path) -> Point:
    try:
        x, y, number = (int(word) for word in words)
        if number < 0:
            raise IndexError
        return Point(x, y, POINT_CLASSES[number])
    except (ValueError, IndexError) as error:
        last = len(POINT_CLASSES) - 1
        raise ValueError(
            f"“{' '.join(words)}” in {labels} is no labelled point; write x y class, with a class of 0"
            f" to {last}."
        ) from error


def _chula(data: Path, part: str) -> list[RedField]:
    folder = data / "rbc_chula"
    return pointed(folder, rows_of(folder / INDEX, {"split": part}, ("file", "label_file")))


def _uganda(data: Path, part: str) -> list[RedField]:
    """Crops of sickle cells, in which round neighbours show what is normal to the same phones."""
    folder = data / "rbc_sickle_uganda"
    middle = (Point(48, 48, SICKLE),)
    rows = rows_of(folder / INDEX, {"split": part})
    rows = rows[::EVERY] if part == TRAIN else rows
    crops = [RedField(folder / row["file"], "uganda", middle, PER_CROP) for row in rows]
    photograph = data / "slides" / ("phone_field_0.jpg" if part == TRAIN else "phone_field_1.jpg")
    return [*crops, RedField(photograph, "uganda", (), PER_PHOTOGRAPH)]


def _txl(source: str) -> Callable[[Path, str], list[RedField]]:
    def fields(data: Path, part: str) -> list[RedField]:
        folder = data / "fields_txl"
        rows = rows_of(folder / INDEX, {"split": part, "source": source})
        return [RedField(folder / row["file"], source, (), PER_FIELD) for row in rows]

    return fields


def _taleqani(data: Path, part: str) -> list[RedField]:
    """Fields of a third kind of camera and stain, small and pale: without them thin cells of its like are
    called sickle cells."""
    folder = data / "staging_taleqani"
    rows = rows_of(folder / INDEX, {"split": part})[::EVERY_STAGED]
    return [RedField(folder / row["file"], "taleqani", (), PER_FIELD) for row in rows]


RED_LABORATORIES: dict[str, Callable[[Path, str], list[RedField]]] = {
    "chula": _chula,
    "uganda": _uganda,
    **{source: _txl(source) for source in ("bccd", "raabin", "pbc")},
    "taleqani": _taleqani,
}
"""For each laboratory its fields in the data folder for "train" or "val"; the order is that of the crops."""

FOLDERS = ("rbc_chula", "rbc_sickle_uganda", "fields_txl", "slides", "staging_taleqani")
"""The folders that these read."""


def cut_field(field: RedField) -> list[RedCell]:
    """Return the crops of the labelled cells of a field that were found, and of its normal ones.

    A cell that several points lie in is left out: it is two that were not taken apart.
    """
    cv2.setNumThreads(1)
    image, config = read_cell_image(field.path), CellConfig()
    found = red_cells(segment(image, PIXEL_UM.get(field.laboratory)))
    owners = owners_of(field.points, found)
    claimed = Counter(owners)
    named = [
        (found[owner], point.label)
        for point, owner in zip(field.points, owners, strict=True)
        if owner is not None and claimed[owner] == 1
    ]
    others = [cell for place, cell in enumerate(found) if place not in claimed]
    named += [(cell, NORMAL) for cell in evenly(_normal_ones(others, image), field.normals)]
    return [_cut(image, cell, (label, field.laboratory), config) for cell, label in named]


def red_cells(instances: Sequence[Instance]) -> list[Instance]:
    """Return the red cells of what segmentation found."""
    return [instance for instance in instances if instance.kind is Kind.RBC]


def owner_of(point: Point, cells: Sequence[Instance]) -> int | None:
    """Return the place of the cell that a point lies in or nearest to, None where none is near."""
    return owners_of([point], cells)[0]


def owners_of(points: Sequence[Point], cells: Sequence[Instance]) -> list[int | None]:
    """Return for each point the place of the cell that it lies in or nearest to, None where none is near."""
    outlines = [np.asarray(cell.polygon, np.float32).reshape(-1, 1, 2) for cell in cells]
    radii = np.sqrt([cell.area_px / np.pi for cell in cells])
    return [_owner(point, outlines, radii) for point in points]


def _owner(point: Point, outlines: Sequence[NDArray[np.float32]], radii: NDArray[np.float64]) -> int | None:
    if not outlines:
        return None
    inside = [cv2.pointPolygonTest(outline, (point.x, point.y), True) for outline in outlines]
    outside = -np.array(inside) / radii
    nearest = int(np.argmin(outside))
    return nearest if outside[nearest] <= REACH else None


def _normal_ones(cells: Sequence[Instance], image: Image) -> list[Instance]:
    return [cell for cell in clear_ones(cells, image) if elongation(cell) <= ROUND]


def clear_ones(cells: Sequence[Instance], image: Image) -> list[Instance]:
    """Return the cells that are well outlined and that the border of their image does not cut."""
    height, width = image.shape[:2]
    return [
        cell
        for cell in cells
        if cell.confidence >= SURE
        and cell.solidity >= WHOLE
        and min(cell.box[:2]) >= CLEAR_OF_BORDER
        and cell.box[2] <= width - CLEAR_OF_BORDER
        and cell.box[3] <= height - CLEAR_OF_BORDER
    ]


def elongation(cell: Instance) -> float:
    """Return the ratio of the longer side to the shorter of the smallest rectangle around an outline."""
    _, sides, _ = cv2.minAreaRect(np.asarray(cell.polygon, np.float32))
    return float(max(sides) / max(min(sides), 1.0))


def evenly(cells: Sequence[Instance], most: int) -> list[Instance]:
    """Return at most so many cells, evenly taken from the list."""
    places = np.linspace(0, len(cells) - 1, min(most, len(cells))).astype(int)
    return [cells[place] for place in places]


def _cut(image: Image, cell: Instance, named: tuple[str, str], config: CellConfig) -> RedCell:
    square = crop(image, cell, config, config.rbc_side)
    outline = outline_in_square(cell, crop_box(cell, config.padding), config.rbc_side)
    return RedCell(square, mask_of(outline, config.rbc_side), *named)
