"""Review: one slide, one pathologist at a time; the machine's call stays; nothing is signed half done."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.utils import timezone

from accounts.models import AuditEvent
from inference import review, runs, selectors
from inference.models import AnalysisRun, CellReview

BLAST, UNSURE, SURE, RED = 7, 8, 1, 9


@pytest.fixture
def cell(done_run):
    def numbered(number):
        return done_run.cells.select_related("run__smear").get(number=number)

    return numbered


def standing(cell):
    return [review.label for review in cell.reviews.filter(undone_at=None)]


def run_out(run):
    AnalysisRun.objects.filter(pk=run.pk).update(review_claimed_until=timezone.now() - timedelta(seconds=1))


# --- claim ----------------------------------------------------------------------------------------
def test_a_claimed_slide_is_held_for_a_quarter_of_an_hour(done_run, pathologist, settings):
    review.claim_slide(pathologist, done_run)
    left = done_run.review_claimed_until - timezone.now()
    assert done_run.review_claimed_by == pathologist
    assert timedelta(minutes=settings.REVIEW_CLAIM_MINUTES - 1) < left
    assert AuditEvent.objects.filter(verb="review.claim", actor=pathologist).count() == 1


def test_a_held_slide_says_by_whom_and_until_when(done_run, pathologist, colleague, cell):
    review.claim_slide(pathologist, done_run)
    until = timezone.localtime(done_run.review_claimed_until).strftime("%H:%M UTC")
    for attempt in (
        lambda: review.claim_slide(colleague, done_run),
        lambda: review.decide(colleague, cell(UNSURE), "eosinophil"),
        lambda: review.sign_off(colleague, done_run),
    ):
        with pytest.raises(review.ReviewConflict, match=f"held by Paul Path until {until}"):
            attempt()
    assert CellReview.objects.count() == 0


def test_claiming_again_renews_without_a_second_line(done_run, pathologist):
    review.claim_slide(pathologist, done_run)
    first = done_run.review_claimed_until
    review.claim_slide(pathologist, done_run)
    assert done_run.review_claimed_until > first
    assert AuditEvent.objects.filter(verb="review.claim").count() == 1


def test_a_claim_runs_out(done_run, pathologist, colleague):
    review.claim_slide(pathologist, done_run)
    run_out(done_run)
    review.claim_slide(colleague, done_run)
    assert done_run.review_claimed_by == colleague


def test_a_released_slide_is_free(done_run, pathologist, colleague):
    review.claim_slide(pathologist, done_run)
    with pytest.raises(review.ReviewConflict, match="do not hold"):
        review.release_slide(colleague, done_run)
    review.release_slide(pathologist, done_run)
    review.claim_slide(colleague, done_run)


def test_an_unfinished_run_is_not_reviewed(queued_run, pathologist):
    with pytest.raises(review.ReviewConflict, match="not finished"):
        review.claim_slide(pathologist, queued_run)


# --- decide, undo ---------------------------------------------------------------------------------
def test_a_decision_stands_beside_the_machines_call(cell, pathologist):
    made = review.decide(pathologist, cell(BLAST), "lymphocyte", "large granular")
    assert (made.label, made.comment, made.reviewer) == ("lymphocyte", "large granular", pathologist)
    assert cell(BLAST).label == "blast"
    assert cell(BLAST).probabilities["blast"] == pytest.approx(0.91)
    assert cell(BLAST).run.review_claimed_by == pathologist
    line = AuditEvent.objects.get(verb="review.decide")
    assert line.detail == {"number": BLAST, "machine": "blast", "label": "lymphocyte"}


def test_a_cell_the_machine_was_sure_of_can_be_corrected(cell, pathologist):
    review.decide(pathologist, cell(SURE), "monocyte")
    assert selectors.current_label(cell(SURE)) == "monocyte"


def test_the_same_decision_twice_is_one_row(cell, pathologist):
    first = review.decide(pathologist, cell(UNSURE), "eosinophil")
    assert review.decide(pathologist, cell(UNSURE), "eosinophil") == first
    assert CellReview.objects.count() == 1


def test_a_change_of_mind_keeps_both_rows(cell, pathologist):
    review.decide(pathologist, cell(UNSURE), "eosinophil")
    review.decide(pathologist, cell(UNSURE), "neutrophil")
    assert standing(cell(UNSURE)) == ["neutrophil"]
    assert cell(UNSURE).reviews.count() == 2


def test_undo_opens_the_cell_again(cell, pathologist, done_run):
    review.decide(pathologist, cell(UNSURE), "neutrophil")
    review.undo(pathologist, cell(UNSURE))
    assert standing(cell(UNSURE)) == []
    assert selectors.current_label(cell(UNSURE)) == "eosinophil"
    assert selectors.open_cells(done_run).count() == 2
    with pytest.raises(review.ReviewConflict, match="no decision of yours"):
        review.undo(pathologist, cell(UNSURE))


def test_nobody_undoes_anothers_decision(cell, pathologist, colleague, done_run):
    review.decide(pathologist, cell(UNSURE), "neutrophil")
    run_out(done_run)
    with pytest.raises(review.ReviewConflict, match="no decision of yours"):
        review.undo(colleague, cell(UNSURE))
    assert standing(cell(UNSURE)) == ["neutrophil"]


@pytest.mark.parametrize(
    ("number", "label", "comment"),
    [(UNSURE, "unicorn", ""), (RED, "neutrophil", ""), (UNSURE, "monocyte", "x" * 501)],
)
def test_what_cannot_be_decided_is_refused(cell, pathologist, number, label, comment):
    with pytest.raises(review.InvalidDecision):
        review.decide(pathologist, cell(number), label, comment)
    assert CellReview.objects.count() == 0


def test_two_decisions_at_one_moment_become_one(cell, pathologist, monkeypatch):
    """The second writer meets the first one's standing row, as the database lets only one stand."""
    review.decide(pathologist, cell(UNSURE), "neutrophil")
    with pytest.raises(IntegrityError):
        CellReview.objects.create(cell=cell(UNSURE), reviewer=pathologist, label="monocyte")


