"""TIFF of every layout, from one strip to a pyramid of tiles, read region by region."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC, RESUNIT, TiffFile

from inference.pipeline.errors import UnsupportedImage
from inference.pipeline.findings import Box, Image, Notice
from inference.pipeline.slide_colour import CHANNELS, Colours, Model, Stored, depth_of
from inference.pipeline.slide_pages import Page, page_of, reading
from inference.pipeline.slide_source import (
    Level,
    check_extent,
    damaged,
    scale_of,
    several_images,
    turned_upright,
)

STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
MODELS = {
    PHOTOMETRIC.MINISBLACK: Model.GREY,
    PHOTOMETRIC.MINISWHITE: Model.GREY,
    PHOTOMETRIC.RGB: Model.RGB,
    PHOTOMETRIC.PALETTE: Model.RGB,
    PHOTOMETRIC.SEPARATED: Model.CMYK,
}
JPEG = (6, 7)
ASSOCIATED_ALPHA = 1
MICROMETRES = {"µm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3}
ORIENTATION, ICC_PROFILE = 274, 34675
SIDEWAYS, MIRRORED, OVERTURNED = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)
"""The orientations (TIFF 6.0, tag 274) whose rows are columns, run from the right, run from the bottom."""


@dataclass(frozen=True, slots=True)
class TiffSource:
    """An opened TIFF: a reader for each level, and how its pixels become upright RGB."""

    levels: tuple[Level, ...]
    pixel_um: float | None
    notices: tuple[Notice, ...]
    file: TiffFile
    pages: list[Page]
    palette: Image | None
    colours: Colours
    turn: int
    kind: str = "TIFF"

    @classmethod
    def of(cls, file: TiffFile, levels: list[Any], notices: tuple[Notice, ...]) -> Self:
        """A source of the pages that are the levels of one picture, the finest first."""
        first, turn = levels[0], int(levels[0].tags.valueof(ORIENTATION, default=1))
        model = _model(first)
        pages = [page_of(page) for page in levels]
        pixel_um, scale_notices = scale_of(*_resolution(first))
        colours = Colours(_stored(first, model, pages[-1]))
        turned = (turned_upright(),) if turn in range(2, 9) else ()
        return cls(
            tuple(_level(page, first, turn) for page in levels),
            pixel_um,
            (*colours.notices, *scale_notices, *turned, *notices),
            file,
            pages,
            _palette(first),
            colours,
            turn,
        )

    def read(self, level: int, box: Box) -> Image:
        size = self.levels[level]
        with reading():
            array = self.pages[level].read(_box_as_stored(box, (size.width, size.height), self.turn))
        if self.palette is not None:
            array = self.palette[array[..., 0]]
        return np.ascontiguousarray(_upright(self.colours(array), self.turn))

    def close(self) -> None:
        self.file.close()
        self.pages.clear()


def _level(page: Any, first: Any, turn: int) -> Level:
    width, height = page.imagewidth, page.imagelength
    if turn in SIDEWAYS:
        width, height = height, width
    return Level(width, height, first.imagewidth / page.imagewidth)


def _upright(array: Image, turn: int) -> Image:
    if turn in SIDEWAYS:
        array = array.swapaxes(0, 1)
    if turn in MIRRORED:
        array = array[:, ::-1]
    return array[::-1] if turn in OVERTURNED else array


def _box_as_stored(box: Box, size: tuple[int, int], turn: int) -> Box:
    """Where a box of the upright picture, whose width and height are given, lies among the stored rows."""
    (x0, y0, x1, y1), (width, height) = box, size
    if turn in MIRRORED:
        x0, x1 = width - x1, width - x0
    if turn in OVERTURNED:
        y0, y1 = height - y1, height - y0
    return (y0, x0, y1, x1) if turn in SIDEWAYS else (x0, y0, x1, y1)


def is_tiff(path: Path) -> bool:
    """Whether the content of a file begins as TIFF or BigTIFF does."""
    with path.open("rb") as file:
        return file.read(4) in STARTS


def check_is_whole(path: Path) -> None:
    """Raise UnreadableImage unless every directory can be read and every tile or strip lies in the file."""
    with reading(), TiffFile(path) as opened:
        size = opened.filehandle.size
        ends = [_end_of_data(page) for page in _all_pages(opened.pages, set())]
    if not ends or max(ends) > size:
        raise damaged()


def _all_pages(pages: Any, met: set[int]) -> Iterator[Any]:
    """All directories, those of pyramids too; `met` holds where they lie. A damaged link can lead back to one
    of them, and the walk would never end."""
    for page in pages:
        if page.offset in met:
            raise damaged()
        met.add(page.offset)
        yield page
        yield from _all_pages(page.pages or (), met)


def _end_of_data(page: Any) -> int:
    offsets, counts = (np.asarray(each, np.uint64) for each in (page.dataoffsets, page.databytecounts))
    return int((offsets + counts)[counts > 0].max(initial=0))


def open_tiff(path: Path) -> TiffSource:
    """Open a TIFF that is whole. Its levels are further pages, or SubIFDs of the first."""
    with reading(), ExitStack() as on_failure:
        file = on_failure.enter_context(TiffFile(path))
        pages: list[Any] = list(file.pages)
        first = pages[0]
        check_extent(first.imagewidth, first.imagelength)
        levels = _pyramid(first, list(first.pages or pages[1:]))
        extent = first.imagewidth * first.imagelength
        fields = sum(page.imagewidth * page.imagelength >= extent for page in pages)
        source = TiffSource.of(file, levels, several_images(len(pages)) if fields > 1 else ())
        on_failure.pop_all()
    return source


def _pyramid(first: Any, candidates: list[Any]) -> list[Any]:
    """The first page and those that are the same picture, ever smaller."""
    width, height, levels = first.imagewidth, first.imagelength, [first]
    for page in candidates:
        smaller = page.imagewidth < levels[-1].imagewidth and page.imagelength < levels[-1].imagelength
        # Sides are rounded at each step, so the ratio of the sides may be off by the width of two pixels.
        alike = abs(page.imagewidth * height - page.imagelength * width) <= 2 * (width + height)
        if smaller and alike and _layout(page) == _layout(first):
            levels.append(page)
    return levels


def _layout(page: Any) -> tuple[Any, ...]:
    return page.photometric, page.samplesperpixel, page.dtype, page.bitspersample


def _model(page: Any) -> Model:
    """What the channels of a page stand for. Raises UnsupportedImage for pixels that are not accepted."""
    # JPEG is decoded to RGB; other YCbCr is subsampled and comes from video.
    jpeg_colour = page.photometric == PHOTOMETRIC.YCBCR and page.compression in JPEG
    model = Model.RGB if jpeg_colour else MODELS.get(page.photometric)
    if model is None:
        text = "The image is stored in a colour model that is not accepted. Hand in grey, RGB or CMYK."
        raise UnsupportedImage(text)
    if page.dtype is None or page.dtype.kind not in "ub" or page.dtype.itemsize > 2:
        raise UnsupportedImage("The image holds values that are not 8 or 16 bits per channel.")
    needed = 1 if page.photometric == PHOTOMETRIC.PALETTE else CHANNELS[model]
    if page.samplesperpixel - needed not in (0, 1) or page.imagedepth > 1:
        raise UnsupportedImage("The image has an unusual number of channels. Hand in grey, RGB or RGBA.")
    return model


def _stored(page: Any, model: Model, coarsest: Page) -> Stored:
    """How a page stores its pixels; the coarsest level shows which depth 16-bit pixels use."""
    palette = page.photometric == PHOTOMETRIC.PALETTE
    if palette:
        depth = 8
    elif page.bitspersample == 16:
        depth = depth_of(coarsest.brightest(), page.dtype)
    else:
        depth = page.bitspersample
    profile = page.tags.valueof(ICC_PROFILE)
    inverted = page.photometric == PHOTOMETRIC.MINISWHITE
    premultiplied = ASSOCIATED_ALPHA in (page.extrasamples or ())
    return Stored(model, depth, bytes(profile) if profile else None, inverted, premultiplied, palette)


def _palette(page: Any) -> Image | None:
    """The colours of a palette, uint8 (colours, 3), from 16 bits per channel."""
    if page.photometric != PHOTOMETRIC.PALETTE:
        return None
    palette: NDArray[Any] = np.asarray(page.colormap)
    return (palette.T >> 8).astype(np.uint8)


def _resolution(page: Any) -> tuple[float, float]:
    """Micrometres per pixel along x and y, from OME-XML or the resolution tags; 0 where there is neither."""
    x_um, y_um = _ome_size(page.description, "X"), _ome_size(page.description, "Y")
    if x_um and y_um:
        return x_um, y_um
    x_density, y_density = page.get_resolution(RESUNIT.MICROMETER)
    return (1 / x_density, 1 / y_density) if x_density > 0 and y_density > 0 else (0.0, 0.0)


def _ome_size(about: str, axis: str) -> float | None:
    """The attribute PhysicalSizeX or PhysicalSizeY of an OME-XML description, in micrometres."""
    size = re.search(rf'\bPhysicalSize{axis}="([0-9.eE+-]+)"', about)
    unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]*)"', about)
    micrometres = MICROMETRES.get(unit[1] if unit else "µm")
    try:
        return float(size[1]) * micrometres if size and micrometres else None
    except ValueError:
        return None
