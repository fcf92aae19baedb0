"""The delta check against the last signed smear, and the alarm that must be answered before sign-off."""

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from accounts.models import AuditEvent
from inference import identity_review, review
from inference.identity import identity, red_changes
from inference.models import IdentityCheck
from tests.counted import CLL, HEALTHY, INFECTED, analysed, case_after, signed_off


@pytest.fixture
def after(case, field_file, findings, pathologist):
    """The patient's next smear, so many days after a first one that was signed off."""

    def make(first, days, counts, reds=(None, None)):
        signed_off(pathologist, analysed(case, field_file(seed=1), findings, first, reds[0]))
        return analysed(case_after(case, days), field_file(seed=2), findings, counts, reds[1])

    return make


def test_a_first_smear_is_compared_with_nothing(done_run):
    found = identity(done_run)
    assert found.earlier is None
    assert not found.is_open


def test_an_unsigned_smear_is_no_ground_for_comparison(case, field_file, findings):
    analysed(case, field_file(seed=1), findings, CLL)
    later = analysed(case_after(case, 1), field_file(seed=2), findings, HEALTHY)
    assert identity(later).earlier is None


def test_a_plausible_change_is_said_and_blocks_nothing(after, pathologist):
    run = after(HEALTHY, 2, INFECTED)
    found = identity(run)
    assert (found.before, found.after, round(found.days)) == (200, 200, 2)
    assert {line.name for line in found.beyond} == {"Neutrophil", "Lymphocyte"}
    assert not found.is_open
    review.sign_off(pathologist, run)


def test_an_implausible_change_waits_for_an_answer(after, pathologist):
    run = after(CLL, 2, HEALTHY)
    assert identity(run).is_open
    with pytest.raises(review.ReviewConflict, match="Check identity"):
        review.sign_off(pathologist, run)
    identity_review.acknowledge(pathologist, run, "Tube and slide label compared.")
    assert not identity(run).is_open
    review.sign_off(pathologist, run)
    check = IdentityCheck.objects.get()
    assert (check.checked_by, check.classes) == (pathologist, ["lymphocyte"])
    line = AuditEvent.objects.get(verb="identity.check")
    assert line.detail == {"earlier": "H26-0001", "classes": ["lymphocyte"], "days": 2.0}


def test_after_a_fortnight_there_is_no_alarm(after):
    found = identity(after(CLL, 15, HEALTHY))
    assert found.is_late
    assert found.beyond
    assert not found.is_open


def test_few_cells_raise_no_alarm(after):
    found = identity(after({"lymphocyte": 99}, 1, HEALTHY))
    assert found.is_few
    assert not found.is_open


def test_an_answer_holds_for_the_classes_it_knew(after, pathologist):
    run = after(CLL, 2, HEALTHY)
    check = identity_review.acknowledge(pathologist, run, "Second sample agrees.")
    IdentityCheck.objects.filter(pk=check.pk).update(classes=["blast"])
    assert identity(run).is_open


def test_without_a_word_on_how_nothing_is_answered(after, pathologist):
    run = after(CLL, 2, HEALTHY)
    with pytest.raises(review.InvalidDecision, match="how the identity"):
        identity_review.acknowledge(pathologist, run, "  ")
    identity_review.acknowledge(pathologist, run, "Labels compared.")
    with pytest.raises(review.ReviewConflict, match="no doubt"):
        identity_review.acknowledge(pathologist, run, "Again.")


def test_a_clinician_does_not_answer(after, clinician):
    with pytest.raises(PermissionDenied):
        identity_review.acknowledge(clinician, after(CLL, 2, HEALTHY), "Labels compared.")


def test_corrections_count(after, pathologist):
    run = after(HEALTHY, 2, HEALTHY)
    review.decide(pathologist, run.cells.get(number=1), "blast")
    changes = {change.key: change.after.count for change in identity(run).changes}
    assert (changes["neutrophil"], changes["blast"]) == (119, 1)


def test_another_laboratory_is_never_compared(after, other_lab):
    run = after(CLL, 2, HEALTHY)
    type(run).objects.exclude(pk=run.pk).update(lab=other_lab)
    assert identity(run).earlier is None


def test_four_questions_whatever_was_counted(after, django_assert_max_num_queries):
    run = after(CLL, 2, HEALTHY)
    with django_assert_max_num_queries(4):
        identity(run)


def test_pages_say_it_before_sign_off(after, pathologist, clinician, client_for):
    run = after(CLL, 2, HEALTHY)
    seen = client_for(clinician).get(reverse("inference:run", args=[run.pk])).content.decode()
    assert "Check identity." in seen
    assert "more than blood changes in this time" in seen
    assert reverse("inference:check-identity", args=[run.pk]) not in seen
    desk, page = client_for(pathologist), reverse("inference:review-slide", args=[run.pk])
    assert (
        "Check identity: the change since the last smear is implausible." in desk.get(page).content.decode()
    )
    desk.post(reverse("inference:check-identity", args=[run.pk]), {"comment": "Labels compared."})
    answered = desk.get(page).content.decode()
    assert "Identity checked." in answered
    assert "Labels compared." in answered


SICKLED = {"normal": 150, "sickle": 30, "macrocyte": 20}
TRANSFUSED = {"normal": 197, "sickle": 2, "target": 1}


def test_red_cells_are_compared_as_they_count_and_doubt_nobody(after, pathologist):
    run = after(HEALTHY, 1, HEALTHY, (SICKLED, TRANSFUSED))
    found = identity(run)
    red = red_changes(run, found.earlier)
    assert (red.before, red.after) == (200, 200)
    assert [line.change.key for line in red.lines] == ["normal", "sickle", "target"]
    assert {line.name: line.change.after.count for line in red.beyond} == {"Normal": 197, "Sickle cell": 2}
    assert not found.is_open and not found.beyond
    review.decide(pathologist, run.cells.filter(label="target").first(), "artifact")
    assert red_changes(run, found.earlier).after == 199
    for cell in run.cells.filter(label="sickle"):
        review.decide(pathologist, cell, "normal")
    assert identity(run).alarming == ()
    review.sign_off(pathologist, run)


def test_the_panel_has_the_red_cells_of_both(after, clinician, client_for):
    run = after(HEALTHY, 1, HEALTHY, (SICKLED, TRANSFUSED))
    shown = client_for(clinician).get(reverse("inference:run", args=[run.pk])).content.decode()
    assert "Red cells beyond counting error:" in shown and "Red cells, shape by shape" in shown
    assert "15.0 → <strong>1.0 %</strong>" in shown


def test_without_red_cells_in_both_nothing_of_them_is_compared(after, clinician, client_for):
    run = after(HEALTHY, 1, HEALTHY, (None, TRANSFUSED))
    assert red_changes(run, identity(run).earlier).changes == ()
    shown = client_for(clinician).get(reverse("inference:run", args=[run.pk])).content.decode()
    assert "The last smear has no classified red cells to compare." in shown


def test_red_cells_take_one_question(after, django_assert_max_num_queries):
    run = after(HEALTHY, 1, HEALTHY, (SICKLED, TRANSFUSED))
    earlier = identity(run).earlier
    with django_assert_max_num_queries(1):
        red_changes(run, earlier)
