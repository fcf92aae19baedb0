"""What can happen to a run."""

from typing import Any
from uuid import UUID

from django.core.files.base import ContentFile, File
from django.db import transaction
from django.db.models.fields.files import FieldFile
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.notifications import Event, Kind
from accounts.permissions import Verb, require
from accounts.types import User
from cases import services as cases
from inference import pictures, records, stage_calls, what_matters
from inference.claims import Queue
from inference.models import AnalysisRun, Cell
from inference.pipeline.findings import Cell as FoundCell
from inference.pipeline.findings import Findings, Image

Status = AnalysisRun.Status

ANALYSE_TASK = "inference.tasks.analyse_smear"
QUEUE = Queue(AnalysisRun, ANALYSE_TASK, "smear__case", {"stage": "", "progress": 0.0})

SAVING = "saving"
ANALYSED = 0.95
"""The share of a run's progress when its analysis ends; what is left is saving."""
CELLS_AT_ONCE = 200


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
        QUEUE.send_on_commit(run.pk)
    return run


def note_stage(run_id: UUID | str, token: UUID, stage: str, progress: float) -> None:
    """Say where the analysis stands, 0–1. Raises HoldLost when the worker no longer holds the run."""
    QUEUE.update_held(run_id, token, stage=stage, progress=progress, heartbeat_at=timezone.now())


def save(run_id: UUID | str, token: UUID, findings: Findings, overlay: Image | None = None) -> None:
    """running → done with everything that was found, or nothing. Raises HoldLost when the hold is over.

    `overlay` is the picture of the image with the cells drawn in, uint8 RGB. Cells are written in batches,
    each in a transaction of its own and its pictures before that, so that no lock is held for long. Nobody
    reads them until the run is done; when it does not come to that, all of them are removed again.
    """
    run = QUEUE.held(run_id, token)
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
        QUEUE.update_held(run.pk, token, **_done_columns(run, findings))
        run.status = Status.DONE
        stage_calls.conclude(run, case.staging_requested, findings.staging)
        what_matters.refresh(case.pk)
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
    """Remove what a save that was cut off left of a run. Raises HoldLost when the hold is over."""
    while some := list(run.cells.values_list("pk", flat=True)[:CELLS_AT_ONCE]):
        with transaction.atomic():
            QUEUE.beat(run.pk, token)
            Cell.objects.filter(pk__in=some).delete()


def fail(run_id: UUID | str, token: UUID, code: str, message: str) -> None:
    """running → failed with a sentence for the user. Raises HoldLost when the hold is over."""
    run = QUEUE.held(run_id, token)
    with transaction.atomic():
        cases.lock_case(run.smear.case_id)
        QUEUE.fail(run_id, token, code, message)
        audit.record(None, "run.failed", run, audit.FAILED, code=code, attempts=run.attempts)
        _tell_failed(run)
        settle_case(run.smear.case_id)


def retry(actor: User, run: AnalysisRun) -> None:
    """failed → queued. Raises RunConflict when the run has not failed."""
    require(actor, Verb.RUN_RETRY, run)
    with transaction.atomic():
        cases.lock_case(run.smear.case_id)
        if not QUEUE.retry(run.pk):
            raise RunConflict(_("This analysis has not failed, so there is nothing to repeat."))
        audit.record(actor, Verb.RUN_RETRY, run)
        settle_case(run.smear.case_id)


def sweep() -> None:
    """Take up what a dead worker or a broker that was down left behind."""
    QUEUE.sweep(_take_up)


def _take_up(run: AnalysisRun) -> None:
    text = _(
        "The analysis was interrupted %(n)d times and was given up. The server may have too little memory"
        " for this image: hand in a smaller part of the field, or repeat the analysis later."
    )
    with transaction.atomic():
        cases.lock_case(run.smear.case_id)
        if became := QUEUE.take_up(run, text % {"n": run.attempts}):
            outcome = audit.FAILED if became == Status.FAILED else audit.DONE
            audit.record(None, f"run.{became}", run, outcome, code="worker_lost", attempts=run.attempts)
            if became == Status.FAILED:
                _tell_failed(run)
            settle_case(run.smear.case_id)


def _tell_failed(run: AnalysisRun) -> None:
    """Once for each time it was queued: one that is repeated can fail again."""
    key = f"{run.pk}:{run.queued_at.isoformat()}"
    cases.tell_author(Event(Kind.RUN_FAILED, run.smear.case, key), run.submitted_by)


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
