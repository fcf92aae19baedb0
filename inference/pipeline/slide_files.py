"""Which reader opens an image file. Free of OpenCV, so that the viewer shows the very same pixels."""

from pathlib import Path

from tifffile import TiffFile

from inference.pipeline import slide_openslide, slide_tiff
from inference.pipeline.errors import UnreadableImage
from inference.pipeline.slide_flat import open_flat
from inference.pipeline.slide_pages import reading
from inference.pipeline.slide_source import Source


def open_source(path: Path) -> Source:
    """Open the file with the library that reads its format best."""
    if not path.is_file():
        raise UnreadableImage(f"There is no file {path.name} at this place.", code="no_file")
    maker = slide_openslide.format_of(path)
    tiff = slide_tiff.is_tiff(path)
    if tiff:
        slide_tiff.check_is_whole(path)
    if maker is not None:
        return slide_openslide.open_maker(path, maker)
    return slide_tiff.open_tiff(path) if tiff else open_flat(path)


def is_read_in_parts(path: Path) -> bool:
    """Whether regions of a file are read from it as it is: a scanner's slide or a TIFF of tiles.

    Anything else is decoded whole before its first region can be had.
    """
    if slide_openslide.format_of(path) is not None:
        return True
    if not slide_tiff.is_tiff(path):
        return False
    with reading(), TiffFile(path) as file:
        return bool(file.pages[0].is_tiled)  # type: ignore[union-attr]
