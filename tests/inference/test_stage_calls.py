"""Staging is run where it was requested and nowhere else, and once."""

import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.permissions import Refused
from cases.models import Case
from cases.services import StagingRefused
from inference import review, runs, selectors, stage_calls, stage_review, staging_requests, tasks
from inference.models import AnalysisRun, StageCall
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.findings import NOT_STAGED, Notice
from inference.stage_records import columns
from inference.stage_records import staging as from_row
from inference.staged import staged
from tests.conftest import field_image
from tests.stagings import abstained, finish, fresh, not_stageable, signed_off, staging

pytestmark = pytest.mark.django_db
Status = StageCall.Status


@pytest.fixture
def stage(monkeypatch):
    """Puts a function in the place of `pipeline.staging.stage`, so that what it says can be chosen."""

    def put(function):
        module = types.ModuleType("inference.pipeline.staging")
        module.stage = function
        monkeypatch.setitem(sys.modules, "inference.pipeline.staging", module)

    return put


# --- requesting -----------------------------------------------------------------------------------
def test_a_laboratory_that_does_not_offer_staging_refuses_it(case, clinician):
    with pytest.raises(StagingRefused, match="does not offer leukemia staging"):
        staging_requests.request(clinician, case)
    assert not Case.objects.get(pk=case.pk).staging_requested
    assert not AuditEvent.objects.filter(verb="staging.request").exists()


def test_a_request_is_noted_once(offered, case, clinician, pathologist):
    staging_requests.request(clinician, case)
    staging_requests.request(pathologist, case)
    row = Case.objects.get(pk=case.pk)
    assert row.staging_requested and row.staging_requested_by == clinician
    assert AuditEvent.objects.filter(verb="staging.request", outcome="done").count() == 1


def test_an_administrator_requests_no_staging(offered, case, administrator):
    with pytest.raises(Refused):
        staging_requests.request(administrator, case)
    with pytest.raises(Refused):
        staging_requests.withdraw(administrator, case)


def test_a_case_that_is_reported_is_not_staged_any_more(offered, case, clinician):
    Case.objects.filter(pk=case.pk).update(status=Case.Status.REPORTED)
    with pytest.raises(StagingRefused, match="has been reported"):
        staging_requests.request(clinician, case)


# --- within the analysis --------------------------------------------------------------------------
def test_the_analysis_is_told_whether_staging_was_requested(
    offered, queued_run, findings, clinician, monkeypatch
):
    asked = []
    module = types.ModuleType("inference.pipeline.analyse")
    module.analyse = lambda path, config, *_: asked.append(config.staging) or findings
    monkeypatch.setitem(sys.modules, "inference.pipeline.analyse", module)
    tasks.analyse_smear(str(queued_run.pk))
    AnalysisRun.objects.filter(pk=queued_run.pk).update(status="queued")
    staging_requests.request(clinician, queued_run.smear.case)
    tasks.analyse_smear(str(queued_run.pk))
    assert asked == [False, True]


def test_what_was_staged_in_the_analysis_is_kept_as_found(offered, queued_run, findings, clinician):
    staging_requests.request(clinician, queued_run.smear.case)
    run = finish(queued_run, replace(findings, staging=staging("pre_b", "few_fields")))
    call = StageCall.objects.get(run=run)
    assert (call.status, call.label, call.needs_review, call.sha256) == (
        Status.DONE,
        "pre_b",
        True,
        "ef" * 32,
    )
    assert from_row(call) == staging("pre_b", "few_fields")
    assert AuditEvent.objects.get(verb="staging.done").detail == {"fields": 9, "attempts": 1}


def test_a_staging_that_failed_in_the_analysis_is_queued_anew_and_leaves_no_notice(
    offered, queued_run, findings, clinician
):
    staging_requests.request(clinician, queued_run.smear.case)
    said = (Notice("tiles_blurred", "Blurred."), Notice(NOT_STAGED, "The smear was not staged."))
    run = finish(queued_run, replace(findings, notices=said, staging=None))
    assert StageCall.objects.get(run=run).status == Status.QUEUED
    assert [notice["code"] for notice in run.notices] == ["tiles_blurred"]


