"""Pixels as files store them, to 8-bit RGB in the colours of sRGB."""

import io
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageCms

from inference.pipeline.errors import UnsupportedImage
from inference.pipeline.findings import Image, Notice, Severity

BAND_PIXELS = 4_000_000
"""So many pixels are converted at a time, so that what lies between stays small beside the image."""

DEPTHS = (8, 10, 12, 14, 16)


class Model(StrEnum):
    """What the channels of a pixel stand for."""

    GREY = "grey"
    RGB = "colour"
    CMYK = "CMYK"


MODES = {Model.GREY: "L", Model.RGB: "RGB", Model.CMYK: "CMYK"}
SPACES = {Model.GREY: "GRAY", Model.RGB: "RGB", Model.CMYK: "CMYK"}
CHANNELS = {Model.GREY: 1, Model.RGB: 3, Model.CMYK: 4}


@dataclass(frozen=True, slots=True)
class Stored:
    """How a file stores its pixels: as what, at how many bits per channel (1–16), with which ICC profile, if
    any; whether 0 is white, whether the alpha channel is already multiplied into the others, and whether the
    colours were looked up in a palette."""

    model: Model
    bits: int = 8
    profile: bytes | None = None
    inverted: bool = False
    premultiplied: bool = False
    palette: bool = False


class Colours:
    """Converts arrays of stored pixels to uint8 RGB; safe to call from several threads.

    In this order: to 8 bits; to sRGB by the ICC profile (littleCMS, the profile's default intent), or where
    there is none by copying grey to three channels and by R = (1 - C)(1 - K) from CMYK; onto white by the
    alpha channel. A profile made for another colour model than the pixels', or one that cannot be read, is
    left out.
    """

    def __init__(self, stored: Stored) -> None:
        self._stored, self._model = stored, stored.model
        self._table = _eight_bit_table(stored.bits, stored.inverted)
        self._transform, self.notices = _transform(stored)
        if stored.model is not Model.RGB or stored.bits != 8 or stored.palette:
            name = "palette" if stored.palette else stored.model.value
            text = f"The file holds {stored.bits}-bit {name} pixels; they were converted to RGB."
            self.notices = (Notice("colour_converted", text, Severity.INFO), *self.notices)

    def __call__(self, array: NDArray[Any]) -> Image:
        """Convert an array (height, width) or (height, width, channels), alpha last if there is one; bool,
        uint8, or an integer type that holds no more than the stored bits."""
        array = array[..., None] if array.ndim == 2 else array
        if self._is_plain(array):
            return np.ascontiguousarray(array)
        height, width = array.shape[:2]
        rows = max(1, BAND_PIXELS // width)
        converted = np.empty((height, width, 3), np.uint8)
        for top in range(0, height, rows):
            converted[top : top + rows] = self._converted(array[top : top + rows])
        return converted

    def _is_plain(self, array: NDArray[Any]) -> bool:
        rgb = self._model is Model.RGB and array.shape[2] == 3
        return rgb and self._is_shallow(array) and self._transform is None

    def _is_shallow(self, array: NDArray[Any]) -> bool:
        return array.dtype == np.uint8 and self._stored.bits == 8 and not self._stored.inverted

    def _converted(self, array: NDArray[Any]) -> Image:
        shallow = array if self._is_shallow(array) else self._table[array.astype(np.uint16)]
        channels = CHANNELS[self._model]
        colours, alpha = self._to_rgb(shallow[..., :channels]), shallow[..., channels:]
        if not alpha.size or alpha.min() == 255:
            return colours
        if self._stored.premultiplied:
            return np.asarray(colours + np.minimum(255 - alpha, 255 - colours), np.uint8)
        faded = (255 - colours).astype(np.uint16) * alpha
        return np.asarray(255 - (faded + 127) // 255, np.uint8)

    def _to_rgb(self, colours: Image) -> Image:
        if self._transform is not None:
            return _applied(self._transform, colours, self._model)
        if self._model is Model.GREY:
            return np.repeat(colours, 3, axis=2)
        if self._model is Model.CMYK:
            light = (255 - colours[..., :3]).astype(np.uint16) * (255 - colours[..., 3:])
            return np.asarray((light + 127) // 255, np.uint8)
        return colours


def depth_of(brightest: int, dtype: np.dtype[Any]) -> int:
    """The bits per channel that are in use: 16-bit files often hold 10, 12 or 14.

    Takes the highest value in the image; raises UnsupportedImage for what is not up to 16 bits, unsigned.
    """
    if dtype == np.bool_:
        return 1
    if dtype == np.uint8:
        return 8
    if dtype.kind not in "ui" or not 0 <= brightest < 2**16:
        raise UnsupportedImage("The image holds values that are not 8 or 16 bits per channel.")
    return next(bits for bits in DEPTHS if brightest < 2**bits)


@cache
def _eight_bit_table(bits: int, inverted: bool) -> NDArray[np.uint8]:
    """The 8-bit value of every stored one, rounded; what exceeds the depth is the highest."""
    top = 2**bits - 1
    values = np.arange(2**16, dtype=np.float64).clip(max=top)
    return np.asarray(np.rint((top - values if inverted else values) * (255 / top)), np.uint8)


def _transform(stored: Stored) -> tuple[Any, tuple[Notice, ...]]:
    """The way from the profile's colours to sRGB; None where nothing is to be done."""
    if stored.profile is None:
        return None, ()
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(stored.profile))
        if profile.profile.xcolor_space.strip() != SPACES[stored.model]:
            return None, ()
        target, mode = ImageCms.createProfile("sRGB"), MODES[stored.model]
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(profile))
        transform = ImageCms.buildTransform(profile, target, mode, "RGB", intent)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        text = "The colour profile in the file cannot be read; its colours were taken for sRGB."
        return None, (Notice("colour_profile_unreadable", text, Severity.INFO),)
    if stored.model is Model.RGB and _changes_nothing(transform):
        return None, ()
    name = (profile.profile.profile_description or "without a name").strip()
    text = f"The colours were converted to sRGB from the file's colour profile ({name})."
    return transform, (Notice("colour_profile", text, Severity.INFO),)


def _changes_nothing(transform: Any) -> bool:
    """Whether a profile is sRGB by another name: no colour of a grid moves by more than rounding."""
    steps = np.linspace(0, 255, 18).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(len(steps), -1, 3)
    moved = _applied(transform, grid, Model.RGB).astype(np.int16) - grid
    return int(np.abs(moved).max()) <= 1


def _applied(transform: Any, colours: Image, model: Model) -> Image:
    height, width = colours.shape[:2]
    raw = np.ascontiguousarray(colours)
    stored = PillowImage.frombuffer(MODES[model], (width, height), raw, "raw", MODES[model], 0, 1)
    return np.asarray(ImageCms.applyTransform(stored, transform), np.uint8)
