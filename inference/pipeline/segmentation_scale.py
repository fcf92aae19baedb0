"""Estimates how large a pixel is from the cells themselves."""

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline import star
from inference.pipeline.config import RBC_DIAMETER_UM
from inference.pipeline.findings import Image, Kind
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.networks.segmentation import STRIDE
from inference.pipeline.segmentation_star import (
    KINDS,
    WORK_UM,
    Detections,
    boxes,
    decode,
    detections,
    filled_up,
)
from inference.pipeline.shapes import resized
from inference.pipeline.star import Floats

SCALES = (0.05, 0.08, 0.125, 0.2, 0.32, 0.5)
"""Pixel sizes in µm that are tried where it is not known; the network was trained on cells up to 1.4 times
smaller and larger than usual, so that one of them is always close."""

SCALE_SIDE = 384
"""Side in px, at working resolution, of the window in which the scales are tried."""

LEAST_EVIDENCE = 0.01
WHITE_DIAMETER_UM = 12.0
"""Middling diameter of white cells in a smear; lymphocytes have 8 to 10 µm, monocytes up to 20."""

WIDTH_SPREAD = 0.35
"""By how much (natural logarithm) the width of cells may be off before a scale is believed much less."""

CLOSE = 1.15
"""The estimate stands when the red cells at the working resolution are this close to their usual width."""


def estimate_pixel_um(image: Image, network: Network | None = None) -> float | None:
    """Estimate micrometres per pixel: the scale at which the network finds most of the image to be cells.

    Args:
        image: uint8 RGB, shape (height, width, 3).
        network: None for the product's own.

    Returns:
        Micrometres per pixel from 0.04 to 0.6, or None where no cell is found at any scale. Where there are
        red cells, their median diameter is taken to be 7.2 µm (Diez-Silva et al., MRS Bulletin 2010: 6 to
        8 µm); where there are white cells only, the answer is one of SCALES.
    """
    if min(image.shape[:2]) < 8:
        return None
    network = network or runtime.load(registry.SEGMENTATION_NETWORK)
    windows = [_middle(image, pixel_um, SCALE_SIDE) for pixel_um in SCALES]
    answers = network.predict(
        np.stack([filled_up(window, (SCALE_SIDE, SCALE_SIDE), network) for window in windows])
    )
    evidence = [
        _evidence(decode(maps, window.shape[:2]), window)
        for maps, window in zip(answers, windows, strict=True)
    ]
    if max(evidence) < LEAST_EVIDENCE:
        return None
    pixel_um = SCALES[int(np.argmax(evidence))]
    for _ in range(2):
        diameters = _red_diameters(_middle(image, pixel_um, 2 * SCALE_SIDE), network)
        if len(diameters) < 3:
            break
        seen = float(np.median(diameters)) / (RBC_DIAMETER_UM / WORK_UM)
        pixel_um = float(np.clip(pixel_um / seen, SCALES[0] / 1.3, SCALES[-1] * 1.3))
        if 1 / CLOSE < seen < CLOSE:
            break
    return pixel_um


def _middle(image: Image, pixel_um: float, most: int) -> Image:
    """The middle of an image at the working resolution if a pixel is `pixel_um`, at most `most` px square."""
    factor = pixel_um / WORK_UM
    side = max(8, int(most / factor))
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return resized(image[top : top + side, left : left + side], factor)[:most, :most]


def _evidence(found: Detections, image: Image) -> float:
    """Share of the image covered by surely found cells, less where they are unlikely cells.

    Unlikely are cells without their usual width; mostly white ones, as red cells seem to be when they are
    shown too large; one or two red ones and no white, as a white one seems to be when it is shown too small,
    for a picture of few cells is a picture of a white one; and one cell alone, as a whole group seems to be
    when it is shown far too large.
    """
    cells = found.only((found.logits > 0) & (found.kinds != KINDS.index(Kind.PLATELET)))
    if not len(cells):
        return 0.0
    widths, red = _widths(cells, image) * WORK_UM, cells.kinds == KINDS.index(Kind.RBC)
    few, white = red.sum() < 3, ~red
    if few and white.any():
        width = float(np.median(widths[white])) / WHITE_DIAMETER_UM
    else:
        width = float(np.median(widths[red])) / RBC_DIAMETER_UM
    usual = np.exp(-(np.log(width) ** 2) / (2 * WIDTH_SPREAD**2))
    odd = white.sum() > max(2, red.sum()) or (few and not white.any())
    many = len(cells) / (len(cells) + 1)
    return float(many * usual * _covered(cells, image) * (0.5 if odd else 1.0))


def _covered(cells: Detections, image: Image) -> float:
    """Share of the image that lies in cells, each place as sure as the surest cell there."""
    canvas = np.zeros(tuple(-(-side // STRIDE) for side in image.shape[:2]), np.float32)
    outlines = np.round(star.outlines(cells.centres, cells.radii) / STRIDE - 0.5).astype(np.int32)
    chances = 1 / (1 + np.exp(-cells.logits))
    for place in np.argsort(chances):
        cv2.fillConvexPoly(canvas, outlines[place], float(chances[place]))
    return float(canvas.mean())


def _red_diameters(image: Image, network: Network) -> Floats:
    """Diameters in px of the surely found red cells: of the whole ones where there are enough."""
    found = detections(image, network)
    red = found.only((found.kinds == KINDS.index(Kind.RBC)) & (found.logits > 0))
    whole = _whole(red, image)
    return _widths(red.only(whole) if whole.sum() > 2 else red, image)


def _widths(found: Detections, image: Image) -> Floats:
    """Diameters in px; of a cell that the border cuts the longer side of what is seen of it, which is its
    diameter as long as half of it is seen."""
    boxed = boxes(found, image.shape[:2])
    longer = (boxed[:, 2:] - boxed[:, :2]).max(axis=1, initial=0)
    round_ones = 2 * np.sqrt(star.areas(found.radii) / np.pi)
    return np.asarray(np.where(_whole(found, image), round_ones, longer), np.float32)


def _whole(found: Detections, image: Image) -> NDArray[np.bool_]:
    """Which cells the border of the image does not cut."""
    boxed = boxes(found, image.shape[:2])
    inside = (boxed[:, :2] > 1).all(axis=1) & (boxed[:, 2:] < np.array(image.shape[1::-1]) - 1).all(axis=1)
    return np.asarray(inside, np.bool_)
