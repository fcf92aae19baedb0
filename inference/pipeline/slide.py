"""Opens an image file of a smear as what it is, and hands out its pixels as 8-bit RGB."""

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from inference.pipeline.findings import Box, Image, Notice, Severity
from inference.pipeline.slide_files import open_source
from inference.pipeline.slide_source import Level, Source

__all__ = ["Level", "Slide"]

BAND_PIXELS = 32_000_000
"""An overview is averaged from bands of a level that are no larger than this."""

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff", ".btf", ".tf8"),
    "aperio": (".svs", ".tif", ".tiff"),
    "argos": (".avs",),
    "dicom": (".dcm", ".dicom"),
    "hamamatsu": (".ndpi", ".vms", ".vmu"),
    "huron": (".tif", ".tiff"),
    "leica": (".scn",),
    "mirax": (".mrxs",),
    "philips": (".tif", ".tiff"),
    "sakura": (".svslide",),
    "trestle": (".tif", ".tiff"),
    "ventana": (".bif", ".tif", ".tiff"),
    "zeiss": (".czi",),
}
"""Which endings a file of a kind may have: photographs and TIFF, then the formats of OpenSlide."""


@dataclass(frozen=True, slots=True)
class Slide:
    """An opened image of a smear, upright, in sRGB with 8 bits per channel, whatever the file stores.

    `levels` are its resolutions, the finest first; `pixel_um` is its scale at level 0 and `pixel_um_source`
    where that comes from ("declared", "metadata" or "unknown"); `notices` say what was converted. A slide
    is a context manager; one that is merely dropped is closed with it.
    """

    path: Path
    levels: tuple[Level, ...]
    pixel_um: float | None
    pixel_um_source: str
    notices: tuple[Notice, ...]
    source: Source = field(repr=False)

    @classmethod
    def open(cls, path: Path, pixel_um: float | None = None) -> Self:
        """Open an image file: JPEG, PNG, BMP, WebP, any TIFF, DICOM whole-slide images and the formats of
        scanners that OpenSlide reads (SVS, NDPI, SCN, BIF, CZI, MRXS and others).

        Grey, palette and CMYK pixels, 10 to 16 bits per channel, the orientation of EXIF or TIFF and an
        embedded ICC profile are converted, each with a notice; what is transparent lies on white. Photographs
        of up to 64 megapixels are decoded into memory; of anything larger only regions are, from the file
        where it has tiles, else from a temporary file into which it is unpacked once.

        Args:
            path: the file; its type is read from its content, whatever its name says. Of a DICOM series, one
                file; the others are found in its folder.
            pixel_um: micrometres per pixel where the user declared them; they win over the file's own.

        Returns:
            The slide; of a file with several images, the first.

        Raises:
            UnreadableImage: not an image, damaged, truncated, or parts of it are missing.
            UnsupportedImage: a format, size or pixel layout that is not accepted.
        """
        source = open_source(path)
        origin = "metadata" if source.pixel_um else "unknown"
        scale, origin = (pixel_um, "declared") if pixel_um is not None else (source.pixel_um, origin)
        notices = (*source.notices, *_name_notices(path, source.kind))
        return cls(path, source.levels, scale, origin, notices, source)

    @property
    def width(self) -> int:
        """Width of level 0 in px."""
        return self.levels[0].width

    @property
    def height(self) -> int:
        """Height of level 0 in px."""
        return self.levels[0].height

    def read(self, box: Box, level: int = 0) -> Image:
        """Read a region; safe from several threads at once.

        Args:
            box: x0, y0, x1, y1 in level-0 px, the ends exclusive.
            level: the place in `levels` of the resolution to read at.

        Returns:
            uint8 RGB (height, width, 3). The edges of the box are rounded to whole px of the level, so that
            boxes that touch give images that join; at least one px comes back.

        Raises:
            ValueError: the box does not lie in the image.
            UnreadableImage: the file is damaged there.
        """
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= self.width and 0 <= y0 < y1 <= self.height):
            raise ValueError(f"{box} does not lie in an image of {self.width}×{self.height} px")
        left, right = _span(x0, x1, self.levels[level].width, self.levels[level].downsample)
        top, bottom = _span(y0, y1, self.levels[level].height, self.levels[level].downsample)
        return self.source.read(level, (left, top, right, bottom))

    def overview(self, longest: int) -> Image:
        """The whole image made smaller by averaging areas, from the coarsest level that is large enough.

        Returns uint8 RGB (height, width, 3), the longer side `longest` px, or the image's own if shorter.
        """
        shrink = max(1.0, max(self.width, self.height) / longest)
        width, height = (max(1, round(side / shrink)) for side in (self.width, self.height))
        place = max(n for n, level in enumerate(self.levels) if level.width >= width or n == 0)
        level = self.levels[place]
        rows = max(1, int(BAND_PIXELS / level.width * height / level.height))
        bands = []
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            ends = (top * level.height // height, bottom * level.height // height)
            band = self.source.read(place, (0, ends[0], level.width, ends[1]))
            bands.append(cv2.resize(band, (width, bottom - top), interpolation=cv2.INTER_AREA))
        return np.concatenate(bands).astype(np.uint8, copy=False)

    def close(self) -> None:
        """Let go of the file; nothing can be read afterwards."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _span(start: int, end: int, length: int, downsample: float) -> tuple[int, int]:
    """A stretch of level-0 px on a level of `length` px."""
    first = min(round(start / downsample), length - 1)
    return first, max(first + 1, min(round(end / downsample), length))


def _name_notices(path: Path, kind: str) -> tuple[Notice, ...]:
    """What to say of a file whose name promises another type."""
    if not path.suffix or path.suffix.lower() in SUFFIXES.get(kind, (path.suffix.lower(),)):
        return ()
    text = f"The file is named “{path.suffix}”, but its format is {kind.upper()}; it was read as that."
    return (Notice("wrong_extension", text, Severity.INFO),)