def test_nothing_is_kept_that_was_not_requested_or_was_withdrawn_meanwhile(
    offered, queued_run, findings, clinician
):
    staging_requests.request(clinician, queued_run.smear.case)
    token = runs.QUEUE.claim(queued_run.pk)
    staging_requests.withdraw(clinician, queued_run.smear.case)
    runs.save(queued_run.pk, token, replace(findings, staging=staging()), np.asarray(field_image()))
    assert not StageCall.objects.exists()


def test_a_request_during_the_analysis_is_staged_afterwards(
    offered, queued_run, findings, clinician, sent, django_capture_on_commit_callbacks
):
    token = runs.QUEUE.claim(queued_run.pk)
    staging_requests.request(clinician, queued_run.smear.case)
    assert not StageCall.objects.exists()
    with django_capture_on_commit_callbacks(execute=True):
        runs.save(queued_run.pk, token, findings, np.asarray(field_image()))
    call = StageCall.objects.get()
    assert call.status == Status.QUEUED
    assert (stage_calls.STAGE_TASK, call.pk) in sent


# --- a late request -------------------------------------------------------------------------------
def test_a_late_request_stages_what_is_stored_and_loses_no_decision(
    offered, done_run, clinician, pathologist, stage
):
    cell = done_run.cells.get(number=8)
    review.decide(pathologist, cell, "basophil")
    seen = {}

    def stage_it(slide, whites, pixel_um, folder):
        seen.update(size=(slide.width, slide.height), whites=len(whites), pixel_um=pixel_um)
        seen.update(labels={white.call.label for white in whites})
        return staging()

    stage(stage_it)
    staging_requests.request(clinician, done_run.smear.case)
    tasks.stage_smear(StageCall.objects.get(run=done_run).pk)
    machine = {"neutrophil", "lymphocyte", "monocyte", "blast", "eosinophil"}
    assert seen == {"size": (640, 480), "whites": 8, "pixel_um": 0.1, "labels": machine}
    call = StageCall.objects.get(run=done_run)
    assert (call.status, call.label) == (Status.DONE, "pre_b")
    assert selectors.reviewed_cell(cell).label == "basophil"
    assert AuditEvent.objects.get(verb="staging.done").actor_name == "worker"


def test_the_network_itself_stages_what_is_stored(requested):
    AnalysisRun.objects.filter(pk=requested.run_id).update(pixel_um=0.15)
    tasks.stage_smear(requested.pk)
    call = StageCall.objects.get()
    assert (call.status, call.error_message, call.network) == (Status.DONE, "", "staging")
    (field,) = call.field_calls
    assert (field["nucleated_cells"], field["blast_share"]) == (8, 0.125)


def test_a_late_request_opens_a_signed_slide_again(offered, done_run, clinician, pathologist):
    run = signed_off(fresh(done_run, pathologist), pathologist)
    assert run.smear.case.status == "ready"
    staging_requests.request(clinician, run.smear.case)
    run = fresh(run, pathologist)
    assert run.signed_off_at is None and run.smear.case.status == "review"
    assert AuditEvent.objects.get(verb="review.reopen").detail == {"reason": "staging"}


def test_a_staging_delivered_twice_is_made_once(requested, stage):
    made = []
    stage(lambda *_: made.append(1) or staging())
    tasks.stage_smear(requested.pk)
    tasks.stage_smear(requested.pk)
    assert made == [1]
    assert AuditEvent.objects.filter(verb="staging.done").count() == 1


def test_a_worker_that_lost_its_hold_writes_nothing(requested, stage):
    def overtaken(*_):
        StageCall.objects.update(claim_token=None, status=Status.QUEUED)
        return staging()

    stage(overtaken)
    tasks.stage_smear(requested.pk)
    assert StageCall.objects.get().status == Status.QUEUED


