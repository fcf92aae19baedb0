"""Labels further images with a trained network, where something else says that it is right.

The network says which cells there are; their outlines are made of its boxes as of a person's. A red cell
counts when a point label lies in it, a white cell of a single-cell image when it lies in the middle, a white
cell under a mask as the mask shows it; of the others only those the network is sure of. What else is stained
stays unknown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from inference.pipeline import star
from inference.pipeline.findings import Image, Kind
from inference.pipeline.networks.runtime import Network
from inference.pipeline.optical import nuclear_mask, stain_of
from inference.pipeline.segmentation_scale import estimate_pixel_um
from inference.pipeline.segmentation_star import KINDS, WORK_UM, Detections, boxes, detections
from inference.pipeline.shapes import Mask, dilate, resized
from inference.pipeline.star import Floats
from inference.training.evaluate_segmentation import read_regions, read_rgb
from inference.training.labels import INDEX, Row, rows_of
from inference.training.laboratories import TRAIN
from inference.training.segmentation_labels import Field, cells_of, outlined_field
from inference.training.segmentation_outlines import BOX_SHARE, STORED_UM, Region

SURE = np.array([0.5, 1.5, 0.5], np.float32)
"""Logits from which a red cell, a white cell and a platelet are believed without a label."""

POINT_LOGIT = -1.5
"""Logit from which a red cell is believed that has a point label."""

MIDDLE = 0.2
"""A single-cell image shows its cell within this share of its side from the middle."""

SINGLE_PER_SOURCE = 150
"""About so many images are labelled of a set of single cells or of fields without labels, evenly spread."""

CLEAN_SIDE = 188
"""The upper left corner of this side in px of the fields of staging_taleqani is free of their scale bars."""

NUCLEATED, NOT_NUCLEATED = 0.35, 0.08
"""A cell is white from the one share of nuclear stain in it on, and red up to the other."""

LEAST_CELLS = 5
"""Fields without any label in which the network is sure of fewer cells teach nothing."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """An image at STORED_UM and what the network finds in it, in its pixels."""

    image: Image
    found: Detections

    @classmethod
    def of(cls, image: Image, pixel_um: float, network: Network) -> "_Seen":
        stored = resized(image, pixel_um / STORED_UM)
        found = detections(resized(image, pixel_um / WORK_UM), network)
        scale = np.float32(WORK_UM / STORED_UM)
        placed = Detections(found.kinds, found.logits, found.centres * scale, found.radii * scale)
        return cls(stored, placed)

    def field(self, believed: NDArray[np.bool_], source: str) -> Field | None:
        """The image with the believed cells as its labels; None where nothing is stained."""
        chosen = self.found.only(believed)
        boxed = _widened(boxes(chosen, self.image.shape[:2]), self.image.shape)
        field = outlined_field(
            self.image, {kind: boxed[chosen.kinds == number] for number, kind in enumerate(KINDS)}, source
        )
        if field is None:
            return None
        shape = field.image.shape[0], field.image.shape[1]
        doubtful = np.zeros(shape, np.bool_)
        for outline in star.outlines(self.found.centres[~believed], self.found.radii[~believed]):
            doubtful |= star.filled(outline, shape)
        for outline in star.outlines(field.cells.centres, field.cells.radii):
            doubtful &= ~star.filled(outline, shape)
        return replace(field, unknown=field.unknown | doubtful)


def _widened(boxed: Floats, shape: tuple[int, ...]) -> Floats:
    """Boxes that stand as far off their cells as a person's do, inside the image."""
    middle, reach = (boxed[:, :2] + boxed[:, 2:]) / 2, (boxed[:, 2:] - boxed[:, :2]) / 2 / BOX_SHARE
    limit = np.array([shape[1], shape[0]], np.float32)
    return np.concatenate([np.clip(middle - reach, 0, limit), np.clip(middle + reach, 0, limit)], axis=1)


def pointed(data: Path, network: Network) -> Iterator[Field]:
    """Label the training fields of rbc_chula, whose red cells are marked by points."""
    folder = data / "rbc_chula"
    for row, seen, pixel_um in _looked_at(folder, rows_of(folder / INDEX, {"split": TRAIN}), network):
        points = np.loadtxt(folder / row["label_file"], np.float32, ndmin=2)[:, :2]
        marked = _marked(seen.found, points * np.float32(pixel_um / STORED_UM))
        sure = seen.found.logits > SURE[seen.found.kinds]
        if (field := seen.field(marked | sure, "rbc_chula")) is not None:
            yield field


def _marked(found: Detections, points: Floats) -> NDArray[np.bool_]:
    """Which red cells lie on a point, each point in one cell only."""
    marked = np.zeros(len(found), np.bool_)
    red = np.flatnonzero((found.kinds == 0) & (found.logits > POINT_LOGIT))
    if not len(points) or not len(red):
        return marked
    distance, nearest = cKDTree(points).query(found.centres[red])
    close = distance < 0.5 * found.radii[red].mean(axis=1)
    taken: set[int] = set()
    for index in np.flatnonzero(close)[np.argsort(-found.logits[red[close]], kind="stable")]:
        if int(nearest[index]) not in taken:
            taken.add(int(nearest[index]))
            marked[red[index]] = True
    return marked


