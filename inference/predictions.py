"""One cell image, answered while the caller waits: a worker predicts, the broker carries the answer."""

import base64
import json
from typing import Any
from uuid import uuid4

from celery import current_app
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from cases import uploads

PREDICT_TASK = "inference.tasks.predict_cell"
WAIT_SECONDS = 20
MAX_BYTES = 8 * 1024 * 1024
MAX_PIXELS = 12_600_000
"""A usual photograph of 12 megapixels, 4032×3024, has a few more."""
"""A photograph through an eyepiece. A larger image is a field, and takes longer than anybody waits here."""


class PredictionRefused(Exception):
    """The image was not accepted, or nothing could be predicted from it; the text is for the person."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class PredictionUnavailable(PredictionRefused):
    """No worker answered in time, or the worker has no network to ask."""


class PredictionFailed(PredictionRefused):
    """The worker came upon a fault of the program, which is not the image's."""


FAILURES = {"internal_error": PredictionFailed, "network_unavailable": PredictionUnavailable}
"""What a worker's error is when it is not about the image."""


def predict(actor: User, file: UploadedFile) -> dict[str, Any]:
    """What the network calls the cell nearest the centre of an image.

    Raises UploadRefused or PredictionRefused for the image, PredictionUnavailable when no worker answers, and
    PredictionFailed for a fault of the program.
    """
    require(actor, Verb.SMEAR_UPLOAD)
    if (file.size or 0) > MAX_BYTES:
        raise PredictionRefused("too_large", _("An image of a single cell has at most 8 MB."))
    examined = uploads.examine(file)
    _refuse_field(examined.width, examined.height)
    file.seek(0)
    answer = _ask_worker(base64.b64encode(file.read()).decode(), examined.suffix)
    if error := answer.get("error"):
        raise FAILURES.get(error["code"], PredictionRefused)(error["code"], error["message"])
    audit.record(actor, "cell.predict", sha256=examined.sha256, label=answer["class"])
    return answer


def _refuse_field(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        text = _(
            "The image has %(width)d × %(height)d pixels; an image of a single cell has at most %(limit)d"
            " megapixels. Cut the cell out, or hand the image in as a smear of a case."
        )
        facts = {"width": width, "height": height, "limit": MAX_PIXELS // 1_000_000}
        raise PredictionRefused("too_large", text % facts)


def _ask_worker(image: str, suffix: str) -> dict[str, Any]:
    """Celery's own result store gives up for good once its Redis was away, so the answer is a plain list."""
    place = f"wbc:answer:{uuid4()}"
    try:
        current_app.send_task(PREDICT_TASK, args=[place, image, suffix], expires=WAIT_SECONDS)
        with _redis() as redis:
            came = redis.blpop([place], timeout=WAIT_SECONDS)
    except (OperationalError, RedisError) as error:
        raise _unavailable() from error
    if came is None:
        raise _unavailable()
    answer: dict[str, Any] = json.loads(came[1])
    return answer


def _unavailable() -> PredictionUnavailable:
    text = _("No worker answered within %(n)d seconds. Try again in a minute.") % {"n": WAIT_SECONDS}
    return PredictionUnavailable("worker_unavailable", text)


def answer(place: str, content: dict[str, Any]) -> None:
    """The worker's word to the caller who waits; it is dropped when nobody fetches it."""
    with _redis() as redis, redis.pipeline() as together:
        together.rpush(place, json.dumps(content))
        together.expire(place, WAIT_SECONDS)
        together.execute()


def _redis() -> Redis:
    """The broker itself, which is always a Redis."""
    url = settings.CELERY_BROKER_URL.replace("redis+socket://", "unix://", 1)
    return Redis.from_url(url, socket_connect_timeout=2, socket_timeout=WAIT_SECONDS + 5)
