"""What can happen to a run. Its row is the truth: every step is a compare-and-swap on it."""

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from celery import current_app
from django.conf import settings
from django.core.files.base import ContentFile, File
from django.db import transaction
from django.db.models import F, Q
from django.db.models.fields.files import FieldFile
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError as BrokerError

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from cases import services as cases
from inference import pictures, records, stage_calls
from inference.models import AnalysisRun, Cell
from inference.pipeline.findings import Cell as FoundCell
from inference.pipeline.findings import Findings, Image

logger = logging.getLogger(__name__)
Status = AnalysisRun.Status

RESEND_AFTER_SECONDS = 60
ANALYSE_TASK = "inference.tasks.analyse_smear"

SAVING = "saving"
ANALYSED = 0.95
"""The share of a run's progress when its analysis ends; what is left is saving."""
CELLS_AT_ONCE = 200


class RunLost(Exception):
    """This worker's hold on the run is over: another one has it, or it has ended."""


class RunConflict(Exception):
    """The run is not in the state that was asked for; the text is for the person."""

    code = "run_conflict"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def submit(actor: User, case: Any, file: File) -> AnalysisRun:
    """Store a smear and queue its analysis; the task is sent once this has been committed.

    Raises UploadRefused when the file is not accepted.
    """
    with cases.smear_files(actor, case, file) as smear, transaction.atomic():
        cases.add_smear(actor, smear)
        run = AnalysisRun.objects.create(lab=smear.lab, smear=smear, submitted_by=actor)
        audit.record(actor, "run.queued", run)
        settle_case(smear.case_id)
        _send_on_commit(run.pk)
    return run


def _send_on_commit(run_id: UUID) -> None:
    transaction.on_commit(lambda: send(run_id))


def send(run_id: UUID) -> bool:
    """Hand a queued run to the broker. A broker that is down is logged: the sweeper sends it later."""
    try:
        current_app.send_task(ANALYSE_TASK, args=[str(run_id)])
    except BrokerError as error:
        logger.warning("The broker does not answer; run %s waits for the sweeper: %s", run_id, error)
        return False
    AnalysisRun.objects.filter(pk=run_id).update(sent_at=timezone.now())
    return True


def claim(run_id: UUID | str) -> UUID | None:
    """queued → running: the worker's hold on the run, or None when there is nothing left to do."""
    token, now = uuid4(), timezone.now()
    won = AnalysisRun.objects.filter(pk=run_id, status=Status.QUEUED).update(
        status=Status.RUNNING,
        claim_token=token,
        attempts=F("attempts") + 1,
        started_at=now,
        heartbeat_at=now,
        stage="",
        progress=0.0,
    )
    return token if won else None


def held(run_id: UUID | str, token: UUID) -> AnalysisRun:
    """The run with its smear and case. Raises RunLost when the token no longer holds it."""
    try:
        return AnalysisRun.objects.select_related("smear__case").get(pk=run_id, claim_token=token)
    except AnalysisRun.DoesNotExist as error:
        raise RunLost(str(run_id)) from error


def _update_held(run_id: UUID | str, token: UUID, **columns: object) -> None:
    """Raises RunLost when the token no longer holds the run."""
    hold = AnalysisRun.objects.filter(pk=run_id, status=Status.RUNNING, claim_token=token)
    if not hold.update(**columns):
        raise RunLost(str(run_id))


def beat(run_id: UUID | str, token: UUID) -> None:
    """Say that the worker is alive. Raises RunLost when it no longer holds the run."""
    _update_held(run_id, token, heartbeat_at=timezone.now())


def note_stage(run_id: UUID | str, token: UUID, stage: str, progress: float) -> None:
    """Say where the analysis stands, 0–1. Raises RunLost when the worker no longer holds the run."""
    _update_held(run_id, token, stage=stage, progress=progress, heartbeat_at=timezone.now())


def save(run_id: UUID | str, token: UUID, findings: Findings, overlay: Image | None = None) -> None:
    """running → done with everything that was found, or nothing. Raises RunLost when the hold is over.

    `overlay` is the picture of the image with the cells drawn in, uint8 RGB. Cells are written in batches,
    each in a transaction of its own and its pictures before that, so that no lock is held for long. Nobody
    reads them until the run is done; when it does not come to that, all of them are removed again.
    """
    run = held(run_id, token)
    written: list[str] = []
    _remove_cells(run, token)
    try:
        for start in range(0, len(findings.cells), CELLS_AT_ONCE):
            rows = [_row(run, cell, written) for cell in findings.cells[start : start + CELLS_AT_ONCE]]
            with transaction.atomic():
                progress = ANALYSED + (1 - ANALYSED) * start / len(findings.cells)
                note_stage(run.pk, token, SAVING, progress)
                Cell.objects.bulk_create(rows)
        if overlay is not None:
            _keep(run.overlay, pictures.png(overlay), written)
        _finish(run, token, findings)
    except BaseException:
        for name in written:
            run.overlay.storage.delete(name)
        _remove_cells(run, token)
        raise


def _row(run: AnalysisRun, cell: FoundCell, written: list[str]) -> Cell:
    """The row of a cell, not saved, its pictures in storage; `written` gets the name of each at once."""
    row = records.cell_row(run, cell)
    for column, data in records.cell_pictures(cell):
        _keep(getattr(row, column), data, written)
    return row


