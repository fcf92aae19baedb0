"""TIFF as it is handed in, from one strip to a pyramid of tiles."""

import contextlib
import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyvips
import tifffile
from django.conf import settings
from django.utils.translation import gettext as _
from tifffile import PHOTOMETRIC

from .upload_types import (
    BOMB_PIXELS_PER_BYTE,
    PREVIEW_MAX_SIDE,
    PREVIEW_QUALITY,
    Seen,
    UploadRefused,
    corrupt,
    several_images,
)

STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
MODELS = (
    PHOTOMETRIC.MINISBLACK,
    PHOTOMETRIC.MINISWHITE,
    PHOTOMETRIC.RGB,
    PHOTOMETRIC.PALETTE,
    PHOTOMETRIC.SEPARATED,
    PHOTOMETRIC.YCBCR,
)
# What is not stored in tiles is unpacked to disk once, whole, to be analysed.
UNTILED_MAX_PIXELS = 2_500_000_000
# Tiles of empty glass shrink further than a photograph does.
BOMB_PIXELS_PER_BYTE_TILED = 2_000
ORIENTATION, SIDEWAYS = 274, (5, 6, 7, 8)
# What tifffile, its codecs and libvips raise on damaged data.
ERRORS = (
    tifffile.TiffFileError,
    pyvips.Error,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)

# libvips keeps recent operations, and with them files that are long closed.
pyvips.cache_set_max(0)


