"""JPEG, PNG, BMP and WebP as they are handed in: decoded whole, by Pillow."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from django.conf import settings
from django.core.files import File
from django.utils.translation import gettext as _
from PIL import Image, ImageCms, ImageFile, ImageOps

from .upload_types import (
    BOMB_PIXELS_PER_BYTE,
    FORMATS_TEXT,
    PREVIEW_MAX_SIDE,
    PREVIEW_QUALITY,
    Seen,
    UploadRefused,
    check_smallest,
    corrupt,
    several_images,
)

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
COLOUR_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
STARTS = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG", "BMP": b"BM"}
# What else people hand in, by the bytes it starts with (offset, bytes).
OTHER_TYPES = {
    "GIF": (0, b"GIF8"),
    "PDF": (0, b"%PDF"),
    "ZIP": (0, b"PK\x03\x04"),
    "HEIC": (4, b"ftyp"),
    "JPEG 2000": (0, b"\x00\x00\x00\x0cjP  "),
}
# What Pillow's decoders raise on damaged data.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def examine(file: File) -> Seen:
    """Decodes the whole file once and says what it is. Raises UploadRefused."""
    with _opened(file) as image:
        kind = _format_of(image)
        _check_extent(image, file.size)
        _check_frames(image)
        return Seen(kind, *_upright(image).size)


def preview(file: File) -> bytes:
    """A JPEG of the upright image on white, in sRGB, its longer side at most PREVIEW_MAX_SIDE."""
    buffer = io.BytesIO()
    with _opened(file) as image:
        shown = _on_white(in_srgb(_upright(image)))
    shown.thumbnail((PREVIEW_MAX_SIDE, PREVIEW_MAX_SIDE), Image.Resampling.LANCZOS)
    shown.save(buffer, "JPEG", quality=PREVIEW_QUALITY, subsampling=0)
    return buffer.getvalue()


def in_srgb(image: Image.Image) -> Image.Image:
    """In the colours its embedded profile stands for; as it is where there is none, or none that fits."""
    raw = image.info.get("icc_profile")
    if not raw or image.mode not in ("L", "RGB", "CMYK"):
        return image
    try:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(raw)), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


@contextmanager
def _opened(file: File) -> Iterator[Image.Image]:
    """The image in the file, not decoded yet; what a decoder raises inside becomes UploadRefused."""
    file.seek(0)
    # Other libraries (WeasyPrint) switch this on for the whole process: a cut-off file would pass as grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(file, formats=FORMATS) as image:
            yield image
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(_("several hundred"), "decompression_bomb") from error
    except DECODER_ERRORS as error:
        raise _not_decoded(file) from error


def _not_decoded(file: File) -> UploadRefused:
    """Why a file could not be decoded, judged by its first bytes."""
    file.seek(0)
    start = file.read(140)
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    if webp or any(start.startswith(magic) for magic in STARTS.values()):
        return corrupt()
    for name, (offset, magic) in OTHER_TYPES.items():
        if start[offset : offset + len(magic)] == magic:
            text = _("This is a %(type)s file. Accepted are %(formats)s.")
            return UploadRefused("unsupported_type", text % {"type": name, "formats": FORMATS_TEXT})
    text = _("This is not an image. Accepted are %(formats)s.") % {"formats": FORMATS_TEXT}
    return UploadRefused("not_an_image", text)


def _format_of(image: Image.Image) -> str:
    # Some cameras append a small preview to the photograph; Pillow calls such a JPEG "MPO".
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    if image.mode in COLOUR_MODES or image.mode.startswith("I;16"):
        return kind
    text = _("The image has an unusual pixel layout (%(mode)s). Export it with 8 or 16 bits per channel.")
    raise UploadRefused("unsupported_type", text % {"mode": image.mode})


def _check_extent(image: Image.Image, size_bytes: int) -> None:
    check_smallest(*image.size)
    pixels = image.width * image.height
    if pixels > settings.UPLOAD_MAX_PIXELS:
        bomb = pixels > BOMB_PIXELS_PER_BYTE * size_bytes
        raise _too_many_pixels(str(pixels // 1_000_000), "decompression_bomb" if bomb else "too_large")


def _too_many_pixels(megapixels: str, code: str) -> UploadRefused:
    text = _(
        "The image would unpack to %(megapixels)s megapixels; at most %(limit)d are accepted in a photograph."
        " Hand in a part of the field, or the whole as a tiled TIFF."
    )
    limits = {"limit": settings.UPLOAD_MAX_PIXELS // 1_000_000, "megapixels": megapixels}
    return UploadRefused(code, text % limits)


def _check_frames(image: Image.Image) -> None:
    """One field a file; an animation is refused."""
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format != "MPO":
        raise several_images(count)


def _upright(image: Image.Image) -> Image.Image:
    """Decoded whole, turned as its EXIF orientation says."""
    image.load()
    return ImageOps.exif_transpose(image)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _eight_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    with_alpha = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), with_alpha).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit containers often hold 10, 12 or 14 bits: scaled by the depth that is really used."""
    values = np.asarray(image)
    depth = next(bits for bits in (8, 10, 12, 14, 16) if int(values.max()) < 2**bits)
    return Image.fromarray((values >> (depth - 8)).astype(np.uint8)).convert("RGB")
