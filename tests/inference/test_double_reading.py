"""A second pathologist, never the first, who has not seen the first call; what follows when they differ."""

from collections import Counter

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import services
from accounts.models import AuditEvent, DoubleReading, Role
from inference import agreements, review, review_queue, selectors, what_matters
from inference.models import AnalysisRun, Cell, CellReview, SecondReview
from tests.conftest import person

BLAST, UNSURE, SURE = 7, 8, 1
State = Cell.DoubleReading


def cell_of(run, number):
    return Cell.objects.select_related("run__smear").get(run=run, number=number)


def free(run):
    AnalysisRun.objects.filter(pk=run.pk).update(review_claimed_by=None, review_claimed_until=None)


def call(who, run, label, number=UNSURE):
    free(run)
    return review.decide(who, cell_of(run, number), label)


def state(run, number=UNSURE):
    return cell_of(run, number).double_reading


def waiting(who):
    return [(cell.number, cell.task) for cell in review_queue.queue(who)]


# --- who is asked ---------------------------------------------------------------------------------
def test_nobody_is_asked_a_second_time_unless_the_laboratory_wants_it(done_run, pathologist, colleague):
    call(pathologist, done_run, "neutrophil")
    assert state(done_run) == ""
    assert waiting(colleague) == [(BLAST, "first")]


@pytest.fixture
def near(administrator, colleague):
    services.save_review_settings(administrator, DoubleReading.NEAR, 0)


def disagree(run, number):
    """A second network calls a cell a monocyte."""
    second = {"label": "monocyte", "confidence": 0.8, "network": "wbc_second", "version": "1.0.0"}
    Cell.objects.filter(run=run, number=number).update(
        second_call=second, review_reasons=["networks_disagree"]
    )


def test_a_new_laboratory_asks_near_a_limit(db):
    assert services.create_lab("Southside Hospital Laboratory").double_reading == DoubleReading.NEAR


def test_where_the_networks_disagree_near_a_limit_the_second_pathologist_is_asked(
    near, done_run, pathologist
):
    disagree(done_run, BLAST)
    call(pathologist, done_run, "blast", BLAST)
    assert state(done_run, BLAST) == State.WAITING


def test_near_a_limit_nobody_is_asked_where_the_networks_agree(near, done_run, pathologist):
    call(pathologist, done_run, "blast", BLAST)
    assert state(done_run, BLAST) == ""


def test_nobody_is_asked_about_a_disagreement_that_changes_nothing(near, doubted_run, pathologist):
    assert not what_matters.bears(cell_of(doubted_run, UNSURE), "eosinophil", "eosinophil")
    call(pathologist, doubted_run, "eosinophil")
    assert state(doubted_run) == ""


def test_a_cell_that_the_first_makes_the_first_blast_is_near_a_limit(near, done_run, pathologist):
    Cell.objects.filter(run=done_run, number=BLAST).update(label="lymphocyte")
    disagree(done_run, SURE)
    call(pathologist, done_run, "blast", SURE)
    assert state(done_run, SURE) == State.WAITING


def test_a_pathologist_alone_is_asked_for_no_colleague(administrator, done_run, pathologist):
    services.save_review_settings(administrator, DoubleReading.NEAR, 0)
    disagree(done_run, BLAST)
    for label, number in (("blast", BLAST), ("eosinophil", UNSURE)):
        call(pathologist, done_run, label, number)
        assert state(done_run, number) == ""
    review.sign_off(pathologist, done_run)


@pytest.mark.parametrize("leaves", [services.suspend, lambda *who: services.set_role(*who, Role.CLINICIAN)])
def test_where_the_second_one_leaves_cells_wait_no_longer(
    near, done_run, administrator, pathologist, colleague, third, leaves
):
    disagree(done_run, BLAST)
    call(pathologist, done_run, "blast", BLAST)
    leaves(administrator, third)
    assert state(done_run, BLAST) == State.WAITING
    leaves(administrator, colleague)
    assert state(done_run, BLAST) == ""


# --- the second call ------------------------------------------------------------------------------
def test_the_second_reader_is_never_the_first(always, done_run, pathologist, colleague):
    call(pathologist, done_run, "neutrophil")
    assert waiting(pathologist) == [(BLAST, "first")]
    assert waiting(colleague) == [(BLAST, "first"), (UNSURE, "second")]
    call(pathologist, done_run, "monocyte")
    assert not SecondReview.objects.exists()
    assert state(done_run) == State.WAITING


def test_two_who_agree_settle_a_cell(always, done_run, pathologist, colleague):
    call(pathologist, done_run, "neutrophil")
    said = call(colleague, done_run, "neutrophil")
    assert isinstance(said, SecondReview)
    assert (state(done_run), said.first.reviewer) == (State.AGREED, pathologist)
    assert selectors.current_label(cell_of(done_run, UNSURE)) == "neutrophil"
    assert AuditEvent.objects.get(verb="review.second").detail == {
        "number": UNSURE,
        "label": "neutrophil",
        "agrees": True,
    }


