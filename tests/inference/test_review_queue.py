"""The order of the queue, what is kept of it with the cells, and skipping."""

from datetime import UTC, datetime

import numpy as np
import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import services
from accounts.models import AuditEvent
from accounts.ranges import DEFAULT_RANGES_PERCENT
from cases.services import create_case
from inference import review, review_queue, runs, what_matters
from inference.models import AnalysisRun, Cell, CellReview, CellSkip
from tests.conftest import field_image

BLAST, UNSURE, SURE = 7, 8, 1


@pytest.fixture
def stat_run(clinician, patient, field_file, findings):
    case = create_case(
        clinician,
        patient=patient,
        accession="H26-0002",
        priority="stat",
        collected_at=datetime(2026, 11, 20, 9, 0, tzinfo=UTC),
    )
    run = runs.submit(clinician, case, field_file())
    runs.save(run.pk, runs.QUEUE.claim(run.pk), findings, np.asarray(field_image()))
    return run


def numbers(user, run=None):
    cells = review_queue.queue(user)
    return [cell.number for cell in cells if run is None or cell.run_id == run.pk]


def cell_of(run, number):
    return Cell.objects.select_related("run__smear").get(run=run, number=number)


# --- order ----------------------------------------------------------------------------------------
def test_what_matters_is_known_as_soon_as_a_smear_is_analysed(done_run):
    blast, unsure, sure = (cell_of(done_run, number) for number in (BLAST, UNSURE, SURE))
    assert (blast.matters, unsure.matters, sure.matters) == (True, False, False)
    assert blast.stakes == [{"kind": "flag", "key": "blast_detected", "up": False, "limit": None}]
    assert (unsure.stakes, sure.stakes) == ([], None)


def test_a_decision_changes_what_the_other_calls_could_change(done_run, pathologist):
    """Once a blast is certain, the flag stands whatever the other cell is called."""
    Cell.objects.filter(run=done_run, number=UNSURE).update(probabilities={"eosinophil": 0.6, "blast": 0.4})
    review.decide(pathologist, cell_of(done_run, BLAST), "lymphocyte")
    raised = cell_of(done_run, UNSURE).stakes
    assert {"kind": "flag", "key": "blast_detected", "up": True, "limit": None} in raised
    review.decide(pathologist, cell_of(done_run, BLAST), "blast")
    assert cell_of(done_run, UNSURE).stakes == []
    review.undo(pathologist, cell_of(done_run, BLAST))
    assert cell_of(done_run, BLAST).matters


def test_slides_with_a_cell_that_matters_come_before_stat_ones(done_run, stat_run, pathologist):
    review.decide(pathologist, cell_of(stat_run, BLAST), "blast")
    slides = review_queue.waiting_slides(pathologist, first=5)
    assert [slide.run for slide in slides] == [done_run, stat_run]
    review.decide(pathologist, cell_of(done_run, BLAST), "blast")
    slides = review_queue.waiting_slides(pathologist, first=5)
    assert [slide.run for slide in slides] == [stat_run, done_run]


def test_changed_limits_are_looked_at_anew_by_the_sweeper(done_run, administrator):
    cell = cell_of(done_run, BLAST)
    services.save_ranges(administrator, DEFAULT_RANGES_PERCENT)
    cell.refresh_from_db()
    assert (cell.stakes, cell.matters) == (None, True)
    what_matters.catch_up()
    cell.refresh_from_db()
    assert cell.stakes


def test_questions_to_the_database_do_not_grow_with_the_queue(
    done_run, stat_run, pathologist, client_for, api_for, django_assert_num_queries
):
    def asked(ask):
        with CaptureQueriesContext(connection) as captured:
            ask()
        return len(captured)

    page, api = client_for(pathologist), api_for(pathologist)
    addresses = (
        lambda: page.get(reverse("inference:review-queue")),
        lambda: api.get("/api/v1/review/"),
        lambda: page.get(reverse("inference:review-slide", args=[done_run.pk]) + f"?cell={BLAST}"),
    )
    CellSkip.objects.create(cell=cell_of(done_run, BLAST), reader=pathologist, reason="unclear")
    for ask in addresses:
        ask()
    many = [asked(ask) for ask in addresses]
    for run in (done_run, stat_run):
        CellSkip.objects.create(cell=cell_of(run, UNSURE), reader=pathologist, reason="unclear")
    Cell.objects.filter(kind="WBC").update(needs_review=True)
    assert [asked(ask) for ask in addresses] == many
    with django_assert_num_queries(1):
        review_queue.queue_count(pathologist)


