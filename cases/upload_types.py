"""What a file that was handed in can turn out to be: of an accepted type, or refused."""

from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff", ".btf"),
    "SVS": (".svs", ".tif", ".tiff"),
    "NDPI": (".ndpi",),
    "SCN": (".scn",),
    "BIF": (".bif", ".tif", ".tiff"),
    "CZI": (".czi",),
    "SVSLIDE": (".svslide",),
    "AVS": (".avs",),
    "DICOM": (".dcm", ".dicom"),
}
FORMATS_TEXT = "JPG, PNG, BMP, WebP, TIFF, SVS, NDPI, SCN, BIF, CZI, DICOM"
# A photograph needs at least a byte for a hundred pixels; beyond it is a decompression bomb.
BOMB_PIXELS_PER_BYTE = 100
# The longer side of the picture that browsers get.
PREVIEW_MAX_SIDE = 4096
PREVIEW_QUALITY = 92


class UploadRefused(Exception):
    """The file is not accepted; `text` says what is wrong and what would be right."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Seen:
    """What a file holds: its type, and the width and height of the upright image in pixels."""

    format: str
    width: int
    height: int


def check_smallest(width: int, height: int) -> None:
    """Raises UploadRefused for what is too small to hold a cell."""
    smallest = settings.UPLOAD_MIN_SIDE
    if min(width, height) < smallest:
        text = _(
            "The image has %(width)d × %(height)d pixels; at least %(smallest)d × %(smallest)d are needed,"
            " and a whole field is best."
        )
        facts = {"width": width, "height": height, "smallest": smallest}
        raise UploadRefused("too_small", text % facts)


def several_images(count: int) -> UploadRefused:
    """The refusal of a file that holds more than one field."""
    text = _("The file holds %(count)d images. Hand in one field per file.")
    return UploadRefused("several_images", text % {"count": count})


def corrupt() -> UploadRefused:
    """The refusal of a file that begins as an image and cannot be decoded."""
    text = _("The image is damaged or was cut off on its way. Export it again and hand in that file.")
    return UploadRefused("corrupt", text)