def test_a_third_persons_call_stands_where_two_differ(always, done_run, pathologist, colleague, third):
    call(pathologist, done_run, "neutrophil")
    call(colleague, done_run, "monocyte")
    assert selectors.current_label(cell_of(done_run, UNSURE)) == "neutrophil"
    for one in (pathologist, colleague):
        with pytest.raises(review.ReviewConflict, match="a third one settles it"):
            call(one, done_run, "basophil")
    assert (UNSURE, "settle") in waiting(third)
    call(third, done_run, "monocyte")
    assert state(done_run) == State.SETTLED
    assert selectors.current_label(cell_of(done_run, UNSURE)) == "monocyte"
    assert AuditEvent.objects.get(verb="review.settle").detail["between"] == ["neutrophil", "monocyte"]
    free(done_run)
    review.undo(third, cell_of(done_run, UNSURE))
    assert state(done_run) == State.DIFFERS
    assert selectors.current_label(cell_of(done_run, UNSURE)) == "neutrophil"


def test_where_there_is_no_third_one_of_the_two_settles(always, done_run, pathologist, colleague):
    call(pathologist, done_run, "neutrophil")
    call(colleague, done_run, "monocyte")
    call(pathologist, done_run, "neutrophil")
    assert state(done_run) == State.SETTLED
    assert CellReview.objects.get(undone_at=None).settles.label == "monocyte"


def test_sign_off_waits_for_second_readings(always, done_run, pathologist, colleague, third):
    call(pathologist, done_run, "eosinophil")
    call(pathologist, done_run, "blast", BLAST)
    with pytest.raises(review.ReviewConflict, match="2 cells wait for a second pathologist"):
        review.sign_off(pathologist, done_run)
    call(colleague, done_run, "eosinophil")
    call(colleague, done_run, "lymphocyte", BLAST)
    with pytest.raises(review.ReviewConflict, match="On 1 cell two pathologists differ"):
        review.sign_off(colleague, done_run)
    call(third, done_run, "blast", BLAST)
    review.sign_off(third, done_run)


def test_a_first_call_is_not_taken_back_once_there_is_a_second(always, done_run, pathologist, colleague):
    call(pathologist, done_run, "neutrophil")
    call(colleague, done_run, "neutrophil")
    free(done_run)
    with pytest.raises(review.ReviewConflict, match="cannot be taken back"):
        review.undo(pathologist, cell_of(done_run, UNSURE))
    review.undo(colleague, cell_of(done_run, UNSURE))
    assert state(done_run) == State.WAITING
    assert call(colleague, done_run, "monocyte").informed
    assert CellReview.objects.get(undone_at=None).reviewer == pathologist


def test_the_slide_is_held_by_one_at_a_time(always, done_run, pathologist, colleague):
    call(pathologist, done_run, "neutrophil")
    with pytest.raises(review.ReviewConflict, match="held by Paul Path"):
        review.decide(colleague, cell_of(done_run, UNSURE), "monocyte")
    assert not SecondReview.objects.exists()


def test_switched_off_what_waits_does_so_no_longer(always, done_run, administrator, pathologist):
    call(pathologist, done_run, "neutrophil")
    services.save_review_settings(administrator, DoubleReading.OFF, 0)
    assert state(done_run) == ""


# --- what the second one sees ---------------------------------------------------------------------
def test_the_first_call_is_in_no_answer_to_the_second_reader(
    always, done_run, pathologist, colleague, third, client_for, api_for
):
    free(done_run)
    review.decide(pathologist, cell_of(done_run, UNSURE), "basophil", "granules seen")
    free(done_run)
    page, api = client_for(colleague), api_for(colleague)
    desk = page.get(reverse("inference:review-slide", args=[done_run.pk]) + f"?cell={UNSURE}")
    panel = page.get(reverse("inference:cell", args=[done_run.pk, UNSURE]))
    for answer in (desk, panel):
        html = answer.content.decode()
        assert "granules seen" not in html
        assert "Paul Path" not in html
        assert "corrected" not in html
    assert "Second reading." in desk.content.decode()
    result = api.get(f"/api/v1/runs/{done_run.pk}/result/").json()
    (seen,) = [one for one in result["cell_detections"] if one["cell_id"] == UNSURE]
    assert "reviewed_classification" not in seen
    cells = page.get(reverse("inference:viewer-cells", args=[done_run.pk])).json()
    own = client_for(pathologist).get(reverse("inference:viewer-cells", args=[done_run.pk])).json()
    place = cells["number"].index(UNSURE)
    assert cells["class"][place] != own["class"][place]
    key = cell_of(done_run, UNSURE).pk
    said = api.post(f"/api/v1/review/{key}/decide/", {"label": "monocyte"}, format="json").json()
    assert (said["task"], said["first_label"]) == ("second", "basophil")
    free(done_run)
    both = client_for(third).get(reverse("inference:review-slide", args=[done_run.pk]) + f"?cell={UNSURE}")
    html = both.content.decode()
    assert all(
        words in html for words in ("Two pathologists differ.", "granules seen", "Petra Peer", "Paul Path")
    )


