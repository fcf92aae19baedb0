"""Reads images of cells for training and evaluation as the product reads them."""

import logging
from collections.abc import Sequence
from pathlib import Path

from PIL import Image as PillowImage

from inference.pipeline.errors import UnreadableImage, UnsupportedImage
from inference.pipeline.findings import Image
from inference.pipeline.slide import Slide
from inference.training.evaluate_segmentation import read_rgb
from inference.training.labels import Sample

log = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000
"""A photograph of a whole field has less; what is larger is no image of a cell, nor of a field around it."""

MIN_SIDE = 24
"""A platelet, cut out closely at 0.1 µm per pixel; only an image of a smear has to be larger."""


def read_cell_image(path: Path) -> Image:
    """Read an image file as uint8 RGB (height, width, 3), upright, in sRGB, whatever the file stores.

    Raises UnreadableImage or UnsupportedImage, with a text for the person who owns the file.
    """
    width, height = _size(path)
    if width * height > MAX_PIXELS:
        raise _too_large(f"{width}×{height} px")
    try:
        with Slide.open(path) as slide:
            return slide.read((0, 0, slide.width, slide.height))
    except UnsupportedImage as error:
        if error.code != "too_small" or min(width, height) < MIN_SIDE:
            raise
        return read_rgb(path)


def large_enough(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples whose image can hold a cell; which ones cannot is logged."""
    large, small = list[Sample](), list[Path]()
    for sample in samples:
        if 0 < min(_size(sample.path)) < MIN_SIDE:
            small.append(sample.path)
        else:
            large.append(sample)
    if small:
        log.info("left out, smaller than %d px: %s", MIN_SIDE, ", ".join(map(str, small)))
    return large


def _size(path: Path) -> tuple[int, int]:
    """Return the width and height that a file states, before it is decoded; 0 where Pillow does not know."""
    try:
        with PillowImage.open(path) as image:
            return image.size
    except PillowImage.DecompressionBombError as error:
        raise _too_large("more than 178 megapixels") from error
    except FileNotFoundError as error:
        raise UnreadableImage("There is no such file.", code="no_file") from error
    except (OSError, ValueError, SyntaxError, EOFError):
        return 0, 0


def _too_large(size: str) -> UnsupportedImage:
    text = f"The image has {size}; an image of a cell or of a field around it has at most"
    return UnsupportedImage(f"{text} {MAX_PIXELS // 1_000_000} megapixels.", code="too_large")
