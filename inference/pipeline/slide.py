"""Opens an image file of a smear as what it is, and hands out its pixels as 8-bit RGB."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFile, ImageOps, UnidentifiedImageError

from inference.pipeline.errors import UnreadableImage, UnsupportedImage
from inference.pipeline.findings import Box, Image, Notice, Severity

FORMATS = ("JPEG", "MPO", "PNG", "BMP", "TIFF", "WEBP")
MAX_PIXELS = 120_000_000
MIN_SIDE = 64
PLAUSIBLE_PIXEL_UM = (0.02, 5.0)
"""Resolutions outside this range (such as 72 dpi) describe a printout, not a microscope."""


@dataclass(frozen=True, slots=True)
class Slide:
    """An opened image, upright, 8 bits per channel: its size in px, its scale and where that comes from
    ("declared", "metadata" or "unknown"), what was noticed on opening, and `pixels`, uint8 RGB
    (height, width, 3)."""

    path: Path
    width: int
    height: int
    pixel_um: float | None
    pixel_um_source: str
    notices: tuple[Notice, ...]
    pixels: Image = field(repr=False)

    def read(self, box: Box) -> Image:
        """Pixels of a box (x0, y0, x1, y1), uint8 RGB; a box outside the image is an error."""
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= self.width and 0 <= y0 < y1 <= self.height):
            raise ValueError(f"{box} does not lie in an image of {self.width}×{self.height} px")
        return self.pixels[y0:y1, x0:x1]

    @classmethod
    def open(cls, path: Path, pixel_um: float | None = None) -> Self:
        """Open an image file.

        Args:
            path: the file; its type is read from its content, whatever its name says.
            pixel_um: micrometres per pixel where the user declared them; they win over the file's own.

        Returns:
            The slide; of a file with several images, the first.

        Raises:
            UnreadableImage: not an image, damaged or truncated.
            UnsupportedImage: a format, size or pixel layout that is not accepted.
        """
        kind, found_um = _inspect(path)
        pixels, notices = _read_tiff(path) if kind == "TIFF" else _read_pillow(path)
        source = "metadata" if found_um else "unknown"
        scale, origin = (pixel_um, "declared") if pixel_um is not None else (found_um, source)
        height, width = pixels.shape[:2]
        return cls(path, width, height, scale, origin, notices, pixels)


def _inspect(path: Path) -> tuple[str, float | None]:
    """Check type and size from the header alone, before any pixel is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
            with PillowImage.open(path) as opened:
                kind, size, found_um = str(opened.format), opened.size, _pixel_um(opened)
    except PillowImage.DecompressionBombError as error:
        raise _too_large() from error
    except UnidentifiedImageError as error:
        if tiff_size := _tiff_size(path):
            kind, size, found_um = "TIFF", tiff_size, None
        else:
            raise _damaged() from error
    except (OSError, ValueError, SyntaxError) as error:
        raise _damaged() from error
    if kind not in FORMATS:
        text = f"{kind} images are not accepted. Export it again as JPEG, PNG, BMP, TIFF or WebP."
        raise UnsupportedImage(text)
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large()
    if min(size) < MIN_SIDE:
        text = f"The image is {size[0]}×{size[1]} px; at least {MIN_SIDE}×{MIN_SIDE} px are needed."
        raise UnsupportedImage(text, code="too_small")
    return kind, found_um


def _tiff_size(path: Path) -> tuple[int, int] | None:
    """Size of a TIFF whose pixel layout Pillow does not know, such as 16-bit RGB; None if no TIFF."""
    try:
        with tifffile.TiffFile(path) as opened:
            page = opened.pages.first
            return int(page.imagewidth), int(page.imagelength)
    except (tifffile.TiffFileError, ValueError, IndexError):
        return None


def _pixel_um(opened: PillowImage.Image) -> float | None:
    """Micrometres per pixel from the file's resolution, when it can be a microscope's."""
    dpi = opened.info.get("dpi")
    if not dpi or not float(dpi[0]) > 0:
        return None
    value = 25_400 / float(dpi[0])
    return value if PLAUSIBLE_PIXEL_UM[0] <= value <= PLAUSIBLE_PIXEL_UM[1] else None


def _read_pillow(path: Path) -> tuple[Image, tuple[Notice, ...]]:
    # Other libraries (WeasyPrint) switch this on for the whole process: a cut-off file would pass as grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
            with PillowImage.open(path) as opened:
                frames = getattr(opened, "n_frames", 1)
                opened.load()
                upright = ImageOps.exif_transpose(opened)
                pixels, notices = _as_rgb(upright)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise _damaged() from error
    return pixels, (*notices, *_frame_notices(frames))


