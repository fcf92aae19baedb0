"""Photographs too large to be decoded in memory, which libvips unpacks to disk, read region by region."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyvips

from inference.pipeline.errors import UnsupportedImage
from inference.pipeline.findings import Box, Image, Notice
from inference.pipeline.slide_colour import CHANNELS, Colours, Model, Stored, depth_of
from inference.pipeline.slide_source import (
    UNSTREAMED_MAX_PIXELS,
    UNTILED_MAX_PIXELS,
    Level,
    check_extent,
    check_room,
    damaged,
    scale_of,
    too_large,
    turned_upright,
)

PIXELS_PER_BYTE = 100
"""A photograph needs at least a byte for a hundred pixels; beyond it is a decompression bomb."""

KINDS = {"jpegload": "JPEG", "pngload": "PNG", "webpload": "WEBP"}

# libvips keeps recent operations, and with them files and pixels of images that are closed.
pyvips.cache_set_max(0)


@dataclass(frozen=True, slots=True)
class VipsSource:
    """An image that libvips has unpacked, upright, in the file's own colours."""

    kind: str
    levels: tuple[Level, ...]
    pixel_um: float | None
    notices: tuple[Notice, ...]
    image: list[Any]
    colours: Colours

    @classmethod
    def of(cls, kind: str, stored: Any) -> Self:
        """A source of a libvips image as it lies in the file."""
        upright = stored.autorot()
        colours = Colours(_layout(upright))
        pixel_um, notices = scale_of(1000 / stored.xres, 1000 / stored.yres)
        turned = (turned_upright(),) if _number(stored, "orientation") > 1 else ()
        levels = (Level(upright.width, upright.height, 1.0),)
        return cls(kind, levels, pixel_um, (*colours.notices, *notices, *turned), [upright], colours)

    def read(self, level: int, box: Box) -> Image:
        image, (x0, y0, x1, y1) = self.image[level], box
        try:
            data = pyvips.Region.new(image).fetch(x0, y0, x1 - x0, y1 - y0)
        except pyvips.Error as error:
            raise damaged() from error
        array = np.frombuffer(data, np.uint8 if image.format == "uchar" else np.uint16)
        return self.colours(array.reshape(y1 - y0, x1 - x0, image.bands))

    def close(self) -> None:
        self.image.clear()


def open_giant(path: Path) -> VipsSource:
    """Open a JPEG, PNG or WebP and unpack it to disk; damage shows then."""
    try:
        image = pyvips.Image.new_from_file(str(path), fail_on="error")
    except pyvips.Error as error:
        raise damaged() from error
    kind = KINDS.get(image.get("vips-loader"))
    if kind is None:
        raise too_large(UNSTREAMED_MAX_PIXELS, " in this format; export it as a tiled TIFF")
    check_extent(image.width, image.height)
    _check_giant(image, path.stat().st_size)
    source = VipsSource.of(kind, image)
    source.read(0, (0, 0, 1, 1))
    return source


def _check_giant(image: Any, size_bytes: int) -> None:
    """Refuse what cannot be unpacked: in memory only, too large, a decompression bomb, or no room for it."""
    pixels = image.width * image.height
    # Interlaced and progressive images and WebP can only be decoded in memory, all at once.
    streamed = not _number(image, "interlaced") and image.get("vips-loader") != "webpload"
    limit = UNTILED_MAX_PIXELS if streamed else UNSTREAMED_MAX_PIXELS
    if pixels > limit:
        raise too_large(limit, " in one piece; export it as a tiled TIFF")
    if pixels > PIXELS_PER_BYTE * size_bytes:
        raise too_large(PIXELS_PER_BYTE * size_bytes, " in a file as small as this one")
    check_room(pixels * image.bands * (1 if image.format == "uchar" else 2))


def _layout(image: Any) -> Stored:
    """How the pixels are stored; the brightest of all shows which depth 16-bit pixels use."""
    if image.format not in ("uchar", "ushort"):
        raise UnsupportedImage("The image holds values that are not 8 or 16 bits per channel.")
    model = Model.CMYK if image.interpretation == "cmyk" else Model.GREY if image.bands < 3 else Model.RGB
    if image.bands - CHANNELS[model] not in (0, 1):
        raise UnsupportedImage("The image has an unusual number of channels. Hand in grey, RGB or RGBA.")
    try:
        depth = 8 if image.format == "uchar" else depth_of(int(image.max()), np.dtype(np.uint16))
    except pyvips.Error as error:
        raise damaged() from error
    profile = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None
    return Stored(model, depth, profile)


def _number(image: Any, name: str) -> int:
    return int(image.get(name)) if image.get_typeof(name) else 0
