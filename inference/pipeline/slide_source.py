"""What every way of reading an image file has in common: its levels, its limits and its refusals."""

import errno
import math
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Protocol

from inference.pipeline.errors import UnreadableImage, UnsupportedImage
from inference.pipeline.findings import Box, Image, Notice, Severity

MIN_SIDE = 64
MAX_PIXELS = 20_000_000_000
"""A slide of 15 × 15 mm at 0.1 µm per pixel; what claims more is damaged or no smear."""

UNTILED_MAX_PIXELS = 2_500_000_000
"""What is not stored in tiles is unpacked once into a temporary file: 7.5 GB for 50,000 × 50,000 px."""

UNSTREAMED_MAX_PIXELS = 120_000_000
"""What can only be decoded in memory, all at once."""

PLAUSIBLE_PIXEL_UM = (0.02, 5.0)
"""Resolutions outside this range (such as 72 dpi) describe a printout, not a microscope."""

SQUARE_WITHIN = 0.02
"""Axes that differ by less differ by the rounding of resolution tags."""


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a slide: its size in px, and how many level-0 px one of its px is wide."""

    width: int
    height: int
    downsample: float


class Source(Protocol):
    """An opened file. `levels` start at the finest; `pixel_um` is what the file says, if it says so."""

    @property
    def kind(self) -> str:
        """The name of the format."""

    @property
    def levels(self) -> tuple[Level, ...]: ...

    @property
    def pixel_um(self) -> float | None: ...

    @property
    def notices(self) -> tuple[Notice, ...]: ...

    def read(self, level: int, box: Box) -> Image:
        """Pixels of a box in the level's own px, uint8 RGB; safe from several threads at once. Raises
        UnreadableImage where the file is damaged."""

    def close(self) -> None: ...


def check_extent(width: int, height: int) -> None:
    """Refuse an image by its size, before any pixel is decoded."""
    if min(width, height) < MIN_SIDE:
        text = f"The image is {width}×{height} px; at least {MIN_SIDE}×{MIN_SIDE} px are needed."
        raise UnsupportedImage(text, code="too_small")
    if width * height > MAX_PIXELS:
        raise too_large(MAX_PIXELS)


def check_room(needed_bytes: int) -> None:
    """Raise OSError when a temporary file of this size would fill the disk."""
    folder = tempfile.gettempdir()
    if needed_bytes > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)


def scale_of(x_um: float, y_um: float) -> tuple[float | None, tuple[Notice, ...]]:
    """Micrometres per pixel, the geometric mean of both axes, if they can be a microscope's, else None."""
    least, most = PLAUSIBLE_PIXEL_UM
    if not (least <= x_um <= most and least <= y_um <= most):
        return None, ()
    pixel_um = math.sqrt(x_um * y_um)
    if abs(x_um - y_um) <= SQUARE_WITHIN * pixel_um:
        return pixel_um, ()
    text = f"The file's pixels are not square ({x_um:.4g} × {y_um:.4g} µm); cells appear stretched."
    return pixel_um, (Notice("pixels_not_square", text),)


def turned_upright() -> Notice:
    """What is said of an image whose orientation tag was followed."""
    return Notice("turned_upright", "The image was turned as its orientation tag says.", Severity.INFO)


def several_images(count: int) -> tuple[Notice, ...]:
    """What is said of a file with `count` images that are not levels of one."""
    text = f"The file holds {count} images; only the first was analysed."
    return (Notice("first_frame_only", text, Severity.INFO),) if count > 1 else ()


def damaged() -> UnreadableImage:
    """The refusal of a file that cannot be decoded."""
    text = "The file is damaged, cut off, or not an image. Export it again and hand it in as JPEG, PNG, BMP, "
    return UnreadableImage(text + "TIFF, WebP or a slide format such as SVS, NDPI or DICOM.")


def too_large(limit: int, advice: str = "") -> UnsupportedImage:
    """The refusal of a file that is past a limit in pixels."""
    text = f"The image is too large: at most {limit // 1_000_000} megapixels are accepted{advice}."
    return UnsupportedImage(text, code="too_large")