def single(data: Path, source: str, split: str, network: Network) -> Iterator[Field]:
    """Label images of single white cells: the cell in the middle, and what else the network is sure of."""
    folder = data / source
    for row, seen, _ in _looked_at(folder, _some_rows(folder, split), network):
        size = np.array(seen.image.shape[1::-1], np.float32)
        middle = (np.abs(seen.found.centres - size / 2) < MIDDLE * size).all(axis=1)
        wanted = 2 if "platelet" in row["label"] else 1
        believed = seen.found.logits > SURE[seen.found.kinds]
        if not (believed & middle & (seen.found.kinds == wanted)).any():
            continue
        if (field := seen.field(believed, source)) is not None:
            yield field


def masked(data: Path, network: Network) -> Iterator[Field]:
    """Label the fields of fields_bcisc from smears with even numbers; the others are kept to measure on."""
    folder = data / "fields_bcisc"
    rows = rows_of(folder / INDEX, {"split": TRAIN}, ("file", "mask"))
    taught = [row for row in rows if not smear_number(row["file"]) % 2]
    for row, seen, _ in _looked_at(folder, taught, network):
        field = seen.field((seen.found.kinds != 1) & (seen.found.logits > SURE[seen.found.kinds]), "bcisc")
        regions = read_regions(folder / row["mask"])
        if field is not None:
            yield _with_whites(field, [_resized(regions == n, field) for n in range(1, regions.max() + 1)])


def _resized(mask: Mask, field: Field) -> Mask:
    """A mask of the original image as the image of the field shows it."""
    return np.asarray(cv2.resize(mask.astype(np.float32), field.image.shape[1::-1]) > 0.5, np.bool_)


def smear_number(name: str) -> int:
    """The number of the smear in the name of a file of fields_bcisc, such as 10 in ``lymp_10-2.jpg``."""
    return int(Path(name).stem.split("_")[1].split("-")[0])


def _with_whites(field: Field, masks: Sequence[Mask]) -> Field:
    """The field with white cells as masks, bool (height, width), show them."""
    unknown = field.unknown.copy()
    for mask in masks:
        unknown &= ~dilate(mask, 4)
    regions = [Region(KINDS.index(Kind.WBC), mask) for mask in masks if mask.any()]
    return replace(field, cells=field.cells.joined(cells_of(regions)), unknown=unknown)


def unlabelled(data: Path, network: Network) -> Iterator[Field]:
    """Label fields of staging_taleqani by what the network is sure of and the nuclear stain bears out.

    The stain decides which cells are white: taught by its own word alone, the network forgot that the blasts
    of this laboratory are.
    """
    folder = data / "staging_taleqani"
    for _, found, _ in _looked_at(folder, _some_rows(folder, TRAIN), network, CLEAN_SIDE):
        seen, certain = _named_by_nucleus(found)
        believed = certain & (seen.found.logits > SURE[0])
        if believed.sum() >= LEAST_CELLS and (field := seen.field(believed, "taleqani")) is not None:
            yield field


def _named_by_nucleus(seen: _Seen) -> tuple[_Seen, NDArray[np.bool_]]:
    """Call what holds a nucleus white and what holds no nuclear stain red; and which detections are either of
    these, or platelets."""
    kinds, certain = seen.found.kinds.copy(), seen.found.kinds == KINDS.index(Kind.PLATELET)
    stain = stain_of(seen.image)
    if stain is None:
        return seen, certain
    shape = (seen.image.shape[0], seen.image.shape[1])
    nuclear = nuclear_mask(stain)
    for index in np.flatnonzero(~certain):
        inside = star.filled(star.outlines(seen.found.centres, seen.found.radii)[index], shape)
        share = float(nuclear[inside].mean()) if inside.any() else 0.0
        certain[index] = share >= NUCLEATED or share <= NOT_NUCLEATED
        kinds[index] = int(share >= NUCLEATED)
    return replace(seen, found=replace(seen.found, kinds=kinds)), certain


def _looked_at(
    folder: Path, rows: Sequence[Row], network: Network, side: int | None = None
) -> Iterator[tuple[Row, _Seen, float]]:
    """The rows with what the network sees in their images, or in the upper left corner of so many px, and the
    pixel size it estimates; without those in which it finds nothing to tell the size by."""
    for row in rows:
        image = read_rgb(folder / row["file"])[:side, :side]
        pixel_um = estimate_pixel_um(image, network)
        if pixel_um is not None:
            yield row, _Seen.of(image, pixel_um, network), pixel_um


def _some_rows(folder: Path, split: str) -> list[Row]:
    """About SINGLE_PER_SOURCE of the rows of a split, evenly spread."""
    rows = rows_of(folder / INDEX, {"split": split})
    return rows[:: max(1, len(rows) // SINGLE_PER_SOURCE)]
