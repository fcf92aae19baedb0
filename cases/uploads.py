"""Is this file an image that can be analysed? The verdict on every upload, and its picture for browsers."""

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from django.conf import settings
from django.core.files import File
from django.utils.translation import gettext as _
from PIL import Image, ImageFile, ImageOps

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
FORMATS_TEXT = "JPG, PNG, BMP, TIFF, WebP"
COLOUR_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"}
# What else people hand in, by the bytes it starts with (offset, bytes).
OTHER_TYPES = {
    "GIF": (0, b"GIF8"),
    "PDF": (0, b"%PDF"),
    "DICOM": (128, b"DICM"),
    "ZIP": (0, b"PK\x03\x04"),
    "HEIC": (4, b"ftyp"),
    "JPEG 2000": (0, b"\x00\x00\x00\x0cjP  "),
}
STARTS = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG",
    "BMP": b"BM",
    "TIFF": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
}
# The longest side a JPEG, and with it the picture shown in the browser, can have.
MAX_SIDE = 65_500
# A photograph needs at least a byte for a hundred pixels; beyond it is a decompression bomb.
BOMB_PIXELS_PER_BYTE = 100
MAX_PAGES = 64
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


class UploadRefused(Exception):
    """The file is not accepted; `text` says what is wrong and what would be right."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Examined:
    """An accepted file. `width` and `height` are those of the upright image, in pixels."""

    format: str
    suffix: str
    width: int
    height: int
    sha256: str
    size_bytes: int


def examine(file: File) -> Examined:
    """Decodes the whole file once and says what it is. Raises UploadRefused."""
    _check_size(file)
    with _opened(file) as image:
        kind = _format_of(image)
        _check_extent(image, file.size)
        suffix = _check_name(file, kind)
        _check_pages(image)
        width, height = _upright(image).size
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return Examined(kind, suffix, width, height, sha256, file.size)


def preview(file: File) -> bytes:
    """A JPEG of an examined file with the same pixels in the same places: upright, 8 bits, on white."""
    buffer = io.BytesIO()
    with _opened(file) as image:
        _on_white(_upright(image)).save(buffer, "JPEG", quality=92, subsampling=0)
    file.seek(0)
    return buffer.getvalue()


def _check_size(file: File) -> None:
    if not file.size:
        raise UploadRefused("empty", _("The file is empty. Save the image again and hand in that file."))
    if file.size > settings.UPLOAD_MAX_BYTES:
        text = _("The file has %(size)d MB; at most %(limit)d MB are accepted. Hand in a part of the field.")
        megabyte = 1024 * 1024
        sizes = {"size": -(-file.size // megabyte), "limit": settings.UPLOAD_MAX_BYTES // megabyte}
        raise UploadRefused("too_large", text % sizes)


@contextmanager
def _opened(file: File) -> Iterator[Image.Image]:
    """The image in the file, not decoded yet; what a decoder raises inside becomes UploadRefused."""
    file.seek(0)
    # Other libraries (WeasyPrint) switch this on for the whole process: a cut-off file would pass as grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(file, formats=list(SUFFIXES)) as image:
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
        text = _("The image is damaged or was cut off on its way. Export it again and hand in that file.")
        return UploadRefused("corrupt", text)
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
    pixels, smallest = image.width * image.height, settings.UPLOAD_MIN_SIDE
    if min(image.size) < smallest:
        text = _(
            "The image has %(width)d × %(height)d pixels; at least %(smallest)d × %(smallest)d are needed,"
            " and a whole field is best."
        )
        facts = {"width": image.width, "height": image.height, "smallest": smallest}
        raise UploadRefused("too_small", text % facts)
    if pixels > settings.UPLOAD_MAX_PIXELS or max(image.size) > MAX_SIDE:
        bomb = pixels > BOMB_PIXELS_PER_BYTE * size_bytes
        raise _too_many_pixels(str(pixels // 1_000_000), "decompression_bomb" if bomb else "too_large")


def _too_many_pixels(megapixels: str, code: str) -> UploadRefused:
    limits = {"limit": settings.UPLOAD_MAX_PIXELS // 1_000_000, "side": MAX_SIDE, "megapixels": megapixels}
    text = _(
        "The image would unpack to %(megapixels)s megapixels; at most %(limit)d, and at most %(side)d pixels"
        " a side, are accepted. Hand in a part of the field."
    )
    return UploadRefused(code, text % limits)


def _check_name(file: File, kind: str) -> str:
    """The suffix in lower case. Raises UploadRefused when the name promises another type."""
    suffix = PurePath(file.name or "").suffix.lower()
    if suffix in SUFFIXES[kind]:
        return suffix
    text = _(
        "The file is named “%(suffix)s”, but holds a %(type)s image."
        " If that is the right image, name it “%(right)s”."
    )
    if not suffix:
        text = _("The file has no type in its name, but holds a %(type)s image. Name it “%(right)s”.")
    facts = {"suffix": suffix, "type": kind, "right": SUFFIXES[kind][0]}
    raise UploadRefused("wrong_type", text % facts)


def _check_pages(image: Image.Image) -> None:
    """One field a file. Smaller further pages (thumbnails, the steps of a pyramid) are no second field."""
    count = getattr(image, "n_frames", 1)
    if count == 1 or image.format == "MPO":
        return
    extent = image.size
    for page in range(1, min(count, MAX_PAGES)):
        image.seek(page)
        if image.size >= extent:
            break
    else:
        image.seek(0)
        if count <= MAX_PAGES:
            return
    text = _("The file holds %(count)d images. Hand in one field per file.")
    raise UploadRefused("several_images", text % {"count": count})


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
