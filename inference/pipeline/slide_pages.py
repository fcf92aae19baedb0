"""Regions of one page of a TIFF as it stores them: decoded tile by tile, or unpacked once to disk."""

import errno
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC, PLANARCONFIG, TiffFileError

from inference.pipeline.findings import Box
from inference.pipeline.slide_source import (
    UNSTREAMED_MAX_PIXELS,
    UNTILED_MAX_PIXELS,
    check_room,
    damaged,
    too_large,
)

TIFF_ERRORS = (
    TiffFileError,
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
"""What tifffile and imagecodecs raise on damaged data; the errors of the codecs are RuntimeErrors."""


@contextmanager
def reading() -> Iterator[None]:
    """Turn what damaged data raises into UnreadableImage; a full disk stays what it is."""
    try:
        yield
    except TIFF_ERRORS as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise damaged() from error


TABLES_IN_PAGE = (6, 7, 34892, 33007)
"""Compressions (tag 259) of the JPEG family, whose tables may lie in the page and not in the tile."""


class Page(Protocol):
    """One picture in a file, its pixels as they are stored; to be used within `reading`."""

    def read(self, box: Box) -> NDArray[Any]:
        """Pixels of a box (height, width, channels); safe from several threads."""

    def brightest(self) -> int:
        """The highest stored value."""


def page_of(page: Any) -> Page:
    """The way to read a page that tifffile has parsed.

    Raises UnsupportedImage for what is stored in pieces too large to be decoded.
    """
    length = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    width = page.tilewidth if page.is_tiled else page.imagewidth
    if width * length > UNSTREAMED_MAX_PIXELS:
        raise too_large(UNSTREAMED_MAX_PIXELS, " in one strip; export it as a tiled TIFF")
    if page.is_tiled:
        return Tiles(page)
    if page.imagewidth * page.imagelength > UNTILED_MAX_PIXELS:
        raise too_large(UNTILED_MAX_PIXELS, " without tiles; export it as a tiled TIFF")
    return _unpacked(page)


@dataclass(frozen=True, slots=True)
class Tiles:
    """A page of tiles, which are read from the file and decoded when they are wanted."""

    page: Any

    def read(self, box: Box) -> NDArray[Any]:
        x0, y0, x1, y1 = box
        height, width = self.page.tilelength, self.page.tilewidth
        region = np.empty((y1 - y0, x1 - x0, self.page.samplesperpixel), self.page.dtype)
        for row in range(y0 // height, -(-y1 // height)):
            for column in range(x0 // width, -(-x1 // width)):
                top, left = row * height - y0, column * width - x0
                target = region[max(top, 0) : top + height, max(left, 0) : left + width]
                tile = self._tile(row, column)[max(-top, 0) :, max(-left, 0) :]
                target[...] = tile[: target.shape[0], : target.shape[1]]
        return region

    def brightest(self) -> int:
        width, height = self.page.imagewidth, self.page.imagelength
        rows = range(0, height, self.page.tilelength)
        bands = ((0, top, width, min(top + self.page.tilelength, height)) for top in rows)
        return max(int(self.read(band).max()) for band in bands)

    def _tile(self, row: int, column: int) -> NDArray[Any]:
        """A tile (height, width, channels), cut where it reaches over the edge of the page."""
        page = self.page
        across, down = -(-page.imagewidth // page.tilewidth), -(-page.imagelength // page.tilelength)
        place = row * across + column
        if page.planarconfig != PLANARCONFIG.SEPARATE:
            return _segment(page, place)
        planes = (_segment(page, place + plane * across * down) for plane in range(page.samplesperpixel))
        return np.concatenate(list(planes), axis=-1)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A page whose pixels lie one after the other in a nameless file, which is gone with this object."""

    file: IO[bytes]
    shape: tuple[int, ...]
    planes: bool
    dtype: np.dtype[Any]
    highest: int

    def read(self, box: Box) -> NDArray[Any]:
        x0, y0, x1, y1 = box
        # Mapped for each region anew: what stays mapped counts as memory of this process.
        mapped = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        whole = np.frombuffer(mapped, self.dtype).reshape(self.shape)
        region = np.moveaxis(whole[:, y0:y1, x0:x1], 0, -1) if self.planes else whole[y0:y1, x0:x1]
        return np.array(region)

    def brightest(self) -> int:
        return self.highest


def _unpacked(page: Any) -> Unpacked:
    """Unpack a page strip by strip."""
    check_room(page.imagewidth * page.imagelength * page.samplesperpixel * page.dtype.itemsize)
    file, highest = TemporaryFile(), 0  # noqa: SIM115  (it lives as long as the page)
    planes = page.planarconfig == PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
    for place in range(len(page.dataoffsets)):
        strip = _segment(page, place)
        highest = max(highest, int(strip.max()))
        file.write(np.ascontiguousarray(strip).data)
    file.flush()
    size = (page.imagelength, page.imagewidth)
    shape = (page.samplesperpixel, *size) if planes else (*size, page.samplesperpixel)
    if os.fstat(file.fileno()).st_size != int(np.prod(shape)) * page.dtype.itemsize:
        raise damaged()
    return Unpacked(file, shape, planes, page.dtype, highest)


def _segment(page: Any, place: int) -> NDArray[Any]:
    """A decoded strip or tile (height, width, channels)."""
    tables = {"jpegtables": page.jpegtables} if page.compression in TABLES_IN_PAGE else {}
    file = page.parent.filehandle.fileno()
    data = os.pread(file, page.databytecounts[place], page.dataoffsets[place])
    pixels, _, shape = page.decode(data or None, place, **tables)
    if pixels is not None:
        return np.asarray(pixels[0])
    # What has no data was not scanned, and is shown as glass.
    dark_is_low = page.photometric not in (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.SEPARATED)
    return np.full(shape[1:], np.iinfo(page.dtype).max if dark_is_low else 0, page.dtype)
