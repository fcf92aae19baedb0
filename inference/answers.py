"""What a caller waits for: a worker computes it, the broker carries the answer."""

import json
from typing import Any
from uuid import uuid4

from celery import current_app
from django.conf import settings
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

WAIT_SECONDS = 20


class Refused(Exception):
    """What was asked for cannot be had, for a reason in what was asked; the text is for the person."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Unavailable(Refused):
    """No worker answered in time, or the worker has no network to ask."""


class Failed(Refused):
    """The worker came upon a fault of the program."""


FAILURES = {"internal_error": Failed, "network_unavailable": Unavailable}
"""What a worker's error is when it is not about what was asked."""


def ask(task: str, *arguments: object) -> dict[str, Any]:
    """Have a worker run a task, which gets the place for its answer before the arguments, and wait.

    Raises Refused with what the worker says against it, Unavailable when none answers, and Failed for a fault
    of the program.
    """
    answer = _answer_of(task, arguments)
    if error := answer.get("error"):
        raise FAILURES.get(error["code"], Refused)(error["code"], error["message"])
    return answer


def _answer_of(task: str, arguments: tuple[object, ...]) -> dict[str, Any]:
    """Celery's own result store gives up for good once its Redis was away, so the answer is a plain list."""
    place = f"wbc:answer:{uuid4()}"
    try:
        current_app.send_task(task, args=[place, *arguments], expires=WAIT_SECONDS)
        with _redis() as redis:
            came = redis.blpop([place], timeout=WAIT_SECONDS)
    except (OperationalError, RedisError) as error:
        raise _unavailable() from error
    if came is None:
        raise _unavailable()
    answer: dict[str, Any] = json.loads(came[1])
    return answer


def _unavailable() -> Unavailable:
    text = _("No worker answered within %(n)d seconds. Try again in a minute.") % {"n": WAIT_SECONDS}
    return Unavailable("worker_unavailable", text)


def give(place: str, content: dict[str, Any]) -> None:
    """The worker's word to the caller who waits; it is dropped when nobody fetches it."""
    with _redis() as redis, redis.pipeline() as together:
        together.rpush(place, json.dumps(content))
        together.expire(place, WAIT_SECONDS)
        together.execute()


def _redis() -> Redis:
    """The broker itself, which is always a Redis."""
    url = settings.CELERY_BROKER_URL.replace("redis+socket://", "unix://", 1)
    return Redis.from_url(url, socket_connect_timeout=2, socket_timeout=WAIT_SECONDS + 5)