# --- skip -----------------------------------------------------------------------------------------
def test_a_skipped_cell_stays_open_and_moves_behind_for_its_reader(done_run, pathologist, colleague):
    assert numbers(pathologist) == [BLAST, UNSURE]
    review.skip(pathologist, cell_of(done_run, BLAST), "colleague", "Auer rod?")
    assert numbers(pathologist) == [UNSURE, BLAST]
    assert numbers(colleague) == [BLAST, UNSURE]
    line = AuditEvent.objects.get(verb="review.skip")
    assert (line.actor, line.detail) == (pathologist, {"number": BLAST, "reason": "colleague"})
    with pytest.raises(review.ReviewConflict, match="2 cells still need review"):
        review.sign_off(pathologist, done_run)


@pytest.mark.parametrize(
    ("reason", "comment", "why"),
    [("bored", "", "no reason"), ("other", " ", "Say why"), ("unclear", "x" * 501, "500 characters")],
)
def test_a_skip_needs_a_reason(done_run, pathologist, reason, comment, why):
    with pytest.raises(review.InvalidDecision, match=why):
        review.skip(pathologist, cell_of(done_run, BLAST), reason, comment)
    assert not CellSkip.objects.exists()


def test_only_a_cell_that_waits_is_skipped_and_only_by_who_holds_the_slide(
    done_run, pathologist, colleague, clinician
):
    with pytest.raises(review.ReviewConflict, match="does not wait"):
        review.skip(pathologist, cell_of(done_run, SURE), "unclear")
    review.claim_slide(pathologist, done_run)
    with pytest.raises(review.ReviewConflict, match="held by Paul Path"):
        review.skip(colleague, cell_of(done_run, BLAST), "unclear")
    with pytest.raises(PermissionDenied, match="cannot review cells"):
        review.skip(clinician, cell_of(done_run, BLAST), "unclear")


def test_the_desk_goes_on_with_the_next_cell_and_tells_the_next_reader(
    done_run, pathologist, colleague, client_for
):
    desk = client_for(pathologist)
    address = reverse("inference:skip", args=[done_run.pk, BLAST])
    answer = desk.post(
        address, {"reason": "facts", "comment": "<b>blasts before?</b>"}, headers={"HX-Request": "true"}
    )
    html = answer.content.decode()
    assert "Cell 7 skipped: waits for clinical facts or other tests." in html
    assert "Cell 8 in the field" in html
    assert desk.post(address, {"reason": ""}).status_code == 422
    AnalysisRun.objects.update(review_claimed_by=None, review_claimed_until=None)
    seen = client_for(colleague).get(reverse("inference:review-slide", args=[done_run.pk])).content.decode()
    assert "Cell 7 in the field" in seen
    assert "Skipped by Paul Path" in seen
    assert "&lt;b&gt;blasts before?&lt;/b&gt;" in seen
    queue = client_for(colleague).get(reverse("inference:review-queue")).content.decode()
    assert "skipped by Paul Path: waits for clinical facts" in queue
    assert "could take the blast flag back" in queue


def test_the_api_skips_and_says_what_hangs_on_a_cell(done_run, pathologist, api_for, stranger):
    api, key = api_for(pathologist), cell_of(done_run, BLAST).pk
    first = api.get("/api/v1/review/").json()["results"][0]
    assert (first["cell_id"], first["matters"], first["task"], first["skipped"]) == (
        BLAST,
        True,
        "first",
        False,
    )
    assert [stake["text"] for stake in first["stakes"]] == ["could take the blast flag back"]
    answer = api.post(f"/api/v1/review/{key}/skip/", {"reason": "unclear"}, format="json")
    assert (answer.status_code, answer.json()["reader"]) == (201, "Paul Path")
    last = api.get("/api/v1/review/").json()["results"][-1]
    assert (last["cell_id"], last["skipped"]) == (BLAST, True)
    assert api.post(f"/api/v1/review/{key}/skip/", {"reason": "no"}, format="json").status_code == 400
    other = api.post(f"/api/v1/review/{key}/skip/", {"reason": "other"}, format="json")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "invalid_decision")
    assert api_for(stranger).post(f"/api/v1/review/{key}/skip/", {"reason": "unclear"}).status_code == 404
    assert not CellReview.objects.exists()
