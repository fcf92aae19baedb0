"""A reading copy of an image that can only be decoded whole: its pixels in tiles, with coarser levels."""

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import numpy as np
import pyvips

from inference.pipeline.slide_files import open_source
from inference.pipeline.slide_source import Source, check_room

BAND_PIXELS = 16_000_000
TILE = 512
QUALITY = 92


def write_copy(original: Path, copy: Path) -> None:
    """Write an image as a tiled TIFF with levels halved down to one tile, in JPEG without subsampled colours.

    The pixels lie on disk in between, 3 bytes each, in TMPDIR; memory stays bounded by a band of rows.

    Raises:
        UnreadableImage, UnsupportedImage: as on opening it for analysis.
        OSError: no room on the disk.
    """
    source = open_source(original)
    try:
        size = source.levels[0]
        check_room(3 * size.width * size.height)
        with NamedTemporaryFile(suffix=".raw") as raw:
            _unpack(source, raw)
            image = pyvips.Image.rawload(raw.name, size.width, size.height, 3).copy(interpretation="srgb")
            _save(image, copy)
    finally:
        source.close()


def _save(image: pyvips.Image, copy: Path) -> None:
    # At a quality of 90 and more libvips keeps the full resolution of colours, in which granules show.
    options = {"compression": "jpeg", "Q": QUALITY, "bigtiff": True}
    image.tiffsave(str(copy), tile=True, tile_width=TILE, tile_height=TILE, pyramid=True, **options)


def _unpack(source: Source, raw: IO[bytes]) -> None:
    width, height = source.levels[0].width, source.levels[0].height
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = source.read(0, (0, top, width, min(height, top + rows)))
        raw.write(np.ascontiguousarray(band).data)
    raw.flush()
