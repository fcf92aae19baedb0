"""What can happen to the staging of a smear."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.notifications import Event, Kind
from accounts.permissions import Verb, require
from accounts.types import User
from cases import services as cases
from inference import stage_records
from inference.claims import Queue
from inference.models import AnalysisRun, StageCall
from inference.pipeline.findings import Staging

Status = StageCall.Status

STAGE_TASK = "inference.tasks.stage_smear"
QUEUE = Queue(StageCall, STAGE_TASK, "run__smear__case")


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
        QUEUE.send_on_commit(call.pk)


def discard_unfinished(case_id: UUID) -> None:
    """Forget what has not been staged yet; what the machine has said stays as it is."""
    StageCall.objects.filter(run__smear__case_id=case_id).exclude(status=Status.DONE).delete()


def save(call_id: int, token: UUID, staging: Staging) -> None:
    """running → done. Raises HoldLost when the hold is over."""
    call = QUEUE.held(call_id, token)
    found = stage_records.columns(staging)
    with transaction.atomic():
        QUEUE.update_held(call_id, token, status=Status.DONE, finished_at=timezone.now(), **found)
        audit.record(None, "staging.done", call.run, fields=len(staging.fields), attempts=call.attempts)


def fail(call_id: int, token: UUID, code: str, message: str) -> None:
    """running → failed with a sentence for the user. Raises HoldLost when the hold is over."""
    call = QUEUE.held(call_id, token)
    with transaction.atomic():
        QUEUE.fail(call_id, token, code, message)
        audit.record(None, "staging.failed", call.run, audit.FAILED, code=code, attempts=call.attempts)
        _tell_failed(call)


def retry(actor: User, run: AnalysisRun) -> None:
    """failed → queued. Raises StagingConflict when the staging of this run has not failed."""
    require(actor, Verb.RUN_RETRY, run)
    with transaction.atomic():
        call = StageCall.objects.filter(run=run).first()
        if call is None or not QUEUE.retry(call.pk):
            raise StagingConflict(_("This staging has not failed, so there is nothing to repeat."))
        audit.record(actor, "staging.retry", run)


def sweep() -> None:
    """Take up what a dead worker or a broker that was down left behind."""
    QUEUE.sweep(_take_up)


def _take_up(call: StageCall) -> None:
    text = _("The staging was interrupted %(n)d times and was given up. Repeat it later, or withdraw it.")
    with transaction.atomic():
        if became := QUEUE.take_up(call, text % {"n": call.attempts}):
            outcome = audit.FAILED if became == Status.FAILED else audit.DONE
            audit.record(
                None, f"staging.{became}", call.run, outcome, code="worker_lost", attempts=call.attempts
            )
            if became == Status.FAILED:
                _tell_failed(call)


def _tell_failed(call: StageCall) -> None:
    """Once for each time it was queued: one that is repeated can fail again."""
    key = f"{call.pk}:{call.queued_at.isoformat()}"
    cases.tell_author(Event(Kind.STAGING_FAILED, call.run.smear.case, key))
