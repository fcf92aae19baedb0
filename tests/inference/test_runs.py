"""Runs: every step is taken once, by the one who holds the run, or not at all."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import numpy as np
import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.utils import timezone
from PIL import Image

from accounts.models import AuditEvent
from cases.uploads import UploadRefused
from inference import runs
from inference.claims import HoldLost
from inference.models import AnalysisRun, Cell
from inference.pipeline.findings import Coverage, Notice, Outcome, TileState

Status = AnalysisRun.Status


@pytest.fixture
def sent(monkeypatch):
    """The ids of the runs that were handed to the broker."""
    handed = []
    monkeypatch.setattr("celery.current_app.send_task", lambda name, args: handed.append((name, args[0])))
    return handed


def fresh(run):
    return AnalysisRun.objects.get(pk=run.pk)


def stored_files():
    folders, files = ["runs"], []
    while folders:
        folder = folders.pop()
        if not default_storage.exists(folder):
            continue
        inner, names = default_storage.listdir(folder)
        folders += [f"{folder}/{name}" for name in inner]
        files += [f"{folder}/{name}" for name in names]
    return files


def set_back(run, **ages):
    """Make columns of a run look so many seconds old."""
    now = timezone.now()
    columns = {name: now - timedelta(seconds=seconds) for name, seconds in ages.items()}
    AnalysisRun.objects.filter(pk=run.pk).update(**columns)


# --- submit ---------------------------------------------------------------------------------------
def test_submit_queues_and_sends_on_commit(
    clinician, case, field_file, sent, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        run = runs.submit(clinician, case, field_file())
        assert sent == []
    assert sent == [(runs.ANALYSE_TASK, str(run.pk))]
    assert fresh(run).status == Status.QUEUED
    assert fresh(run).sent_at is not None
    case.refresh_from_db()
    assert case.status == case.Status.ANALYSING
    assert AuditEvent.objects.filter(verb="run.queued", actor=clinician, object_id=str(run.pk)).count() == 1


def test_a_broker_that_is_down_loses_nothing(
    clinician, case, field_file, django_capture_on_commit_callbacks, caplog
):
    """The test settings name a broker that does not exist."""
    with django_capture_on_commit_callbacks(execute=True):
        run = runs.submit(clinician, case, field_file())
    assert (fresh(run).status, fresh(run).sent_at) == (Status.QUEUED, None)
    assert "waits for the sweeper" in caplog.text


def test_submit_is_refused_without_the_verb(administrator, case, field_file):
    with pytest.raises(PermissionDenied):
        runs.submit(administrator, case, field_file())
    assert not AnalysisRun.objects.exists()
    assert AuditEvent.objects.filter(verb="smear.upload", outcome="refused", actor=administrator).exists()


def test_the_same_file_twice_is_one_run(clinician, case, field_file, queued_run):
    with pytest.raises(UploadRefused) as refusal:
        runs.submit(clinician, case, field_file())
    assert refusal.value.code == "duplicate"
    assert AnalysisRun.objects.count() == 1


# --- claim, notes ---------------------------------------------------------------------------------
def test_only_one_worker_gets_the_run(queued_run):
    assert runs.QUEUE.claim(queued_run.pk) is not None
    assert runs.QUEUE.claim(queued_run.pk) is None
    assert fresh(queued_run).status == Status.RUNNING
    assert fresh(queued_run).attempts == 1


def test_the_holder_notes_stages_and_beats(queued_run):
    token = runs.QUEUE.claim(queued_run.pk)
    set_back(queued_run, heartbeat_at=15)
    runs.note_stage(queued_run.pk, token, "segmentation", 0.4)
    run = fresh(queued_run)
    assert (run.stage, run.progress) == ("segmentation", 0.4)
    assert timezone.now() - run.heartbeat_at < timedelta(seconds=10)


@pytest.mark.parametrize("step", ["beat", "note", "save", "fail"])
def test_whoever_lost_the_run_writes_no_more(queued_run, findings, step):
    runs.QUEUE.claim(queued_run.pk)
    other = uuid4()
    steps = {
        "beat": lambda: runs.QUEUE.beat(queued_run.pk, other),
        "note": lambda: runs.note_stage(queued_run.pk, other, "stain", 0.1),
        "save": lambda: runs.save(queued_run.pk, other, findings),
        "fail": lambda: runs.fail(queued_run.pk, other, "x", "y"),
    }
    with pytest.raises(HoldLost):
        steps[step]()
    assert fresh(queued_run).status == Status.RUNNING
    assert fresh(queued_run).stage == ""
    assert stored_files() == []


# --- save -----------------------------------------------------------------------------------------
def test_save_keeps_every_cell_and_its_pictures(done_run, findings, case):
    run = fresh(done_run)
    assert (run.status, run.progress, run.width, run.height) == (Status.DONE, 1.0, 640, 480)
    assert run.cells.count() == len(findings.cells)
    assert run.networks == [{"name": "wbc-test", "version": "1.0.0", "sha256": "ab" * 32}]
    blast = run.cells.get(number=7)
    assert (blast.label, blast.kind, blast.needs_review) == ("blast", "WBC", True)
    assert blast.probabilities["blast"] == pytest.approx(0.91)
    with blast.crop.open() as file:
        assert np.array_equal(np.asarray(Image.open(file)), findings.cells[6].crop)
    red = run.cells.get(number=9)
    assert (red.label, red.confidence, bool(red.crop)) == ("", None, False)
    case.refresh_from_db()
    assert case.status == case.Status.REVIEW
    line = AuditEvent.objects.get(verb="run.done")
    assert (line.actor_name, line.detail["cells"]) == ("worker", len(findings.cells))


def test_the_heat_map_is_clear_where_cold_and_opaque_where_hot(done_run):
    with done_run.cells.get(number=8).heatmap.open() as file:
        heat = np.asarray(Image.open(file))
    assert heat.shape == (224, 224, 4)
    assert heat[100, 0, 3] == 0
    assert heat[100, -1, 3] > 200
    lightness = heat[100, :, :3].astype(float) @ (0.299, 0.587, 0.114)
    assert np.all(np.diff(lightness) > -1)


def test_a_save_that_fails_leaves_neither_rows_nor_files(queued_run, findings, monkeypatch):
    token = runs.QUEUE.claim(queued_run.pk)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(runs, "settle_case", broken)
    with pytest.raises(OSError, match="disk full"):
        runs.save(queued_run.pk, token, findings)
    assert Cell.objects.count() == 0
    assert stored_files() == []
    assert fresh(queued_run).status == Status.RUNNING


@pytest.fixture
def three_batches(monkeypatch, findings):
    """So that cells with pictures lie in the first two batches."""
    monkeypatch.setattr(runs, "CELLS_AT_ONCE", 7)
    assert [cell.crop is not None for cell in findings.cells].index(False) == 8


def test_a_save_in_batches_is_whole_and_tells_how_far_it_is(queued_run, findings, three_batches, monkeypatch):
    seen, note = [], runs.note_stage

    def noted(run_id, token, stage, progress):
        seen.append((stage, progress, Cell.objects.count()))
        note(run_id, token, stage, progress)

    monkeypatch.setattr(runs, "note_stage", noted)
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), findings)
    assert [(stage, cells) for stage, _, cells in seen] == [("saving", 0), ("saving", 7), ("saving", 14)]
    assert [progress for _, progress, _ in seen] == sorted({progress for _, progress, _ in seen})
    assert all(runs.ANALYSED <= progress < 1 for _, progress, _ in seen)
    assert list(queued_run.cells.values_list("number", flat=True)) == list(range(1, 20))


def test_a_save_that_fails_in_the_second_batch_takes_the_first_one_back(
    queued_run, findings, three_batches, monkeypatch
):
    token, insert, left = runs.QUEUE.claim(queued_run.pk), Cell.objects.bulk_create, []

    def broken(rows):
        left.append((Cell.objects.count(), len(stored_files())))
        if len(left) == 2:
            raise OSError("disk full")
        return insert(rows)

    monkeypatch.setattr(Cell.objects, "bulk_create", broken)
    with pytest.raises(OSError, match="disk full"):
        runs.save(queued_run.pk, token, findings)
    assert left == [(0, 8), (7, 10)]
    assert Cell.objects.count() == 0
    assert stored_files() == []


def test_what_a_killed_save_left_is_replaced(queued_run, findings, three_batches):
    token = runs.QUEUE.claim(queued_run.pk)
    Cell.objects.bulk_create(runs.records.cell_row(queued_run, cell) for cell in findings.cells[:14])
    runs.save(queued_run.pk, token, findings)
    assert Cell.objects.count() == len(findings.cells)
    assert queued_run.cells.get(number=1).crop


def test_who_loses_the_run_while_saving_leaves_the_new_holders_rows(
    queued_run, findings, three_batches, monkeypatch
):
    """The sweeper gave the run to another, who has begun to save as well."""
    token, make = runs.QUEUE.claim(queued_run.pk), runs.records.cell_row

    def taken_over(run, cell):
        if cell.cell_id == 8:
            AnalysisRun.objects.filter(pk=run.pk).update(claim_token=uuid4())
        return make(run, cell)

    monkeypatch.setattr(runs.records, "cell_row", taken_over)
    with pytest.raises(HoldLost):
        runs.save(queued_run.pk, token, findings)
    assert Cell.objects.count() == 7
    assert stored_files() == []
    assert fresh(queued_run).status == Status.RUNNING


def test_pictures_kept_on_disk_are_fetched_when_they_are_written(queued_run, findings):
    from inference.pipeline.spool import Spool

    spool, cell = Spool(), findings.cells[6]
    explanation = replace(cell.explanation, heatmap=spool.keep(cell.explanation.heatmap))
    kept = replace(cell, crop=spool.keep(cell.crop), explanation=explanation)
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), replace(findings, cells=(kept,)))
    row = queued_run.cells.get()
    with row.crop.open() as file:
        assert np.array_equal(np.asarray(Image.open(file)), cell.crop)
    with row.heatmap.open() as file:
        assert Image.open(file).size == (224, 224)


# --- rows and findings ----------------------------------------------------------------------------
def test_coverage_and_outcome_come_back_from_their_row(queued_run, findings):
    coverage = Coverage(((0, 0, 400, 480), (240, 0, 640, 480)), (TileState.ANALYSED, TileState.BLURRED))
    notice = Notice("low_focus", "The image is out of focus. Focus again and re-scan.")
    quality = replace(findings.quality, clumping=0.4, outcome=Outcome.RESCAN, notices=(notice,))
    found = replace(findings, quality=quality, coverage=coverage)
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), found)
    again = runs.records.findings(fresh(queued_run), (), findings.aggregate)
    assert (again.coverage, again.quality) == (coverage, quality)


def test_an_older_row_has_the_defaults(done_run):
    run = fresh(done_run)
    run.coverage = {}
    run.quality = {key: run.quality[key] for key in ("score", "focus", "stain", "exposure", "coverage")}
    run.quality["notices"] = []
    again = runs.records.findings(run, (), None)
    assert again.coverage == Coverage()
    assert (again.quality.clumping, again.quality.outcome) == (1.0, Outcome.USABLE)


def test_a_finished_run_is_not_saved_again(queued_run, findings):
    token = runs.QUEUE.claim(queued_run.pk)
    runs.save(queued_run.pk, token, findings)
    with pytest.raises(HoldLost):
        runs.save(queued_run.pk, token, findings)
    assert Cell.objects.count() == len(findings.cells)


# --- fail, retry ----------------------------------------------------------------------------------
@pytest.fixture
def failed_run(queued_run):
    runs.fail(queued_run.pk, runs.QUEUE.claim(queued_run.pk), "unusable_smear", "No cell was found.")
    return fresh(queued_run)


def test_a_failure_is_shown_with_its_reason(failed_run, case):
    assert (failed_run.status, failed_run.error_code) == (Status.FAILED, "unusable_smear")
    assert failed_run.error_message == "No cell was found."
    case.refresh_from_db()
    assert case.status == case.Status.ATTENTION
    assert AuditEvent.objects.filter(verb="run.failed", outcome="failed", actor=None).exists()


def test_retry_queues_again_from_the_first_attempt(
    failed_run, clinician, case, sent, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        runs.retry(clinician, failed_run)
    run = fresh(failed_run)
    assert (run.status, run.attempts, run.error_message) == (Status.QUEUED, 0, "")
    assert sent == [(runs.ANALYSE_TASK, str(run.pk))]
    case.refresh_from_db()
    assert case.status == case.Status.ANALYSING


def test_only_a_failed_run_is_repeated(done_run, clinician):
    with pytest.raises(runs.RunConflict):
        runs.retry(clinician, done_run)
    assert fresh(done_run).status == Status.DONE


def test_an_administrator_repeats_nothing(failed_run, administrator):
    with pytest.raises(PermissionDenied):
        runs.retry(administrator, failed_run)
    assert fresh(failed_run).status == Status.FAILED


# --- the sweeper ----------------------------------------------------------------------------------
def test_a_run_whose_heart_stopped_is_queued_again(queued_run, sent, settings):
    token = runs.QUEUE.claim(queued_run.pk)
    set_back(queued_run, heartbeat_at=settings.RUN_LOST_AFTER_SECONDS + 1)
    runs.sweep()
    assert fresh(queued_run).status == Status.QUEUED
    assert sent == [(runs.ANALYSE_TASK, str(queued_run.pk))]
    with pytest.raises(HoldLost):
        runs.QUEUE.beat(queued_run.pk, token)
    assert runs.QUEUE.claim(queued_run.pk) not in (None, token)


def test_a_beating_run_is_left_alone(queued_run, sent):
    runs.QUEUE.claim(queued_run.pk)
    runs.sweep()
    assert fresh(queued_run).status == Status.RUNNING
    assert sent == []


def test_a_run_that_kills_its_workers_is_given_up(queued_run, sent, settings, case):
    for _ in range(settings.RUN_MAX_ATTEMPTS):
        assert runs.QUEUE.claim(queued_run.pk)
        set_back(queued_run, heartbeat_at=settings.RUN_LOST_AFTER_SECONDS + 1)
        runs.sweep()
    run = fresh(queued_run)
    assert (run.status, run.error_code) == (Status.FAILED, "worker_lost")
    assert "3 times" in run.error_message
    assert len(sent) == settings.RUN_MAX_ATTEMPTS - 1
    case.refresh_from_db()
    assert case.status == case.Status.ATTENTION


@pytest.mark.parametrize(("age", "expected"), [(None, 1), (61, 1), (5, 0)])
def test_queued_runs_are_sent_when_they_were_not_or_long_ago(queued_run, sent, age, expected):
    if age is not None:
        set_back(queued_run, sent_at=age)
    runs.sweep()
    assert len(sent) == expected


def test_the_sweeper_stops_at_a_broker_that_is_down(queued_run):
    runs.sweep()
    assert fresh(queued_run).sent_at is None


# --- the case -------------------------------------------------------------------------------------
def test_a_case_is_as_far_as_its_last_smear(done_run, clinician, case, field_file):
    second = runs.submit(clinician, case, field_file("second.png", seed=1))
    case.refresh_from_db()
    assert case.status == case.Status.ANALYSING
    runs.fail(second.pk, runs.QUEUE.claim(second.pk), "unreadable_image", "The file is damaged.")
    case.refresh_from_db()
    assert case.status == case.Status.ATTENTION