def _frame_notices(frames: int) -> tuple[Notice, ...]:
    if frames <= 1:
        return ()
    text = f"The file holds {frames} images; only the first was analysed."
    return (Notice("first_frame_only", text, Severity.INFO),)


def _as_rgb(opened: PillowImage.Image) -> tuple[Image, tuple[Notice, ...]]:
    mode = opened.mode
    if mode.startswith("I") or mode == "F":
        return _from_array(np.asarray(opened))
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in opened.info:
        return _from_array(np.asarray(opened.convert("RGBA")))
    notices = () if mode == "RGB" else (_converted(f"pixels of mode {mode}"),)
    return np.asarray(opened.convert("RGB"), np.uint8), notices


def _read_tiff(path: Path) -> tuple[Image, tuple[Notice, ...]]:
    """Read the first page through tifffile, or through Pillow where the page needs colour conversion."""
    try:
        with tifffile.TiffFile(path) as opened:
            page, frames = opened.pages.first, len(opened.pages)
            if page.photometric not in (
                tifffile.PHOTOMETRIC.RGB,
                tifffile.PHOTOMETRIC.MINISBLACK,
                tifffile.PHOTOMETRIC.MINISWHITE,
            ):
                return _read_pillow(path)
            pixels, notices = _from_array(_page_array(page))
    except (tifffile.TiffFileError, ValueError, OSError, IndexError, RuntimeError) as error:
        raise _damaged() from error
    return pixels, (*notices, *_frame_notices(frames))


def _page_array(page: Any) -> NDArray[Any]:
    array = np.asarray(page.asarray())
    if array.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        array = np.moveaxis(array, 0, -1)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
    return _upright(array, page.tags.get("Orientation"))


def _upright(array: NDArray[Any], tag: Any) -> NDArray[Any]:
    """Apply the TIFF orientation tag (TIFF 6.0, tag 274)."""
    turn = int(tag.value) if tag is not None else 1
    if turn in (5, 6, 7, 8):
        array = np.swapaxes(array, 0, 1)
    if turn in (2, 3, 6, 7):
        array = array[:, ::-1]
    if turn in (3, 4, 7, 8):
        array = array[::-1]
    return array


def _from_array(array: NDArray[Any]) -> tuple[Image, tuple[Notice, ...]]:
    """Grey, RGB or RGBA of 8 or 16 bits to uint8 RGB."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise UnsupportedImage("The image has an unusual number of channels. Hand in grey, RGB or RGBA.")
    shallow, depth = _eight_bits(array)
    colours, alpha = (shallow, None) if array.shape[2] in (1, 3) else (shallow[..., :-1], shallow[..., -1:])
    grey = colours.shape[2] == 1
    if grey:
        colours = np.repeat(colours, 3, axis=2)
    if alpha is not None:
        weight = alpha.astype(np.float32) / 255
        colours = np.rint(colours * weight + 255 * (1 - weight)).astype(np.uint8)
    plain = array.dtype == np.uint8 and not grey
    kind = f"{depth}-bit {'grey' if grey else 'colour'} pixels"
    return np.ascontiguousarray(colours), () if plain else (_converted(kind),)


def _eight_bits(array: NDArray[Any]) -> tuple[Image, int]:
    """The array at 8 bits and the depth it had: the least of 8, 10, 12, 14 and 16 bits that holds its
    brightest pixel."""
    if array.dtype == np.uint8:
        return array, 8
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255, 1
    if array.dtype.kind not in "ui" or int(array.max()) > 65_535 or int(array.min()) < 0:
        raise UnsupportedImage("The image holds values that are not 8 or 16 bits per channel.")
    bits = next(bits for bits in (8, 10, 12, 14, 16) if int(array.max()) < 2**bits)
    return np.rint(array.astype(np.float32) * (255 / (2**bits - 1))).astype(np.uint8), bits


def _converted(kind: str) -> Notice:
    return Notice("colour_converted", f"The file holds {kind}; they were converted to RGB.", Severity.INFO)


def _damaged() -> UnreadableImage:
    text = "The file is damaged, cut off, or not an image. Export it again and hand it in as JPEG, PNG, BMP, "
    return UnreadableImage(text + "TIFF or WebP.")


def _too_large() -> UnsupportedImage:
    text = f"The image is too large: at most {MAX_PIXELS // 1_000_000} megapixels are accepted."
    return UnsupportedImage(text, code="too_large")
