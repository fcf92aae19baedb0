"""Blind calls and second readings in the gallery: nothing hidden is in it, and its calls are the desk's."""

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from inference import reclassify, review, selectors, sheets, viewer
from inference.models import AnalysisRun, Cell, CellReview, SecondReview
from inference.pipeline.findings import Kind
from inference.reclassify import Back, Wanted

BLAST, UNSURE, SURE = 7, 8, 1
State = Cell.DoubleReading


@pytest.fixture
def run(done_run, pathologist):
    return selectors.run_for(pathologist, done_run.pk)


def free(run):
    AnalysisRun.objects.filter(pk=run.pk).update(review_claimed_by=None, review_claimed_until=None)


def standing(run, number):
    return CellReview.objects.filter(cell__run=run, cell__number=number, undone_at=None).first()


def call(actor, run, label, number=UNSURE):
    free(run)
    word = standing(run, number)
    return reclassify.decide_many(actor, run, [Wanted(number, word.pk if word else None, label)])


def back(actor, run, outcome):
    free(run)
    return reclassify.put_back(
        actor, run, [Back(one.number, one.after, one.before) for one in outcome.changed]
    )


def state(run, number=UNSURE):
    return run.cells.get(number=number).double_reading


def columns(client, run):
    """What the gallery is told of each cell, by number."""
    came = client.get(reverse("inference:gallery-cells", args=[run.pk])).json()
    rows = zip(*came.values(), strict=True)
    return {row["number"]: row for row in (dict(zip(came, values, strict=True)) for values in rows)}


# --- blind ----------------------------------------------------------------------------------------
def test_a_cell_called_blind_stands_open_without_the_machines_word(all_blind, run, pathologist, client_for):
    rows = columns(client_for(pathologist), run)
    for number in (BLAST, UNSURE):
        row = rows[number]
        told = {key: row[key] for key in ("class", "confidence", "flags", "reasons", "heat", "said")}
        assert told == {
            "class": -1,
            "confidence": -1,
            "flags": viewer.NEEDS_REVIEW,
            "reasons": 0,
            "heat": 0,
            "said": 0,
        }
    assert rows[SURE]["class"] >= 0


def test_who_calls_no_cells_sees_the_machines_word(all_blind, run, clinician, client_for):
    assert columns(client_for(clinician), run)[BLAST]["class"] >= 0


def test_the_place_on_the_sheet_does_not_tell_the_machines_call(run):
    """Whatever the machine calls cells in review, they lie at the same places."""
    before = list(sheets.in_order(run, Kind.WBC).values_list("number", flat=True))
    run.cells.filter(number=BLAST).update(label="neutrophil", confidence=0.31)
    run.cells.filter(number=UNSURE).update(label="basophil", confidence=0.11)
    assert list(sheets.in_order(run, Kind.WBC).values_list("number", flat=True)) == before


def test_calling_in_the_gallery_is_the_blind_call(all_blind, run, pathologist, client_for):
    (changed,) = call(pathologist, run, "blast", BLAST).changed
    assert (changed.label, changed.corrected) == ("blast", False)
    assert standing(run, BLAST).blind
    row = columns(client_for(pathologist), run)[BLAST]
    assert viewer.legend()["classes"][row["class"]]["key"] == "blast"
    assert row["heat"] == 1
    again = back(pathologist, run, reclassify.Outcome([changed], []))
    assert again.unchanged == []
    call(pathologist, run, "lymphocyte", BLAST)
    assert not standing(run, BLAST).blind


# --- second readings ------------------------------------------------------------------------------
def test_the_first_call_is_hidden_from_the_second_reader(always, run, pathologist, colleague, client_for):
    call(pathologist, run, "monocyte")
    word = standing(run, UNSURE)
    mine, theirs = (columns(client_for(who), run)[UNSURE] for who in (pathologist, colleague))
    classes = [mark["key"] for mark in viewer.legend()["classes"]]
    assert classes[mine["class"]] == "monocyte"
    assert classes[theirs["class"]] == "eosinophil"
    assert (theirs["said"], theirs["flags"]) == (word.pk, viewer.NEEDS_REVIEW)


def test_a_sure_cell_that_waits_for_a_second_reader_is_open_to_them(
    always, run, pathologist, colleague, client_for
):
    call(pathologist, run, "neutrophil", SURE)
    assert columns(client_for(colleague), run)[SURE]["flags"] == viewer.NEEDS_REVIEW


