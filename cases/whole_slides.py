"""TIFF and the formats of slide scanners as they are handed in: never unpacked whole where they are large."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import openslide
import tifffile
from django.conf import settings
from django.core.files import File
from django.utils.translation import gettext as _
from PIL import Image

from . import tiffs
from .local_files import local_path
from .photographs import in_srgb
from .upload_types import (
    FORMATS_TEXT,
    PREVIEW_MAX_SIDE,
    PREVIEW_QUALITY,
    Seen,
    UploadRefused,
    check_smallest,
    corrupt,
)

# Other containers that slides come in, by the bytes they start with (offset, bytes).
CONTAINERS = {
    "DICOM": (128, b"DICM"),
    "CZI": (0, b"ZISRAWFILE"),
    "SQLite": (0, b"SQLite format 3\x00"),
}
# What OpenSlide calls the formats of makers; the others sign plain TIFF.
MAKERS = {
    "aperio": "SVS",
    "argos": "AVS",
    "dicom": "DICOM",
    "hamamatsu": "NDPI",
    "leica": "SCN",
    "sakura": "SVSLIDE",
    "ventana": "BIF",
    "zeiss": "CZI",
}
# What OpenSlide calls TIFF that no maker signed.
GENERIC = "generic-tiff"
BAND_PIXELS = 16_000_000
PROBE_SIDE = 64


class _Opened(Protocol):
    """An opened slide."""

    @property
    def seen(self) -> Seen: ...

    def check(self) -> None:
        """Reads enough to know that the slide can be read. Raises UploadRefused."""

    def preview(self) -> bytes: ...


def is_slide(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a TIFF or another container of slides."""
    return tiffs.is_tiff(start) or _container(start) is not None


def _container(start: bytes) -> str | None:
    fitting = (name for name, (offset, magic) in CONTAINERS.items() if start[offset:].startswith(magic))
    return next(fitting, None)


def examine(file: File) -> Seen:
    """Says what a slide is, and checks that it is whole and can be read. Raises UploadRefused."""
    with _opened(file) as slide:
        check_smallest(slide.seen.width, slide.seen.height)
        _check_largest(slide.seen)
        slide.check()
        return slide.seen


def preview(file: File) -> bytes:
    """A JPEG of the upright slide on white, in sRGB, its longer side at most PREVIEW_MAX_SIDE."""
    with _opened(file) as slide:
        return slide.preview()


def _check_largest(seen: Seen) -> None:
    if seen.width * seen.height > settings.SLIDE_MAX_PIXELS:
        text = _("The slide has %(width)d × %(height)d pixels; at most %(limit)d megapixels are accepted.")
        limit = settings.SLIDE_MAX_PIXELS // 1_000_000
        raise UploadRefused("too_large", text % {"width": seen.width, "height": seen.height, "limit": limit})


@contextmanager
def _opened(file: File) -> Iterator[_Opened]:
    """The slide in the file; what its library raises inside becomes UploadRefused."""
    with local_path(file) as path:
        with path.open("rb") as content:
            start = content.read(140)
        maker = openslide.OpenSlide.detect_format(path)
        if tiffs.is_tiff(start):
            with tiffs.reading():
                tiffs.check_is_whole(path)
        if maker and maker != GENERIC:
            with _scanned(maker, path) as slide:
                yield slide
        elif tiffs.is_tiff(start):
            with tiffs.reading(), tifffile.TiffFile(path) as opened:
                yield tiffs.Tiff.of(path, opened)
        else:
            raise _no_slide(start)


@contextmanager
def _scanned(maker: str, path: Path) -> Iterator["_Scanned"]:
    try:
        with openslide.OpenSlide(path) as slide:
            yield _Scanned(maker, slide)
    except openslide.OpenSlideError as error:
        raise corrupt() from error


def _no_slide(start: bytes) -> UploadRefused:
    text = _("This is a %(type)s file without a slide in it. Accepted are %(formats)s.")
    facts = {"type": _container(start), "formats": FORMATS_TEXT}
    return UploadRefused("unsupported_type", text % facts)


@dataclass(frozen=True, slots=True)
class _Scanned:
    """A slide in a maker's format."""

    maker: str
    slide: openslide.OpenSlide

    @property
    def seen(self) -> Seen:
        return Seen(MAKERS.get(self.maker, "TIFF"), *self.slide.dimensions)

    def check(self) -> None:
        """Corners and middle of every level, where what was cut off is missing first."""
        for level, (width, height) in enumerate(self.slide.level_dimensions):
            downsample = self.slide.level_downsamples[level]
            for x in (0, (width - PROBE_SIDE) // 2, width - PROBE_SIDE):
                for y in (0, (height - PROBE_SIDE) // 2, height - PROBE_SIDE):
                    corner = (round(max(0, x) * downsample), round(max(0, y) * downsample))
                    self.slide.read_region(corner, level, (PROBE_SIDE, PROBE_SIDE))

    def preview(self) -> bytes:
        buffer = io.BytesIO()
        in_srgb(self._overview()).save(buffer, "JPEG", quality=PREVIEW_QUALITY, subsampling=0)
        return buffer.getvalue()

    def _overview(self) -> Image.Image:
        """The whole slide on white, put together from bands of the coarsest level that is fine enough."""
        shrink = max(1.0, max(self.slide.dimensions) / PREVIEW_MAX_SIDE)
        width, height = (max(1, round(side / shrink)) for side in self.slide.dimensions)
        level = self.slide.get_best_level_for_downsample(shrink)
        level_width, level_height = self.slide.level_dimensions[level]
        shown = Image.new("RGB", (width, height))
        rows = max(1, BAND_PIXELS * height // (level_width * level_height))
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            start, end = top * level_height // height, bottom * level_height // height
            corner = (0, round(start * self.slide.level_downsamples[level]))
            band = self.slide.read_region(corner, level, (level_width, end - start))
            flat = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band).convert("RGB")
            shown.paste(flat.resize((width, bottom - top), Image.Resampling.BOX), (0, top))
        if self.slide.color_profile:
            shown.info["icc_profile"] = self.slide.color_profile.tobytes()
        return shown
