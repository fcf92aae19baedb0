"""Work that waits for a worker: a row is queued, claimed, and then done or failed. The row is the truth:
every step is a compare-and-swap on it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar
from uuid import UUID, uuid4

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from inference.models import QueuedWork

logger = logging.getLogger(__name__)
Status = QueuedWork.Status

RESEND_AFTER_SECONDS = 60

Row = TypeVar("Row", bound=QueuedWork)
Key = UUID | str | int


class HoldLost(Exception):
    """This worker's hold on a row is over: another one has it, it has ended, or it was withdrawn."""


@dataclass(frozen=True)
class Queue(Generic[Row]):
    """The rows of one model and the task that works on one of them.

    A row that a worker holds comes with what `related` names; the columns of `fresh` begin anew whenever a
    row is queued or claimed.
    """

    model: type[Row]
    task: str
    related: str
    fresh: Mapping[str, object] = field(default_factory=dict)

    def send_on_commit(self, key: Key) -> None:
        transaction.on_commit(lambda: self.send(key))

    def send(self, key: Key) -> bool:
        """Hand a queued row to the broker. A broker that is down is logged: the sweeper sends it later."""
        try:
            current_app.send_task(self.task, args=[key if isinstance(key, int) else str(key)])
        except BrokerError as error:
            name = self.model.__name__
            logger.warning("The broker does not answer; %s %s waits for the sweeper: %s", name, key, error)
            return False
        self._rows(pk=key).update(sent_at=timezone.now())
        return True

    def claim(self, key: Key) -> UUID | None:
        """queued → running: the worker's hold on a row, or None when there is nothing left to do."""
        token, now = uuid4(), timezone.now()
        won = self._rows(pk=key, status=Status.QUEUED).update(
            status=Status.RUNNING,
            claim_token=token,
            attempts=F("attempts") + 1,
            started_at=now,
            heartbeat_at=now,
            **self.fresh,
        )
        return token if won else None

    def held(self, key: Key, token: UUID) -> Row:
        """The row with what belongs to it. Raises HoldLost when the token no longer holds it."""
        row = self._rows(pk=key, claim_token=token).select_related(self.related).first()
        if row is None:
            raise HoldLost(str(key))
        return row

    def update_held(self, key: Key, token: UUID, **columns: object) -> None:
        """Write columns of a row. Raises HoldLost when the token no longer holds it."""
        if not self._rows(pk=key, status=Status.RUNNING, claim_token=token).update(**columns):
            raise HoldLost(str(key))

    def beat(self, key: Key, token: UUID) -> None:
        """Say that the worker is alive. Raises HoldLost when it no longer holds the row."""
        self.update_held(key, token, heartbeat_at=timezone.now())

    def fail(self, key: Key, token: UUID, code: str, message: str) -> None:
        """running → failed with a sentence for the user. Raises HoldLost when the hold is over."""
        self.update_held(key, token, **_failed(code, message))

    def retry(self, key: Key) -> bool:
        """failed → queued, to be sent on commit; false when the row has not failed."""
        columns = {"attempts": 0, "error_code": "", "error_message": "", "finished_at": None}
        again = self._rows(pk=key, status=Status.FAILED).update(**self._queued(), **columns)
        if again:
            self.send_on_commit(key)
        return bool(again)

    def take_up(self, row: Row, given_up: str) -> str:
        """running, but its heart stopped → queued again or, when that has happened too often, failed with a
        sentence for the user.

        Returns "requeued" or "failed", nothing when the heart beats again or somebody else was faster.
        """
        fails = row.attempts >= settings.RUN_MAX_ATTEMPTS
        as_seen = {"claim_token": row.claim_token, "heartbeat_at": row.heartbeat_at}
        columns = _failed("worker_lost", given_up) if fails else self._queued()
        if not self._rows(pk=row.pk, status=Status.RUNNING, **as_seen).update(**columns):
            return ""
        return "failed" if fails else "requeued"

    def sweep(self, take_up: Callable[[Row], None]) -> None:
        """Take up what a dead worker left behind, and send what a broker that was down did not take."""
        now = timezone.now()
        lost = Q(heartbeat_at__lt=now - timedelta(seconds=settings.RUN_LOST_AFTER_SECONDS))
        for row in self._rows(lost, status=Status.RUNNING).select_related(self.related):
            take_up(row)
        unsent = Q(sent_at=None) | Q(sent_at__lt=now - timedelta(seconds=RESEND_AFTER_SECONDS))
        for key in self._rows(unsent, status=Status.QUEUED).values_list("pk", flat=True):
            if not self.send(key):
                break

    def _rows(self, *conditions: Q, **columns: object) -> QuerySet[Row]:
        return self.model._default_manager.filter(*conditions, **columns)

    def _queued(self) -> dict[str, object]:
        return {
            "status": Status.QUEUED,
            "queued_at": timezone.now(),
            "sent_at": None,
            "claim_token": None,
            "heartbeat_at": None,
            **self.fresh,
        }


def _failed(code: str, message: str) -> dict[str, object]:
    return {
        "status": Status.FAILED,
        "error_code": code,
        "error_message": message,
        "finished_at": timezone.now(),
    }