def test_another_persons_call_in_the_gallery_is_the_second_and_can_be_taken_back(
    always, run, pathologist, colleague
):
    call(pathologist, run, "monocyte")
    first = standing(run, UNSURE)
    outcome = call(colleague, run, "eosinophil")
    (changed,) = outcome.changed
    assert (changed.before, changed.after, changed.label, changed.second) == (
        first.pk,
        first.pk,
        "monocyte",
        True,
    )
    assert state(run) == State.DIFFERS
    assert standing(run, UNSURE) == first
    (undone,) = back(colleague, run, outcome).changed
    assert undone.second
    assert state(run) == State.WAITING
    assert not SecondReview.objects.filter(undone_at=None).exists()


def test_the_first_reader_is_never_the_second(always, run, pathologist):
    call(pathologist, run, "monocyte")
    (changed,) = call(pathologist, run, "eosinophil").changed
    assert not changed.second
    assert not SecondReview.objects.exists()
    assert state(run) == State.WAITING


def test_nobody_takes_back_what_a_second_pathologist_has_called(always, run, pathologist, colleague):
    first = call(pathologist, run, "monocyte")
    call(colleague, run, "eosinophil")
    (unchanged,) = back(pathologist, run, first).unchanged
    assert "A second pathologist has called this cell" in unchanged.why


def test_a_third_settles_in_the_gallery_and_undoing_lets_them_differ_again(
    always, run, pathologist, colleague, third
):
    call(pathologist, run, "monocyte")
    first = standing(run, UNSURE)
    call(colleague, run, "eosinophil")
    (refused,) = call(colleague, run, "basophil").unchanged
    assert "a third one settles it" in refused.why
    settled = call(third, run, "basophil")
    assert (settled.changed[0].label, state(run)) == ("basophil", State.SETTLED)
    (undone,) = back(third, run, settled).changed
    assert (undone.after, undone.label, state(run)) == (first.pk, "monocyte", State.DIFFERS)


@pytest.mark.parametrize("how", ["decide", "put_back"])
def test_what_is_refused_does_not_tell_the_first_call(always, run, pathologist, colleague, how):
    call(pathologist, run, "monocyte")
    free(run)
    if how == "decide":
        outcome = reclassify.decide_many(colleague, run, [Wanted(UNSURE, None, "blast")])
    else:
        outcome = reclassify.put_back(colleague, run, [Back(UNSURE, standing(run, UNSURE).pk, None)])
    (unchanged,) = outcome.unchanged
    assert unchanged.why.startswith("A colleague called it")
    assert not any(word in unchanged.why for word in ("Monocyte", "Paul"))


def test_the_api_says_which_calls_were_second_ones(always, run, pathologist, colleague, api_for):
    call(pathologist, run, "monocyte")
    free(run)
    cells = [{"number": UNSURE, "seen": standing(run, UNSURE).pk, "label": "monocyte"}]
    address = reverse("inference:api-decide-many", args=[run.pk])
    answer = api_for(colleague).post(address, {"cells": cells}, format="json")
    assert answer.json()["changed"][0]["second"] is True
    assert AuditEvent.objects.get(verb="review.second").detail["agrees"] is True


# --- sign-off -------------------------------------------------------------------------------------
def test_second_readings_hold_up_the_sign_off_and_the_gate_says_so(
    always, run, pathologist, colleague, third, client_for, api_for
):
    for number in (BLAST, UNSURE):
        call(pathologist, run, "monocyte", number)
    call(colleague, run, "eosinophil")
    wanted = "1 cell waits for a second pathologist. On 1 cell two pathologists differ."
    free(run)
    with pytest.raises(review.NotComplete) as refused:
        review.sign_off(third, run)
    assert wanted in refused.value.text
    desk = client_for(third).get(reverse("inference:review-slide", args=[run.pk])).content.decode()
    assert wanted in desk
    told = api_for(third).get(reverse("inference:api-sign-off", args=[run.smear.case_id])).json()
    (check,) = [one for one in told["checks"] if one["key"] == "open_cells"]
    assert (check["state"], check["says"]) == ("open", wanted)
    call(colleague, run, "monocyte", BLAST)
    call(third, run, "monocyte")
    AnalysisRun.objects.filter(pk=run.pk).update(review_claimed_until=timezone.now())
    review.sign_off(third, selectors.run_for(third, run.pk))