def _keep(file: FieldFile, data: bytes, written: list[str]) -> None:
    file.save("picture.png", ContentFile(data), save=False)
    written.append(str(file.name))


def _finish(run: AnalysisRun, token: UUID, findings: Findings) -> None:
    with transaction.atomic():
        case = cases.lock_case(run.smear.case_id)
        _update_held(run.pk, token, **_done_columns(run, findings))
        run.status = Status.DONE
        stage_calls.conclude(run, case.staging_requested, findings.staging)
        audit.record(None, "run.done", run, cells=len(findings.cells), attempts=run.attempts)
        settle_case(run.smear.case_id)


def _done_columns(run: AnalysisRun, findings: Findings) -> dict[str, object]:
    return {
        **records.run_columns(findings),
        "status": Status.DONE,
        "progress": 1.0,
        "finished_at": timezone.now(),
        "overlay": run.overlay.name,
    }


def _remove_cells(run: AnalysisRun, token: UUID) -> None:
    """Remove what a save that was cut off left of a run. Raises RunLost when the hold is over."""
    while some := list(run.cells.values_list("pk", flat=True)[:CELLS_AT_ONCE]):
        with transaction.atomic():
            beat(run.pk, token)
            Cell.objects.filter(pk__in=some).delete()


def fail(run_id: UUID | str, token: UUID, code: str, message: str) -> None:
    """running → failed with a sentence for the user. Raises RunLost when the hold is over."""
    run = held(run_id, token)
    with transaction.atomic():
        cases.lock_case(run.smear.case_id)
        _update_held(run_id, token, **_failed_columns(code, message))
        audit.record(None, "run.failed", run, audit.FAILED, code=code, attempts=run.attempts)
        settle_case(run.smear.case_id)


def _failed_columns(code: str, message: str) -> dict[str, object]:
    return {
        "status": Status.FAILED,
        "error_code": code,
        "error_message": message,
        "finished_at": timezone.now(),
    }


def retry(actor: User, run: AnalysisRun) -> None:
    """failed → queued. Raises RunConflict when the run has not failed."""
    require(actor, Verb.RUN_RETRY, run)
    with transaction.atomic():
        cases.lock_case(run.smear.case_id)
        again = AnalysisRun.objects.filter(pk=run.pk, status=Status.FAILED).update(
            **_queued_columns(), attempts=0, error_code="", error_message="", finished_at=None
        )
        if not again:
            raise RunConflict(_("This analysis has not failed, so there is nothing to repeat."))
        audit.record(actor, Verb.RUN_RETRY, run)
        settle_case(run.smear.case_id)
        _send_on_commit(run.pk)


def _queued_columns() -> dict[str, object]:
    return {
        "status": Status.QUEUED,
        "queued_at": timezone.now(),
        "sent_at": None,
        "claim_token": None,
        "heartbeat_at": None,
        "stage": "",
        "progress": 0.0,
    }


def sweep() -> None:
    """Take up what a dead worker or a broker that was down left behind."""
    now = timezone.now()
    lost = Q(heartbeat_at__lt=now - timedelta(seconds=settings.RUN_LOST_AFTER_SECONDS))
    for run in AnalysisRun.objects.select_related("smear").filter(lost, status=Status.RUNNING):
        _take_up(run)
    unsent = Q(sent_at=None) | Q(sent_at__lt=now - timedelta(seconds=RESEND_AFTER_SECONDS))
    for run_id in AnalysisRun.objects.filter(unsent, status=Status.QUEUED).values_list("pk", flat=True):
        if not send(run_id):
            break


def _take_up(run: AnalysisRun) -> None:
    """running, but its heart stopped → queued again, or failed when that has happened too often."""
    stopped = AnalysisRun.objects.filter(
        pk=run.pk, status=Status.RUNNING, claim_token=run.claim_token, heartbeat_at=run.heartbeat_at
    )
    give_up = run.attempts >= settings.RUN_MAX_ATTEMPTS
    text = _(
        "The analysis was interrupted %(n)d times and was given up. The server may have too little memory"
        " for this image: hand in a smaller part of the field, or repeat the analysis later."
    )
    columns = _failed_columns("worker_lost", text % {"n": run.attempts}) if give_up else _queued_columns()
    with transaction.atomic():
        cases.lock_case(run.smear.case_id)
        if not stopped.update(**columns):
            return
        verb, outcome = ("run.failed", audit.FAILED) if give_up else ("run.requeued", audit.DONE)
        audit.record(None, verb, run, outcome, code="worker_lost", attempts=run.attempts)
        settle_case(run.smear.case_id)


def settle_case(case_id: UUID) -> None:
    """Bring a case's status in line with its runs; inside the transaction that changed one of them."""
    case = cases.lock_case(case_id)
    oldest_first = AnalysisRun.objects.filter(smear__case_id=case_id).order_by("queued_at")
    runs = {run.smear_id: run for run in oldest_first}.values()
    states = {run.status for run in runs}
    if states & {Status.QUEUED, Status.RUNNING}:
        status = case.Status.ANALYSING
    elif Status.FAILED in states:
        status = case.Status.ATTENTION
    elif all(run.signed_off_at for run in runs):
        status = case.Status.READY
    else:
        status = case.Status.REVIEW
    cases.set_case_status(case_id, status)