# --- agreement ------------------------------------------------------------------------------------
def test_agreement_counts_each_readers_first_calls(
    always, done_run, administrator, pathologist, colleague, django_assert_num_queries
):
    call(pathologist, done_run, "neutrophil")
    call(pathologist, done_run, "blast", BLAST)
    call(colleague, done_run, "neutrophil")
    call(colleague, done_run, "lymphocyte", BLAST)
    with django_assert_num_queries(4):
        found = agreements.lab_agreement(administrator)
    assert [str(one.reader) for one in found.readers] == ["Paul Path", "Petra Peer"]
    paul, petra = found.readers
    assert (paul.open.pairs, paul.open.agreed.count) == (2, 1)
    assert (petra.open.pairs, petra.open.agreed.count) == (2, 0)
    for one in (paul, petra, found.everyone):
        assert (one.peers.pairs, one.peers.agreed.count, one.peers.kappa) == (2, 1, None)
        assert one.blind.pairs == 0
    detail = agreements.reader_detail(administrator, petra.reader.pk)
    assert [(one.mine, one.other, one.count) for one in detail.peers] == [("lymphocyte", "blast", 1)]


def test_kappa_is_given_of_enough_pairs(done_run, administrator, pathologist, colleague):
    """Sixty pairs: thirty blasts for both, and five of the other thirty for the second one only."""
    cell = cell_of(done_run, UNSURE)
    for place in range(60):
        mine = "blast" if place < 30 else "monocyte"
        other = "blast" if place < 35 else "monocyte"
        first = CellReview.objects.create(
            cell=cell, reviewer=pathologist, label=mine, undone_at=timezone.now()
        )
        SecondReview.objects.create(cell=cell, first=first, reviewer=colleague, label=other)
    peers = agreements.lab_agreement(administrator).everyone.peers
    chance = Counter(both=0.5 * 35 / 60 + 0.5 * 25 / 60)["both"]
    assert peers.kappa.value == pytest.approx((55 / 60 - chance) / (1 - chance))


def test_agreement_is_the_administrators_alone(
    always, done_run, administrator, pathologist, clinician, other_lab, client_for, api_for
):
    call(pathologist, done_run, "neutrophil")
    page, one = reverse("inference:agreement"), reverse("inference:reader-agreement", args=[pathologist.pk])
    html = client_for(administrator).get(page).content.decode()
    assert "Paul Path" in html
    assert "too few" in html
    assert "Eosinophil" in client_for(administrator).get(one).content.decode()
    assert api_for(administrator).get("/api/v1/agreement/").json()["readers"][0]["open"]["pairs"] == 1
    for who in (pathologist, clinician):
        assert client_for(who).get(page).status_code == 403
        assert client_for(who).get(one).status_code == 403
        assert api_for(who).get("/api/v1/agreement/").status_code == 403
    outsider = person(other_lab, Role.ADMINISTRATOR, "Otto Outside")
    assert client_for(outsider).get(one).status_code == 404
    assert "Paul Path" not in client_for(outsider).get(page).content.decode()
    assert api_for(outsider).get("/api/v1/agreement/").json()["readers"] == []


# --- settings -------------------------------------------------------------------------------------
def test_the_settings_are_the_administrators_and_audited(client_for, administrator, pathologist):
    page = "/laboratory/review/"
    given = {"double_reading": "near", "blind_percent": "20"}
    assert client_for(pathologist).post(page, given).status_code == 403
    client = client_for(administrator)
    assert client.post(page, {**given, "blind_percent": "101"}).status_code == 422
    assert client.post(page, {**given, "double_reading": "often"}).status_code == 422
    assert client.post(page, given).status_code == 302
    administrator.lab.refresh_from_db()
    assert (administrator.lab.double_reading, administrator.lab.blind_percent) == ("near", 20)
    assert AuditEvent.objects.get(verb="lab.review", outcome="done").detail == {
        "double_reading": "near",
        "blind_percent": 20,
    }
    assert b'value="near"' in client.get(page).content


def test_the_queue_says_what_waits_for_a_colleague(always, done_run, pathologist, colleague):
    call(pathologist, done_run, "neutrophil")
    (slide,) = review_queue.waiting_slides(pathologist, first=5)
    assert (slide.open_count, slide.colleagues) == (1, 1)
    (slide,) = review_queue.waiting_slides(colleague, first=5)
    assert (slide.open_count, slide.colleagues, [cell.number for cell in slide.cells]) == (2, 0, [7, 8])