def test_a_lost_race_is_told_in_words(cell, pathologist, monkeypatch):
    def raced(*_):
        raise IntegrityError("one_standing_review_per_cell")

    monkeypatch.setattr(review, "_decide", raced)
    with pytest.raises(review.ReviewConflict, match="same moment"):
        review.decide(pathologist, cell(UNSURE), "neutrophil")


@pytest.mark.parametrize("who", ["clinician", "administrator"])
def test_only_pathologists_review(who, request, cell, done_run):
    actor = request.getfixturevalue(who)
    for attempt in (
        lambda: review.claim_slide(actor, done_run),
        lambda: review.decide(actor, cell(UNSURE), "neutrophil"),
        lambda: review.undo(actor, cell(UNSURE)),
        lambda: review.sign_off(actor, done_run),
        lambda: review.reopen(actor, done_run.smear.case_id),
    ):
        with pytest.raises(PermissionDenied):
            attempt()
    assert AuditEvent.objects.filter(outcome="refused", actor=actor).count() == 5


# --- sign off, reopen -----------------------------------------------------------------------------
def decide_all(actor, run):
    for cell in selectors.open_cells(run):
        review.decide(actor, cell, cell.label)


def test_a_slide_with_open_cells_is_not_signed_off(done_run, pathologist):
    with pytest.raises(review.ReviewConflict, match="2 cells still need review"):
        review.sign_off(pathologist, done_run)
    done_run.refresh_from_db()
    assert done_run.signed_off_at is None


def test_signing_off_the_last_slide_makes_the_case_ready(done_run, pathologist, case):
    decide_all(pathologist, done_run)
    review.sign_off(pathologist, done_run)
    case.refresh_from_db()
    assert (done_run.signed_off_by, case.status) == (pathologist, case.Status.READY)
    assert AuditEvent.objects.filter(verb="slide.sign_off", outcome="done").count() == 1


def test_a_case_is_ready_only_with_all_slides(done_run, pathologist, clinician, case, field_file, findings):
    second = runs.submit(clinician, case, field_file("second.png", seed=1))
    runs.save(second.pk, runs.QUEUE.claim(second.pk), findings)
    decide_all(pathologist, done_run)
    review.sign_off(pathologist, done_run)
    case.refresh_from_db()
    assert case.status == case.Status.REVIEW


def test_nothing_changes_after_sign_off(done_run, pathologist, cell):
    decide_all(pathologist, done_run)
    review.sign_off(pathologist, done_run)
    for attempt in (
        lambda: review.decide(pathologist, cell(UNSURE), "basophil"),
        lambda: review.undo(pathologist, cell(UNSURE)),
        lambda: review.sign_off(pathologist, done_run),
    ):
        with pytest.raises(review.ReviewConflict, match="signed off by Paul Path"):
            attempt()
    assert standing(cell(UNSURE)) == ["eosinophil"]


def test_amending_opens_the_slides_again(done_run, pathologist, case, cell):
    decide_all(pathologist, done_run)
    review.sign_off(pathologist, done_run)
    review.reopen(pathologist, case.pk)
    case.refresh_from_db()
    assert case.status == case.Status.REVIEW
    review.decide(pathologist, cell(UNSURE), "basophil")
    assert standing(cell(UNSURE)) == ["basophil"]
