"""The engine without a network: finds white cells, red cells and platelets by their stain.

Red cell centres are the peaks of the distance transform, nuclei are grouped and grown into white cells by
the colour that is not the red cells', and a marker-controlled watershed gives every marker its part of
the stained area. All of it happens at one working resolution, so that sizes can be written in µm.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage
from skimage.segmentation import expand_labels, watershed

from inference.pipeline.config import RBC_DIAMETER_UM, REFERENCE_PIXEL_UM
from inference.pipeline.findings import Image, Instance, Kind, NetworkUsed
from inference.pipeline.instances import Regions, instances
from inference.pipeline.optical import Stain, colour_distance, nuclear_mask, stain_of, stained
from inference.pipeline.segmentation_engine import Answer
from inference.pipeline.shapes import (
    Labels,
    Mask,
    Plane,
    clean,
    component_areas,
    depth_of,
    dilate,
    disc_values,
    fill,
    opened,
    peaks,
    resized,
    spots,
)

WORK_UM = 0.2
"""Pixel size in µm at which cells are separated: a red cell is then 36 px wide."""

MAX_UPSCALE = 1.5
HOLE_UM2 = 14.0
"""Holes up to this size are the pale centres of red cells."""

NUCLEUS_UM = 9.0
"""Typical diameter of a white cell's nucleus, the yardstick where no red cell is in sight."""


class Watershed:
    """This engine, as `segmentation_engine.Engine` wants it."""

    @property
    def used(self) -> tuple[NetworkUsed, ...]:
        """No network."""
        return ()

    def estimate_pixel_um(self, image: Image) -> float | None:
        """Micrometres per pixel; see below."""
        return estimate_pixel_um(image)

    def find(self, images: Sequence[Image], pixel_um: float) -> list[Answer]:
        """Find the cells of images, one after the other."""
        return [Answer(segment(image, pixel_um)) for image in images]

    def warm_up(self) -> None:
        """Nothing has to be loaded."""


def segment(image: Image, pixel_um: float | None = None) -> list[Instance]:
    """Find the cells of a field.

    Args:
        image: uint8 RGB, shape (height, width, 3).
        pixel_um: micrometres per pixel; None to estimate it from the red cells.

    Returns:
        One instance per cell in pixels of `image`, red cells, white cells and platelets mixed, whole
        or cut by the image border; an empty list where nothing is stained.
    """
    found = regions_of(image, pixel_um)
    return instances(*found, image.shape) if found else []


def regions_of(image: Image, pixel_um: float | None = None) -> tuple[Regions, Stain, float] | None:
    """Label the cells at working resolution: the regions, the stain they lie in and the pixels per µm;
    None where nothing is stained."""
    if min(image.shape[:2]) < 8:
        return None
    if pixel_um is None:
        pixel_um = estimate_pixel_um(image) or REFERENCE_PIXEL_UM
    factor = min(pixel_um / WORK_UM, MAX_UPSCALE)
    stain = stain_of(resized(image, factor))
    unit = factor / pixel_um
    return (_regions(stain, unit), stain, unit) if stain else None


def estimate_pixel_um(image: Image) -> float | None:
    """Estimate micrometres per pixel from the red cells, or from nuclei where there are none.

    Args:
        image: uint8 RGB, shape (height, width, 3).

    Returns:
        Micrometres per pixel, or None where neither red cells nor nuclei are found. The red cells'
        median diameter is taken to be 7.2 µm (Diez-Silva et al., MRS Bulletin 2010: 6 to 8 µm).
    """
    shrink = min(1.0, 640 / max(image.shape[:2]))
    stain = stain_of(resized(image, shrink))
    if stain is None:
        return None
    nuclei = clean(nuclear_mask(stain), 9)
    cells = stained(stain, nuclei)
    diameters = _isolated_diameters(cells, nuclei)
    if diameters.size < 3:
        diameters = _disc_diameters(fill(cells, 0.01 * cells.size), nuclei)
    if diameters.size:
        return RBC_DIAMETER_UM * shrink / float(np.median(diameters))
    areas = component_areas(nuclei)
    if areas.size:
        return NUCLEUS_UM / (2 * float(np.sqrt(areas.max() / np.pi)) / shrink)
    return None


