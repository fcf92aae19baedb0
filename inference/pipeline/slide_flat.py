"""Photographs: JPEG, PNG, BMP and WebP, decoded whole where they are small."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFile, ImageOps, UnidentifiedImageError

from inference.pipeline.errors import UnsupportedImage
from inference.pipeline.findings import Box, Image, Notice
from inference.pipeline.slide_colour import Colours, Model, Stored, depth_of
from inference.pipeline.slide_source import (
    UNSTREAMED_MAX_PIXELS,
    Level,
    Source,
    check_extent,
    damaged,
    scale_of,
    several_images,
    too_large,
    turned_upright,
)
from inference.pipeline.slide_vips import open_giant

WHOLE_MAX_PIXELS = 64_000_000
"""What is larger is unpacked to disk instead of memory."""

FORMATS = {"JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "BMP": "BMP", "WEBP": "WEBP"}
"""Some cameras append a small preview to the photograph; Pillow calls such a JPEG MPO."""

PALETTES = ("P", "PA")
ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class ArraySource:
    """An image in memory: `pixels`, uint8 RGB (height, width, 3)."""

    kind: str
    pixels: Image
    pixel_um: float | None
    notices: tuple[Notice, ...]

    @property
    def levels(self) -> tuple[Level, ...]:
        """The one level there is."""
        height, width = self.pixels.shape[:2]
        return (Level(width, height, 1.0),)

    def read(self, level: int, box: Box) -> Image:
        x0, y0, x1, y1 = box
        return self.pixels[y0:y1, x0:x1]

    def close(self) -> None:
        """Nothing is held open."""


def open_flat(path: Path) -> Source:
    """Open an image that is neither a TIFF nor in the format of a scanner's maker."""
    bmp_too_large = too_large(UNSTREAMED_MAX_PIXELS, " as BMP; export it as a tiled TIFF")
    try:
        with _opened(path) as image:
            kind, size = str(image.format), image.size
    except PillowImage.DecompressionBombError as error:
        if _is_bmp(path):
            raise bmp_too_large from error
        return open_giant(path)
    if kind not in FORMATS:
        text = f"{kind} images are not accepted. Export it again as JPEG, PNG, BMP, TIFF or WebP."
        raise UnsupportedImage(text)
    check_extent(*size)
    if kind != "BMP" and size[0] * size[1] > WHOLE_MAX_PIXELS:
        return open_giant(path)
    if size[0] * size[1] > UNSTREAMED_MAX_PIXELS:
        raise bmp_too_large
    return _decoded(path)


def _is_bmp(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"BM"


@contextmanager
def _opened(path: Path) -> Iterator[PillowImage.Image]:
    """The image in the file, not decoded yet; what a decoder raises inside becomes UnreadableImage."""
    # Other libraries (WeasyPrint) switch this on for the whole process: a cut-off file would pass as grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
            with PillowImage.open(path) as opened:
                yield opened
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise damaged() from error


def _decoded(path: Path) -> ArraySource:
    with _opened(path) as opened:
        frames, turn = getattr(opened, "n_frames", 1), opened.getexif().get(ORIENTATION, 1)
        pixel_um, notices = scale_of(*_resolution(opened))
        opened.load()
        array, model = _array(ImageOps.exif_transpose(opened))
        profile = opened.info.get("icc_profile")
    depth = depth_of(int(array.max()), array.dtype)
    colours = Colours(Stored(model, depth, profile or None, palette=opened.mode in PALETTES))
    turned = (turned_upright(),) if turn in range(2, 9) else ()
    notices = (*colours.notices, *notices, *turned, *several_images(frames))
    return ArraySource(FORMATS[str(opened.format)], colours(array), pixel_um, notices)


def _array(image: PillowImage.Image) -> tuple[NDArray[Any], Model]:
    """The stored channels as an array (height, width[, channels]), palettes resolved, and their meaning."""
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA")), Model.RGB
    if image.mode in ("1", "L", "F") or image.mode.startswith("I"):
        return np.asarray(image), Model.GREY
    if image.mode == "CMYK":
        return np.asarray(image), Model.CMYK
    return np.asarray(image.convert("RGB")), Model.RGB


def _resolution(image: PillowImage.Image) -> tuple[float, float]:
    """Micrometres per pixel along x and y from the entry in dots per inch; 0 where there is none."""
    x_dpi, y_dpi = (float(dots) for dots in image.info.get("dpi", (0, 0)))
    return (25_400 / x_dpi, 25_400 / y_dpi) if x_dpi > 0 and y_dpi > 0 else (0.0, 0.0)
