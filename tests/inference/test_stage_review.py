"""A person's word on the stage of a smear stands beside the machine's, and comes before sign-off."""

from dataclasses import replace

import pytest

from accounts.models import AuditEvent, Role
from accounts.permissions import Refused
from cases.services import StagingRefused
from inference import review, selectors, stage_review, staging_requests
from inference.models import StageReview
from inference.staged import staged
from tests.conftest import person
from tests.stagings import abstained, finish, fresh, signed_off, staging

pytestmark = pytest.mark.django_db


@pytest.fixture
def staged_run(offered, queued_run, findings, clinician, pathologist):
    staging_requests.request(clinician, queued_run.smear.case)
    run = finish(queued_run, replace(findings, staging=staging("pre_b", "leukemia", "few_fields")))
    return fresh(run, pathologist)


def test_a_person_agrees_and_the_machine_s_word_stays(staged_run, pathologist):
    assert staged(staged_run).is_open
    stage_review.decide(pathologist, staged_run, "pre_b", "nucleoli seen")
    found = staged(staged_run)
    assert not found.is_open and not found.is_corrected and found.label == "pre_b"
    stage_review.decide(pathologist, staged_run, "not_stageable")
    found = staged(staged_run)
    assert (found.label, found.machine_label, found.is_corrected) == ("not_stageable", "pre_b", True)
    assert StageReview.objects.filter(undone_at=None).count() == 1 and StageReview.objects.count() == 2
    assert found.part()["label"] == "pre_b"
    assert found.part()["reviewed_label"] == "not_stageable"
    assert found.part()["requires_manual_review"] is False
    line = AuditEvent.objects.filter(verb="staging.decide").first()
    assert line.detail == {"machine": "pre_b", "label": "not_stageable"}


def test_only_one_s_own_answer_is_undone(staged_run, pathologist, lab):
    stage_review.decide(pathologist, staged_run, "benign")
    review.release_slide(pathologist, staged_run)
    colleague = person(lab, Role.PATHOLOGIST, "Cora Colleague")
    with pytest.raises(review.ReviewConflict, match="no answer of yours"):
        stage_review.undo(colleague, staged_run)
    stage_review.undo(pathologist, staged_run)
    assert staged(staged_run).is_open


@pytest.mark.parametrize(("label", "comment"), [("blast", ""), ("", ""), ("benign", "x" * 501)])
def test_what_is_no_answer_is_not_kept(staged_run, pathologist, label, comment):
    with pytest.raises(review.InvalidDecision):
        stage_review.decide(pathologist, staged_run, label, comment)
    assert not StageReview.objects.exists()


def test_only_pathologists_answer(staged_run, clinician, administrator):
    for who in (clinician, administrator):
        with pytest.raises(Refused):
            stage_review.decide(who, staged_run, "benign")


def test_where_staging_was_not_requested_there_is_nothing_to_answer(done_run, pathologist):
    with pytest.raises(review.InvalidDecision, match="not requested"):
        stage_review.decide(pathologist, fresh(done_run, pathologist), "benign")


def test_a_request_withdrawn_meanwhile_leaves_nothing_to_answer(staged_run, clinician, pathologist):
    assert staged_run.smear.case.staging_requested
    staging_requests.withdraw(clinician, selectors.run_for(clinician, staged_run.pk).smear.case)
    with pytest.raises(review.InvalidDecision, match="not requested"):
        stage_review.decide(pathologist, staged_run, "pre_b")
    assert not StageReview.objects.exists()


def test_no_slide_is_signed_off_before_its_staging_is_answered(staged_run, pathologist):
    for cell in selectors.open_cells(staged_run):
        review.decide(pathologist, cell, cell.label)
    with pytest.raises(review.ReviewConflict, match="needs a person's answer"):
        review.sign_off(pathologist, staged_run)
    stage_review.decide(pathologist, staged_run, "pre_b")
    review.sign_off(pathologist, staged_run)
    assert fresh(staged_run, pathologist).signed_off_at


def test_no_slide_is_signed_off_before_its_staging_has_ended(requested, pathologist):
    run = fresh(requested.run, pathologist)
    for cell in selectors.open_cells(run):
        review.decide(pathologist, cell, cell.label)
    with pytest.raises(review.ReviewConflict, match="not finished"):
        review.sign_off(pathologist, run)


def test_a_sure_benign_smear_needs_no_answer_and_what_is_signed_is_not_withdrawn(
    offered, queued_run, findings, clinician, pathologist
):
    staging_requests.request(clinician, queued_run.smear.case)
    run = finish(queued_run, replace(findings, staging=staging("benign")))
    run = signed_off(fresh(run, pathologist), pathologist)
    with pytest.raises(StagingRefused, match="signed off with its staging"):
        staging_requests.withdraw(clinician, run.smear.case)


def test_where_the_network_abstained_any_answer_is_the_person_s_own(
    offered, queued_run, findings, clinician, pathologist
):
    staging_requests.request(clinician, queued_run.smear.case)
    run = fresh(finish(queued_run, replace(findings, staging=abstained())), pathologist)
    found = staged(run)
    assert (found.status, found.label, found.machine_label, found.is_open) == ("abstained", "", "", True)
    stage_review.decide(pathologist, run, "benign")
    found = staged(run)
    assert (found.label, found.is_open, found.is_corrected) == ("benign", False, False)


def test_the_payload_names_the_network_beside_the_others(staged_run):
    payload = selectors.result_payload(staged_run)
    assert [network["name"] for network in payload["networks"]] == ["wbc-test", "staging"]
    part = payload["staging"]
    assert part["status"] == "staged" and part["label"] == "pre_b"
    assert part["probabilities"]["pre_b"] == pytest.approx(0.91)
    assert part["intervals_95"]["pre_b"] == pytest.approx([0.85, 0.97])
    assert part["fields"] == {
        "used": 6,
        "left_out": {"few_nucleated_cells": 2, "colours_outside_training": 1},
    }
    assert part["reasons"] == ["leukemia", "few_fields"]
    assert part["notices"][0]["code"] == "no_patient_disjoint_test"
    assert len(part["field_calls"]) == 9