def _isolated_diameters(cells: Mask, nuclei: Mask) -> Plane:
    """Equivalent diameters in px of the round, whole cells without nuclear stain."""
    height, width = cells.shape
    contours, _ = cv2.findContours(cells.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    diameters = []
    for contour in contours:
        area = cv2.contourArea(contour)
        x, y, w, h = cv2.boundingRect(contour)
        if area < 80 or x == 0 or y == 0 or x + w == width or y + h == height or max(w, h) > 1.5 * min(w, h):
            continue
        if area > 0.92 * cv2.contourArea(cv2.convexHull(contour)) and not nuclei[y : y + h, x : x + w].any():
            diameters.append(2 * np.sqrt(area / np.pi))
    largest = max(diameters, default=0.0)
    return np.asarray([d for d in diameters if d > 0.4 * largest], np.float32)


def _disc_diameters(cells: Mask, nuclei: Mask) -> Plane:
    """Diameters in px of the largest discs inside the stained area that hold no nuclear stain, for
    crowded fields and cells cut by the border."""
    depth = depth_of(cells)
    groups = nuclei.astype(np.int32)
    discs = [(y, x, float(depth[y, x])) for y, x in spots(peaks(depth)) if depth[y, x] > 4]
    free = [2 * r for y, x, r in discs if not disc_values(groups, y, x, r).any()]
    largest = max(free, default=0.0)
    return np.asarray([d for d in free if d > 0.35 * largest], np.float32)


def _platelets(stain: Stain, cells: Mask, white: Mask, unit: float) -> Mask:
    """Compact spots of 1.2 to 20 µm² outside white cells in which nuclear stain stands clear of the red
    cells'. On the training fields its median share of the density is 0.4 to 0.65 in red cells and
    above 0.95 in platelets; the purple fringes of a lens are thin and faint."""
    share = stain.nuclear / np.maximum(stain.density, 0.01)
    red = cells & ~white
    usual = float(np.median(share[red])) if red.sum() > 50 else 0.5
    level = float(np.median(stain.nuclear[red])) if red.sum() > 50 else 0.05
    purple = (share > np.clip(usual + 0.35, 0.75, 1.0)) & (stain.density > stain.floor) & ~white
    purple = opened(purple & (stain.nuclear > 0.05), 0.4 * unit)
    count, spots, stats, _ = cv2.connectedComponentsWithStats(purple.astype(np.uint8))
    numbers = np.arange(count)
    areas = stats[:, cv2.CC_STAT_AREA]
    strongest = ndimage.maximum(cv2.blur(stain.nuclear, (3, 3)), spots, numbers)
    deepest = ndimage.maximum(depth_of(purple), spots, numbers)
    keep = (areas >= 1.2 * unit**2) & (areas <= 20 * unit**2) & (strongest > 2 * level + 0.05)
    keep &= deepest > 0.5 * np.sqrt(areas / np.pi)
    keep[0] = False
    return np.asarray(keep[spots], np.bool_)


def _regions(stain: Stain, unit: float) -> Regions:
    """Give every cell its own label; `unit` is the number of pixels per µm."""
    nuclear = clean(nuclear_mask(stain), 1.0 * unit**2)
    groups = _nuclear_groups(nuclear, unit)
    near = dilate(groups > 0, int(5 * unit))
    pale = stain.density > stain.floor
    cells = stained(stain, nuclear) | (pale & near) | (groups > 0)
    cells = clean(fill(cells, HOLE_UM2 * unit**2), 1.5 * unit**2)
    groups = _joined_lobes(depth_of(cells), groups, unit)
    white = _white_cells(stain, cells, groups, unit)
    red = _red_cells(_rings_closed(cells & (white == 0), white > 0, unit), int(white.max()), unit)
    white = _with_rims(white, red, stain, groups > 0, unit)
    platelets = _platelets(stain, cells, white > 0, unit)
    labels = np.where(white > 0, white, red).astype(np.int32)
    return _named(labels, white, platelets, unit)


def _nuclear_groups(nuclear: Mask, unit: float) -> Labels:
    """Join lobes less than 1.6 µm apart into nuclei and drop what is too small for one."""
    joined = dilate(nuclear, round(0.8 * unit)).astype(np.uint8)
    count, labels = cv2.connectedComponents(joined)
    labels = np.where(nuclear, labels, 0)
    areas = np.bincount(labels.ravel(), minlength=count) / unit**2
    nucleus = areas >= 14.0
    nucleus[0] = False
    return np.where(nucleus[labels], labels, 0).astype(np.int32)


def _joined_lobes(depth: Plane, groups: Labels, unit: float) -> Labels:
    """Give the lobes of one cell one label: those that share the largest disc inside a stained area."""
    joined = groups
    for y, x in spots(peaks(depth)):
        inside = disc_values(joined, y, x, float(depth[y, x]))
        held = np.unique(inside[inside > 0])
        if held.size > 1 and depth[y, x] < 9 * unit:
            joined = np.where(np.isin(joined, held), held[0], joined)
    return joined.astype(np.int32)


def _white_cells(stain: Stain, cells: Mask, groups: Labels, unit: float) -> Labels:
    """Grow every nucleus to its cell: the stained area around it that has not the red cells' colour."""
    nuclei = groups > 0
    if not nuclei.any():
        return groups
    core = dilate(nuclei, round(0.6 * unit)) & cells
    near = cells & dilate(nuclei, round(6 * unit))
    unlike = _unlike_red_cells(stain, cells, nuclei, unit)
    foreign = opened((near & (unlike > 2.5)) | core, 0.8 * unit) | core
    _, parts = cv2.connectedComponents(foreign.astype(np.uint8))
    attached = np.isin(parts, np.unique(parts[core]))
    return _flooded(depth_of(attached), groups, attached)


def _unlike_red_cells(stain: Stain, cells: Mask, nuclei: Mask, unit: float) -> Plane:
    """How far every pixel is from the colour of this image's red cells, in standard deviations.

    The colour is learnt from red cells well apart from nuclei, or nearer where there are none.
    """
    red = cells & (stain.nuclear < 0.75 * stain.density)
    for distance in (6.0, 3.0, 1.5):
        sample = red & ~dilate(nuclei, round(distance * unit))
        if sample.sum() >= 15 * unit**2:
            return colour_distance(stain.optical, sample)
    return np.full(cells.shape, np.inf, np.float32)


def _rings_closed(area: Mask, white: Mask, unit: float) -> Mask:
    """Complete red cells of which only a broken ring is stained: a hollow part no larger than a cell."""
    result = area.astype(np.uint8)
    contours, _ = cv2.findContours(result, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for contour in contours:
        hull = cv2.convexHull(contour)
        outer = cv2.contourArea(hull)
        if 15 * unit**2 < outer < 60 * unit**2 and cv2.contourArea(contour) < 0.8 * outer:
            cv2.fillPoly(result, [hull], 1)
    return result.astype(np.bool_) & ~white


def _red_cells(area: Mask, last: int, unit: float) -> Labels:
    """Split the stained area without nuclei at its necks, numbering the cells from `last` + 1."""
    depth = depth_of(area)
    seeds = np.zeros(area.shape, np.int32)
    for number, (y, x) in enumerate(spots(peaks(depth)), start=last + 1):
        if depth[y, x] >= 0.6 * unit:
            seeds[y, x] = number
    return _flooded(depth, seeds, area)


def _flooded(depth: Plane, seeds: Labels, area: Mask) -> Labels:
    """Share the area out among the seeds by watershed, the deepest places first."""
    labels = watershed(-depth, seeds, mask=area)  # type: ignore[no-untyped-call]
    return np.asarray(labels, np.int32)


def _with_rims(white: Labels, red: Labels, stain: Stain, core: Mask, unit: float) -> Labels:
    """Return to the white cells what the colour alone took for red cells: slivers along their outline
    too thin for a red cell, and cytoplasm, which lies along the nucleus and is paler than red cells."""
    if not white.any() or not red.any():
        return white
    inside = red > 0
    numbers = np.unique(red[inside])
    beside = np.asarray(ndimage.mean(dilate(white > 0, 1), red, numbers)) > 0
    deepest = np.asarray(ndimage.maximum(depth_of(inside), red, numbers))
    density = np.asarray(ndimage.median(stain.density, red, numbers))
    along = np.asarray(ndimage.sum_labels(dilate(core, round(1.4 * unit)), red, numbers))
    around = np.asarray(ndimage.mean(dilate(white > 0, round(2 * unit)), red, numbers))
    pale = density < 0.75 * float(np.median(stain.density[inside]))
    given = beside & ((deepest < 1.1 * unit) | (around > 0.6) | ((along > 3 * unit**2) & pale))
    grown = expand_labels(white, 6 * unit)  # type: ignore[no-untyped-call]
    return np.where(np.isin(red, numbers[given]), grown, white).astype(np.int32)


def _named(labels: Labels, groups: Labels, platelets: Mask, unit: float) -> Regions:
    """Name every region, smooth the white cells' outlines and lay the platelets on top."""
    white = {int(number) for number in np.unique(groups) if number}
    kinds = {int(n): Kind.WBC if int(n) in white else Kind.RBC for n in np.unique(labels) if n}
    for number in white & kinds.keys():
        _smooth_white(labels, number, unit)
    _lay_platelets(labels, kinds, platelets, unit)
    return Regions(labels, kinds)


def _lay_platelets(labels: Labels, kinds: dict[int, Kind], platelets: Mask, unit: float) -> None:
    """Give every platelet a label of its own, over the small red region it may have been taken for."""
    spots = cv2.connectedComponents(platelets.astype(np.uint8))[1]
    for number in range(1, int(spots.max()) + 1):
        spot = dilate(spots == number, 1) & ~platelets | (spots == number)
        following = int(labels.max()) + 1
        for swallowed in np.unique(labels[spot]):
            region = labels == swallowed
            if kinds.get(int(swallowed)) is Kind.RBC and region.sum() < 2.5 * spot.sum():
                spot |= region
                del kinds[int(swallowed)]
        labels[spot] = following
        kinds[following] = Kind.PLATELET


def _smooth_white(labels: Labels, number: int, unit: float) -> None:
    """Cut thin bridges off a white cell and keep its largest part."""
    region = labels == number
    body = opened(region, 1.0 * unit)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(body.astype(np.uint8))
    if len(stats) < 2:
        return
    keep = fill(parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), 30 * unit**2)
    labels[region & ~keep] = 0
    labels[keep & (labels == 0)] = number