def test_what_is_withdrawn_while_it_is_staged_is_dropped(requested, stage, clinician):
    def withdrawn(*_):
        staging_requests.withdraw(clinician, requested.run.smear.case)
        return staging()

    stage(withdrawn)
    tasks.stage_smear(requested.pk)
    assert not StageCall.objects.exists()


def test_a_failure_is_one_sentence_and_can_be_repeated(requested, stage, clinician):
    def missing(*_):
        raise NetworkUnavailable("The weights of the network “staging” are missing.")

    stage(missing)
    tasks.stage_smear(requested.pk)
    found = staged(fresh(requested.run, clinician))
    assert found.part()["error"]["message"] == "The weights of the network “staging” are missing."
    assert "failed" in found.blocks_sign_off
    stage_calls.retry(clinician, requested.run)
    stage(lambda *_: staging())
    tasks.stage_smear(requested.pk)
    assert StageCall.objects.get().label == "pre_b"
    with pytest.raises(stage_calls.StagingConflict, match="not failed"):
        stage_calls.retry(clinician, requested.run)


def test_a_fault_of_the_program_is_one_neutral_sentence(requested, stage, clinician):
    stage(lambda *_: 1 / 0)
    tasks.stage_smear(requested.pk)
    error = staged(fresh(requested.run, clinician)).part()["error"]
    assert error["code"] == "internal_error" and "division" not in error["message"]


def test_the_sweeper_takes_up_what_a_dead_worker_left(requested, settings, sent):
    sent.clear()
    assert stage_calls.QUEUE.claim(requested.pk)
    settings.RUN_LOST_AFTER_SECONDS, settings.RUN_MAX_ATTEMPTS = 60, 2
    long_ago = timezone.now() - timezone.timedelta(seconds=100)
    StageCall.objects.update(heartbeat_at=long_ago)
    tasks.sweep_runs()
    assert StageCall.objects.get().status == Status.QUEUED
    assert sent == [(stage_calls.STAGE_TASK, requested.pk)]
    assert stage_calls.QUEUE.claim(requested.pk)
    StageCall.objects.update(heartbeat_at=long_ago)
    tasks.sweep_runs()
    assert StageCall.objects.get().error_code == "worker_lost"


# --- withdrawing ----------------------------------------------------------------------------------
def test_a_withdrawn_request_leaves_nothing_to_do_and_the_machine_s_word_in_place(
    requested, stage, clinician, pathologist
):
    stage(lambda *_: staging())
    tasks.stage_smear(requested.pk)
    staging_requests.withdraw(clinician, requested.run.smear.case)
    run = fresh(requested.run, pathologist)
    assert staged(run).part() == {"status": "not_requested", "label": None, "probabilities": {}}
    assert staged(run).blocks_sign_off == ""
    assert StageCall.objects.get().label == "pre_b"
    staging_requests.request(clinician, run.smear.case)
    assert staged(fresh(run, pathologist)).label == "pre_b"
    assert StageCall.objects.get().status == Status.DONE


def test_what_a_person_has_answered_is_not_withdrawn(requested, stage, clinician, pathologist):
    stage(lambda *_: staging())
    tasks.stage_smear(requested.pk)
    run = fresh(requested.run, pathologist)
    stage_review.decide(pathologist, run, "pre_b")
    with pytest.raises(StagingRefused, match="Paul Path has answered"):
        staging_requests.withdraw(clinician, run.smear.case)
    stage_review.undo(pathologist, run)
    staging_requests.withdraw(clinician, run.smear.case)
    assert not fresh(run, clinician).smear.case.staging_requested


def test_rows_and_findings_say_the_same():
    for one in (staging("pro_b", "leukemia"), not_stageable(), abstained()):
        assert from_row(StageCall(status=Status.DONE, **columns(one))) == one
