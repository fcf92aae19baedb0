"""One cell image, called while the caller waits."""

import base64
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from cases import uploads
from inference import answers

PREDICT_TASK = "inference.tasks.predict_cell"
MAX_BYTES = 8 * 1024 * 1024
MAX_PIXELS = 12_600_000
"""A photograph through an eyepiece; a usual one of 12 megapixels, 4032×3024, has a few more. A larger image
is a field, and takes longer than anybody waits here."""


def predict(actor: User, file: UploadedFile) -> dict[str, Any]:
    """What the network calls the cell nearest the centre of an image.

    Raises UploadRefused for the image, and what `answers.ask` raises.
    """
    require(actor, Verb.SMEAR_UPLOAD)
    if (file.size or 0) > MAX_BYTES:
        raise answers.Refused("too_large", _("An image of a single cell has at most 8 MB."))
    examined = uploads.examine(file)
    _refuse_field(examined.width, examined.height)
    file.seek(0)
    answer = answers.ask(
        PREDICT_TASK, base64.b64encode(file.read()).decode(), examined.suffix, str(actor.lab_id)
    )
    audit.record(actor, "cell.predict", sha256=examined.sha256, label=answer["class"])
    return answer


def _refuse_field(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        text = _(
            "The image has %(width)d × %(height)d pixels; an image of a single cell has at most %(limit)d"
            " megapixels. Cut the cell out, or hand the image in as a smear of a case."
        )
        facts = {"width": width, "height": height, "limit": MAX_PIXELS // 1_000_000}
        raise answers.Refused("too_large", text % facts)
