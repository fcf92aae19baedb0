"""Measure the red-cell network and the measured sizes on labelled cells, as the product calls them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from inference.pipeline import cells
from inference.pipeline.classification import Calibration
from inference.pipeline.config import (
    RBC_CLASSES,
    RBC_DIAMETER_UM,
    RBC_SHAPES,
    RBC_SIZES,
    RBC_UNTRAINED,
    REFERENCE_PIXEL_UM,
    Config,
)
from inference.pipeline.errors import PipelineError
from inference.pipeline.findings import Call, Image, Instance
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import Card
from inference.pipeline.red_cell_calls import NORMAL, sized
from inference.pipeline.red_cell_measures import diameter_px, final_label
from inference.pipeline.segmentation import estimate_pixel_um, segment
from inference.pipeline.single_cell import Square, square_of
from inference.training.boxed_cells import square_around
from inference.training.cell_images import read_cell_image
from inference.training.evaluate_wbc import CELLS_AT_ONCE, Measured, all_skipped, ask, row_of
from inference.training.labels import INDEX, Choice, Listing, Sample, Skipped, listing, rows_of
from inference.training.perturb import perturb
from inference.training.rbc_cells import Point, RedField, owners_of, pointed, red_cells

LABELS = "label_file"
SYNONYMS = {"burr": "echinocyte", "hypochromia": "hypochromic", "uncategorised": None}

SIZED_BY_CELLS = (
    "These images have no known scale: the median diameter of the {count} cells called normal in them was"
    f" taken to be {RBC_DIAMETER_UM} µm. Macrocytes and microcytes were told by their size relative to that,"
    " which holds only where all images were taken at one scale."
)
NOT_SIZED = (
    "These images have no known scale, and no cell in them was called normal to tell it by: macrocytes and"
    " microcytes could not be called."
)
ONE_SCALE = 1.5
"""Up to this ratio between the 90th and the 10th percentile the scales estimated of fields are taken for
estimates of one scale, that of the camera that took them all."""

ONE_FOR_ALL = (
    "The scale of these fields was estimated from their cells, whose median diameter is taken to be"
    f" {RBC_DIAMETER_UM} µm; the median of all fields, {{pixel_um:.3f}} µm per pixel, holds for each, as the"
    " estimates are close to one another. Macrocytes and microcytes are such relative to the cells of all"
    " fields."
)
FIELD_BY_FIELD = (
    "The scale of each field was estimated from its own cells, whose median diameter is taken to be"
    f" {RBC_DIAMETER_UM} µm: macrocytes and microcytes are such relative to the other cells of their field."
)
NEVER_CALLED = "malaria_infected was not trained, as there are no licensed colour data, and is never called."


@dataclass(frozen=True, slots=True)
class RedListing:
    """Labelled red cells: those of single-cell images, or with `fields` those at the points in them, which
    are then in the same order as `cells.samples`."""

    cells: Listing
    fields: tuple[RedField, ...] = ()


@dataclass(frozen=True, slots=True)
class Sized:
    """A cell as the network sees it, its diameter in px, None where no cell was found, and µm per pixel as
    estimated of its field, None where nothing told it or the image shows a single cell."""

    square: Square
    diameter_px: float | None
    pixel_um: float | None = None


@dataclass(frozen=True, slots=True)
class MeasuredRed(Measured):
    """The calls on labelled red cells with the diameters that they rest on in µm, and what is to be said of
    them."""

    diameters: Sequence[float | None] = ()
    notices: Sequence[str] = ()

    def figures(self) -> dict[str, Any]:
        """Return the figures under their fixed names, what was not trained, and what is to be said."""
        # A dataclass with slots is made anew, so that super() without arguments finds another class.
        figures = Measured.figures(self)
        return {**figures, "not_trained": list(RBC_UNTRAINED), "notices": list(self.notices)}

    def rows(self, folder: Path) -> list[dict[str, Any]]:
        """Return one row per cell, files relative to `folder`."""
        return [
            {**row_of(sample, call, folder, whole_frame=not found), "diameter_um": _rounded(diameter)}
            for sample, call, found, diameter in zip(
                self.samples, self.calls, self.found, self.diameters, strict=True
            )
        ]


def _rounded(diameter: float | None) -> float | None:
    return None if diameter is None else round(diameter, 3)


def red_class(name: str) -> str | None:
    """Return the class a data set's label stands for, None for a kind that is left out.

    Raises ValueError when the name is none of a class.
    """
    label = SYNONYMS.get(name, name)
    if label is not None and label not in RBC_CLASSES:
        known = ", ".join([*RBC_CLASSES, *SYNONYMS])
        raise ValueError(f"“{name}” is not a class of red cells. Known names: {known}.")
    return label


def listed(folder: Path, choice: Choice) -> RedListing:
    """List the labelled red cells of a data set: of the rows of an index with the column label_file their
    points, otherwise what `labels.listing` lists.

    Raises ValueError for an unknown class name, column or point, FileNotFoundError when there is nothing.
    """
    index = folder / (choice.index or INDEX)
    if not choice.by_index or LABELS not in _columns(index):
        return RedListing(listing(folder, choice, red_class))
    rows = rows_of(index, choice.where, ("file", LABELS))
    fields = pointed(folder, rows)
    samples = [Sample(one.path, point.label) for one in fields for point in one.points]
    if not samples:
        raise FileNotFoundError(f"No labelled point in the fields of {index}.")
    return RedListing(Listing(folder, samples, []), tuple(fields))


def _columns(index: Path) -> list[str]:
    if not index.is_file():
        return []
    with index.open(encoding="utf-8-sig") as lines:
        return lines.readline().strip().split(",")


def measure(
    of: RedListing, declared: Sequence[str] | None = None, perturbation: str | None = None
) -> MeasuredRed:
    """Send labelled red cells through the product's own segment, crop, pad, classify and measure.

    `declared` names the classes that can occur; `perturbation` changes every image first. Images that cannot
    be read are skipped.

    Raises UnreadableImage when none can be read, PipelineError for a declared class that is never called.
    """
    network = runtime.load(registry.RBC_NETWORK)
    shapes, calibration = _shapes(declared), Calibration.of(network.card)
    got, skipped = _Collected(), list(of.cells.skipped)
    for batch in _batches(_cut_all(of, network.card, perturbation, skipped)):
        squares = [sized.square for _, sized in batch]
        got.add(batch, calibration.calls(ask(squares, network).logits, shapes))
    if not got.samples:
        raise all_skipped(skipped[len(of.cells.skipped) :])
    diameters, notice = _by_fields(got) if of.fields else _by_normal_cells(got)
    calls = [_final(call, size, declared) for call, size in zip(got.calls, diameters, strict=True)]
    wrong = {place: crop for place, crop in enumerate(got.crops) if got.differs(place, calls[place])}
    return MeasuredRed(
        network.card, got.samples, calls, got.found, skipped, wrong, diameters, (notice, NEVER_CALLED)
    )


@dataclass(slots=True)
class _Collected:
    """What a measurement has come to so far: calls of shapes, diameters in px, µm per pixel."""

    samples: list[Sample] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    crops: list[Image] = field(default_factory=list)
    diameters_px: list[float | None] = field(default_factory=list)
    scales: list[float | None] = field(default_factory=list)

    def add(self, batch: Sequence[tuple[Sample, Sized]], calls: Sequence[Call]) -> None:
        self.calls += calls
        self.samples += [sample for sample, _ in batch]
        self.found += [sized.square.found for _, sized in batch]
        self.crops += [sized.square.crop for _, sized in batch]
        self.diameters_px += [sized.diameter_px for _, sized in batch]
        self.scales += [sized.pixel_um for _, sized in batch]

    def differs(self, place: int, call: Call) -> bool:
        return self.samples[place].label != call.label


def _shapes(declared: Sequence[str] | None) -> list[str] | None:
    """Return the shapes that can be called where these classes can occur: a size is one of normal shape."""
    if declared is None:
        return None
    callable_ones = [name for name in RBC_CLASSES if name not in RBC_UNTRAINED]
    if unknown := [name for name in declared if name not in callable_ones]:
        raise PipelineError(
            f"The declared classes hold {', '.join(unknown)}; what can be called is"
            f" {', '.join(callable_ones)}.",
            code="unknown_class",
        )
    named = {NORMAL if name in RBC_SIZES else name for name in declared}
    return [name for name in RBC_SHAPES if name in named]


def _by_fields(got: _Collected) -> tuple[list[float | None], str]:
    """Return the diameters in µm of the cells of fields: by one scale where their estimates are close."""
    known = np.array([scale for scale in got.scales if scale is not None])
    low, middle, high = np.percentile(known, (10, 50, 90)) if len(known) else (1.0, 1.0, np.inf)
    one = high <= ONE_SCALE * low
    scales = [float(middle)] * len(got.scales) if one else got.scales
    sized = [
        None if size is None or scale is None else size * scale
        for size, scale in zip(got.diameters_px, scales, strict=True)
    ]
    return sized, ONE_FOR_ALL.format(pixel_um=middle) if one else FIELD_BY_FIELD


def _by_normal_cells(got: _Collected) -> tuple[list[float | None], str]:
    """Return the diameters in µm of single cells, by those of the normal ones among them."""
    pairs = zip(got.diameters_px, got.calls, strict=True)
    normal = [size for size, call in pairs if size is not None and call.label == NORMAL]
    if not normal:
        return [None] * len(got.calls), NOT_SIZED
    unit = RBC_DIAMETER_UM / float(np.median(normal))
    scaled = [None if size is None else size * unit for size in got.diameters_px]
    return scaled, SIZED_BY_CELLS.format(count=len(normal))


def _final(call: Call, diameter: float | None, declared: Sequence[str] | None) -> Call:
    """Return a call of a shape as one of RBC_CLASSES, with a probability for each that can be called."""
    size = final_label(NORMAL, diameter)
    if size == NORMAL or NORMAL not in call.probabilities or (declared and size not in declared):
        size = NORMAL
    chances = {name: 0.0 for name in RBC_CLASSES if name not in RBC_UNTRAINED}
    made = sized(call, size)
    return replace(made, probabilities={**chances, **made.probabilities})


def _batches(found: Iterator[tuple[Sample, Sized]]) -> Iterator[list[tuple[Sample, Sized]]]:
    batch: list[tuple[Sample, Sized]] = []
    for one in found:
        batch.append(one)
        if len(batch) == CELLS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _cut_all(
    of: RedListing, card: Card, perturbation: str | None, skipped: list[Skipped]
) -> Iterator[tuple[Sample, Sized]]:
    """Cut all cells out, image after image; adds to `skipped`."""
    images = of.fields or [RedField(sample.path, "") for sample in of.cells.samples]
    samples = iter(of.cells.samples)
    for number, one in enumerate(images):
        own = list(islice(samples, len(one.points) if of.fields else 1))
        if not own:
            continue
        try:
            image = read_cell_image(one.path)
            seen = perturb(image, perturbation, number) if perturbation else image
            yield from zip(own, _cut(seen, one.points, card), strict=True)
        except PipelineError as error:
            skipped.append(Skipped(of.cells.name_of(own[0]), error.text))


def _cut(image: Image, points: Sequence[Point], card: Card) -> list[Sized]:
    return _of_field(image, points, card) if points else [_of_single(image, card)]


def _of_single(image: Image, card: Card) -> Sized:
    """Cut the red cell nearest the centre out of an image of one cell."""
    cell = cells.centre_red_cell(segment(image), image.shape)
    side = Config().cells.rbc_side
    crop = cells.crop(image, cell, Config().cells, side) if cell else cells.whole_frame(image, side)
    square = square_of(image, "cell", (crop, cell), (card, Config()))
    return Sized(square, _diameter_px(cell))


def _diameter_px(cell: Instance | None) -> float | None:
    return diameter_px(cell) if cell else None


def _of_field(image: Image, points: Sequence[Point], card: Card) -> list[Sized]:
    """Cut the cells at the points out of a field."""
    pixel_um = estimate_pixel_um(image)
    found = red_cells(segment(image, pixel_um))
    owners = owners_of(points, found)
    usual_px = RBC_DIAMETER_UM / (pixel_um or REFERENCE_PIXEL_UM)
    return [
        _at(image, point, None if owner is None else found[owner], (card, usual_px, pixel_um))
        for point, owner in zip(points, owners, strict=True)
    ]


def _at(
    image: Image, point: Point, cell: Instance | None, seen_by: tuple[Card, float, float | None]
) -> Sized:
    """Cut out a cell, or where none was found the square of a usual cell around its point."""
    card, usual_px, pixel_um = seen_by
    config = Config()
    if cell is None:
        half = usual_px / 2
        box = (point.x - half, point.y - half, point.x + half, point.y + half)
        around = cells.cut(image, square_around(box, config.cells.padding))
        crop = cells.resized(around, config.cells.rbc_side)
    else:
        crop = cells.crop(image, cell, config.cells, config.cells.rbc_side)
    square = square_of(image, "field", (crop, cell), (card, config))
    return Sized(square, _diameter_px(cell), pixel_um)
