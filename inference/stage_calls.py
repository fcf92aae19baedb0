"""What can happen to the staging of a smear. Its row is the truth: every step is a compare-and-swap on it."""

import logging
from datetime import timedelta
from uuid import UUID, uuid4

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError as BrokerError

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from inference import stage_records
from inference.models import AnalysisRun, StageCall
from inference.pipeline.findings import Staging

logger = logging.getLogger(__name__)
Status = StageCall.Status

RESEND_AFTER_SECONDS = 60
STAGE_TASK = "inference.tasks.stage_smear"


class StagingLost(Exception):
    """This worker's hold on the staging is over: another one has it, it has ended, or it was withdrawn."""


class StagingConflict(Exception):
    """The staging is not in the state that was asked for; the text is for the person."""

    code = "staging_conflict"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def conclude(run: AnalysisRun, requested: bool, staging: Staging | None) -> None:
    """What becomes of the staging when an analysis ends, inside its transaction and with the case locked.

    It is kept where it is still requested, and queued where that happened after the analysis had begun.
    """
    if not requested:
        return
    if staging is None:
        queue(run)
    else:
        now = timezone.now()
        found = stage_records.columns(staging)
        StageCall.objects.create(run=run, status=Status.DONE, started_at=now, finished_at=now, **found)
        audit.record(None, "staging.done", run, fields=len(staging.fields), attempts=run.attempts)


def queue(run: AnalysisRun) -> None:
    """Have a finished run staged; one that was staged before, or is about to be, is left as it is."""
    call, made = StageCall.objects.get_or_create(run=run)
    if made:
        _send_on_commit(call)


def discard_unfinished(case_id: UUID) -> None:
    """Forget what has not been staged yet; what the machine has said stays as it is."""
    StageCall.objects.filter(run__smear__case_id=case_id).exclude(status=Status.DONE).delete()


def _send_on_commit(call: StageCall) -> None:
    transaction.on_commit(lambda: send(call.pk))


def send(call_id: int) -> bool:
    """Hand a queued staging to the broker. A broker that is down is logged: the sweeper sends it later."""
    try:
        current_app.send_task(STAGE_TASK, args=[call_id])
    except BrokerError as error:
        logger.warning("The broker does not answer; staging %s waits for the sweeper: %s", call_id, error)
        return False
    StageCall.objects.filter(pk=call_id).update(sent_at=timezone.now())
    return True


def claim(call_id: int) -> UUID | None:
    """queued → running: the worker's hold on the staging, or None when there is nothing left to do."""
    token, now = uuid4(), timezone.now()
    won = StageCall.objects.filter(pk=call_id, status=Status.QUEUED).update(
        status=Status.RUNNING,
        claim_token=token,
        attempts=F("attempts") + 1,
        started_at=now,
        heartbeat_at=now,
    )
    return token if won else None


def held(call_id: int, token: UUID) -> StageCall:
    """The staging with its run, smear and case. Raises StagingLost when the token no longer holds it."""
    try:
        return StageCall.objects.select_related("run__smear__case").get(pk=call_id, claim_token=token)
    except StageCall.DoesNotExist as error:
        raise StagingLost(str(call_id)) from error


def _update_held(call_id: int, token: UUID, **columns: object) -> None:
    hold = StageCall.objects.filter(pk=call_id, status=Status.RUNNING, claim_token=token)
    if not hold.update(**columns):
        raise StagingLost(str(call_id))


def beat(call_id: int, token: UUID) -> None:
    """Say that the worker is alive. Raises StagingLost when it no longer holds the staging."""
    _update_held(call_id, token, heartbeat_at=timezone.now())


def save(call_id: int, token: UUID, staging: Staging) -> None:
    """running → done. Raises StagingLost when the hold is over."""
    call = held(call_id, token)
    found = stage_records.columns(staging)
    with transaction.atomic():
        _update_held(call_id, token, status=Status.DONE, finished_at=timezone.now(), **found)
        audit.record(None, "staging.done", call.run, fields=len(staging.fields), attempts=call.attempts)


def fail(call_id: int, token: UUID, code: str, message: str) -> None:
    """running → failed with a sentence for the user. Raises StagingLost when the hold is over."""
    call = held(call_id, token)
    with transaction.atomic():
        _update_held(call_id, token, **_failed_columns(code, message))
        audit.record(None, "staging.failed", call.run, audit.FAILED, code=code, attempts=call.attempts)


def _failed_columns(code: str, message: str) -> dict[str, object]:
    return {
        "status": Status.FAILED,
        "error_code": code,
        "error_message": message,
        "finished_at": timezone.now(),
    }


def retry(actor: User, run: AnalysisRun) -> None:
    """failed → queued. Raises StagingConflict when the staging of this run has not failed."""
    require(actor, Verb.RUN_RETRY, run)
    with transaction.atomic():
        failed = StageCall.objects.filter(run=run, status=Status.FAILED)
        columns = {"attempts": 0, "error_code": "", "error_message": "", "finished_at": None}
        if not failed.update(**_queued_columns(), **columns):
            raise StagingConflict(_("This staging has not failed, so there is nothing to repeat."))
        audit.record(actor, "staging.retry", run)
        _send_on_commit(StageCall.objects.get(run=run))


def _queued_columns() -> dict[str, object]:
    return {
        "status": Status.QUEUED,
        "queued_at": timezone.now(),
        "sent_at": None,
        "claim_token": None,
        "heartbeat_at": None,
    }


def sweep() -> None:
    """Take up what a dead worker or a broker that was down left behind."""
    now = timezone.now()
    lost = Q(heartbeat_at__lt=now - timedelta(seconds=settings.RUN_LOST_AFTER_SECONDS))
    for call in StageCall.objects.select_related("run").filter(lost, status=Status.RUNNING):
        _take_up(call)
    unsent = Q(sent_at=None) | Q(sent_at__lt=now - timedelta(seconds=RESEND_AFTER_SECONDS))
    for call_id in StageCall.objects.filter(unsent, status=Status.QUEUED).values_list("pk", flat=True):
        if not send(call_id):
            break


def _take_up(call: StageCall) -> None:
    """running, but its heart stopped → queued again, or failed when that has happened too often."""
    stopped = StageCall.objects.filter(
        pk=call.pk, status=Status.RUNNING, claim_token=call.claim_token, heartbeat_at=call.heartbeat_at
    )
    give_up = call.attempts >= settings.RUN_MAX_ATTEMPTS
    text = _("The staging was interrupted %(n)d times and was given up. Repeat it later, or withdraw it.")
    columns = _failed_columns("worker_lost", text % {"n": call.attempts}) if give_up else _queued_columns()
    with transaction.atomic():
        if stopped.update(**columns):
            verb, outcome = ("staging.failed", audit.FAILED) if give_up else ("staging.requeued", audit.DONE)
            audit.record(None, verb, call.run, outcome, code="worker_lost", attempts=call.attempts)