def is_tiff(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a TIFF or a BigTIFF."""
    return start.startswith(STARTS)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turns what damaged data raises into UploadRefused; a full disk stays what it is."""
    try:
        yield
    except ERRORS as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise corrupt() from error


def check_is_whole(path: Path) -> None:
    """Raises UploadRefused unless every tile and strip lies in the file; to be used within `reading`."""
    with tifffile.TiffFile(path) as opened:
        size = opened.filehandle.size
        ends = [_end_of_data(page) for page in _all_pages(opened.pages, set())]
    if not ends or max(ends) > size:
        raise corrupt()


def _all_pages(pages: Any, met: set[int]) -> Iterator[Any]:
    """All directories, those of pyramids too; `met` holds where they lie. A damaged link can lead back to one
    of them, and the walk would never end."""
    for page in pages:
        if page.offset in met:
            raise corrupt()
        met.add(page.offset)
        yield page
        yield from _all_pages(page.pages or (), met)


def _end_of_data(page: Any) -> int:
    offsets, counts = (np.asarray(each, np.uint64) for each in (page.dataoffsets, page.databytecounts))
    return int((offsets + counts)[counts > 0].max(initial=0))


@dataclass(frozen=True, slots=True)
class Tiff:
    """A TIFF that is whole, to be used within `reading`: its first page, the further ones, and the levels of
    a pyramid, the finest first, each with the option by which libvips finds it."""

    path: Path
    first: Any
    further: list[Any]
    levels: list[tuple[Any, dict[str, int]]]

    @classmethod
    def of(cls, path: Path, file: tifffile.TiffFile) -> Self:
        """The pictures in an opened file."""
        first, *further = file.pages
        name, parts = ("subifd", list(first.pages)) if first.pages else ("page", further)
        levels: list[tuple[Any, dict[str, int]]] = [(first, {})]
        for number, page in enumerate(parts, start=0 if name == "subifd" else 1):
            if _continues(first, levels[-1][0], page):
                levels.append((page, {name: number}))
        return cls(path, first, further, levels)

    @property
    def seen(self) -> Seen:
        """Its type and upright size."""
        width, height = self.first.imagewidth, self.first.imagelength
        turned = self.first.tags.valueof(ORIENTATION, default=1) in SIDEWAYS
        return Seen("TIFF", *((height, width) if turned else (width, height)))

    def check(self) -> None:
        """Raises UploadRefused. Small images are decoded whole, of large ones the coarsest level."""
        _check_layout(self.first)
        self._check_extent()
        if any(_pixels(page) >= _pixels(self.first) for page in self.further):
            raise several_images(1 + len(self.further))
        small = _pixels(self.first) <= settings.UPLOAD_MAX_PIXELS
        _decode(self.first if small else self.levels[-1][0])

    def preview(self) -> bytes:
        """A JPEG of the upright image on white, in sRGB."""
        shrink = max(1.0, max(self.seen.width, self.seen.height) / PREVIEW_MAX_SIDE)
        fine_enough = [option for page, option in self.levels if page.imagewidth * shrink >= self._width]
        level, coarsest = self._image(fine_enough[-1]), self._image(self.levels[-1][1])
        shown = _on_white(_in_srgb(_eight_bits(level, coarsest)))
        if shrink > 1:
            shown = shown.resize(self._width / shrink / level.width)
        turn = int(self.first.tags.valueof(ORIENTATION, default=1))
        shown.set_type(pyvips.GValue.gint_type, "orientation", turn)
        return bytes(shown.autorot().jpegsave_buffer(Q=PREVIEW_QUALITY, subsample_mode="off", keep="none"))

    @property
    def _width(self) -> int:
        return int(self.first.imagewidth)

    def _image(self, option: dict[str, int]) -> Any:
        return pyvips.Image.new_from_file(str(self.path), fail_on="error", **option)

    def _check_extent(self) -> None:
        pixels, tiled = _pixels(self.first), self.first.is_tiled
        per_byte = BOMB_PIXELS_PER_BYTE_TILED if tiled else BOMB_PIXELS_PER_BYTE
        if pixels > settings.UPLOAD_MAX_PIXELS and pixels > per_byte * self.path.stat().st_size:
            raise _too_many_pixels(pixels, settings.UPLOAD_MAX_PIXELS, "decompression_bomb")
        if not tiled and pixels > UNTILED_MAX_PIXELS:
            raise _too_many_pixels(pixels, UNTILED_MAX_PIXELS, "too_large")


def _pixels(page: Any) -> int:
    return int(page.imagewidth * page.imagelength)


def _too_many_pixels(pixels: int, limit: int, code: str) -> UploadRefused:
    text = _(
        "The image would unpack to %(megapixels)d megapixels; at most %(limit)d are accepted in one piece."
        " Export it as a pyramid of tiles."
    )
    return UploadRefused(code, text % {"megapixels": pixels // 1_000_000, "limit": limit // 1_000_000})


def _check_layout(page: Any) -> None:
    plain = page.dtype is not None and page.dtype.kind in "ub" and page.dtype.itemsize <= 2
    if plain and page.photometric in MODELS and page.samplesperpixel <= 5 and page.imagedepth == 1:
        return
    model = getattr(page.photometric, "name", page.photometric)
    facts = {"mode": f"{page.samplesperpixel} × {page.dtype} {model}"}
    text = _("The image has an unusual pixel layout (%(mode)s). Export it with 8 or 16 bits per channel.")
    raise UploadRefused("unsupported_type", text % facts)


def _continues(first: Any, last: Any, page: Any) -> bool:
    """Whether a page is the next smaller level. Sides are rounded at each step, so the ratio of the sides
    may be off by the width of two pixels."""
    skew = abs(page.imagewidth * first.imagelength - page.imagelength * first.imagewidth)
    alike = skew <= 2 * (first.imagewidth + first.imagelength) and page.photometric == first.photometric
    return page.imagewidth < last.imagewidth and page.imagelength < last.imagelength and alike


def _decode(page: Any) -> None:
    """Decodes every tile or strip, one at a time; damage shows then."""
    for _segment in page.segments(maxworkers=1):
        pass


def _eight_bits(image: Any, coarsest: Any) -> Any:
    """16-bit containers often hold 10, 12 or 14 bits: scaled by the depth that is really used."""
    if image.format != "ushort":
        return image
    depth = next(bits for bits in (8, 10, 12, 14, 16) if int(coarsest.max()) < 2**bits)
    model = {"grey16": "b-w", "rgb16": "srgb"}.get(image.interpretation, image.interpretation)
    return (image >> (depth - 8)).cast("uchar").copy(interpretation=model)


def _in_srgb(image: Any) -> Any:
    """In the colours its embedded profile stands for; as it is where there is none, or none that fits."""
    if image.get_typeof("icc-profile-data"):
        with contextlib.suppress(pyvips.Error):
            return image.icc_transform("srgb", embedded=True, intent="perceptual")
    return image.colourspace("srgb")


def _on_white(image: Any) -> Any:
    return image.flatten(background=255) if image.hasalpha() else image
