"""What worklists say about the analyses and the review of cases."""

import pytest

from accounts.models import Notification
from cases.selectors import cases_for
from inference import review, runs, selectors
from inference.case_states import facts

pytestmark = pytest.mark.django_db


def said(user, run):
    case = cases_for(user).get(pk=run.smear.case_id)
    return [(fact.text, fact.progress) for fact in facts(user, [case]).get(case.pk, [])]


def test_progress_of_one_image_and_of_several(clinician, queued_run, case, field_file):
    assert said(clinician, queued_run) == [("queued", 0.0)]
    token = runs.QUEUE.claim(queued_run.pk)
    runs.note_stage(queued_run.pk, token, "segmentation", 0.5)
    assert said(clinician, queued_run) == [("50 %, 0 of 1 image", 0.5)]
    runs.submit(clinician, case, field_file(seed=4))
    assert said(clinician, queued_run) == [("25 %, 0 of 2 images", 0.25)]


def test_a_failure_says_its_sentence(clinician, queued_run, case, field_file):
    runs.fail(queued_run.pk, runs.QUEUE.claim(queued_run.pk), "out_of_focus", "The image is out of focus.")
    assert said(clinician, queued_run) == [("field.png: The image is out of focus.", None)]
    runs.submit(clinician, case, field_file("other.png", seed=4))
    assert [text for text, _ in said(clinician, queued_run)] == [
        "50 %, 1 of 2 images",
        "field.png: The image is out of focus.",
    ]


def test_open_cells_are_counted(clinician, pathologist, stranger, done_run):
    assert said(clinician, done_run) == [("2 cells open", None)]
    for cell in selectors.open_cells(selectors.run_for(pathologist, done_run.pk)):
        review.decide(pathologist, cell, cell.label)
    assert said(clinician, done_run) == [("no cell open, waits for sign-off", None)]
    case = cases_for(clinician).get(pk=done_run.smear.case_id)
    assert facts(stranger, [case]) == {}


def test_all_cases_of_a_page_cost_one_query(clinician, done_run, django_assert_num_queries):
    cases = list(cases_for(clinician))
    with django_assert_num_queries(1):
        facts(clinician, cases)


def test_a_failure_is_told_once_for_each_time_it_was_queued(clinician, queued_run):
    runs.fail(queued_run.pk, runs.QUEUE.claim(queued_run.pk), "broken", "Broken.")
    told = Notification.objects.get()
    assert (told.recipient, told.kind, told.accession) == (clinician, "run.failed", "H26-0001")
    queued_run.refresh_from_db()
    runs.retry(clinician, queued_run)
    runs.fail(queued_run.pk, runs.QUEUE.claim(queued_run.pk), "broken", "Broken again.")
    assert Notification.objects.count() == 2


def test_an_analysis_that_is_given_up_is_told(clinician, queued_run, settings):
    settings.RUN_LOST_AFTER_SECONDS = -1
    settings.RUN_MAX_ATTEMPTS = 1
    runs.QUEUE.claim(queued_run.pk)
    runs.sweep()
    assert Notification.objects.get(recipient=clinician).kind == "run.failed"
