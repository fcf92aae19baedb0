"""Is this file an image that can be analysed? The verdict on every upload, and its picture for browsers."""

import hashlib
from dataclasses import dataclass
from pathlib import PurePath

from django.conf import settings
from django.core.files import File
from django.utils.translation import gettext as _

from . import photographs, whole_slides
from .upload_types import SUFFIXES, UploadRefused

__all__ = ["Examined", "UploadRefused", "examine", "preview"]

# The first file of a slide whose pixels lie in others.
IN_PARTS = (".mrxs", ".vms", ".vmu")
START_BYTES = 140


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
    """Says what a file is. Raises UploadRefused.

    Photographs and small slides are decoded whole; of large slides the structure is checked, and that no
    part of the file is missing.
    """
    start = _start_of(file)
    _check_size(file, start)
    _refuse_parts(file)
    seen = (whole_slides if whole_slides.is_slide(start) else photographs).examine(file)
    suffix = _check_name(file, seen.format)
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return Examined(seen.format, suffix, seen.width, seen.height, sha256, file.size)


def preview(file: File) -> bytes:
    """A JPEG of an examined file: upright, 8 bits, on white, in sRGB.

    The same pixels in the same places; made smaller where a side is longer than PREVIEW_MAX_SIDE.
    """
    slide = whole_slides.is_slide(_start_of(file))
    picture = (whole_slides if slide else photographs).preview(file)
    file.seek(0)
    return picture


def _start_of(file: File) -> bytes:
    file.seek(0)
    start = file.read(START_BYTES)
    file.seek(0)
    return bytes(start)


def _check_size(file: File, start: bytes) -> None:
    if not file.size:
        raise UploadRefused("empty", _("The file is empty. Save the image again and hand in that file."))
    slide = whole_slides.is_slide(start)
    limit = settings.SLIDE_MAX_BYTES if slide else settings.UPLOAD_MAX_BYTES
    if file.size > limit:
        text = _("The file has %(size)d MB; at most %(limit)d MB are accepted. Hand in a part of the field.")
        megabyte = 1024 * 1024
        sizes = {"size": -(-file.size // megabyte), "limit": limit // megabyte}
        raise UploadRefused("too_large", text % sizes)


def _suffix_of(file: File) -> str:
    return PurePath(file.name or "").suffix.lower()


def _refuse_parts(file: File) -> None:
    if (suffix := _suffix_of(file)) in IN_PARTS:
        text = _(
            "A “%(suffix)s” slide lies in several files, and this is only the first of them."
            " Export it as one file, such as DICOM or a tiled TIFF."
        )
        raise UploadRefused("in_parts", text % {"suffix": suffix})


def _check_name(file: File, kind: str) -> str:
    """The suffix in lower case. Raises UploadRefused when the name promises another type."""
    suffix = _suffix_of(file)
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
