"""Many cells called at once: the desk's verbs in one transaction, undone without touching the history."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEvent
from inference import reclassify, review, selectors
from inference.models import AnalysisRun, CellReview
from inference.reclassify import Back, Wanted

BLAST, UNSURE, SURE, RED = 7, 8, 1, 9


@pytest.fixture
def run(done_run, pathologist):
    return selectors.run_for(pathologist, done_run.pk)


def as_seen(run, *numbers):
    """The ids of the words that stand on some cells."""
    words = CellReview.objects.filter(cell__run=run, undone_at=None, cell__number__in=numbers)
    return dict(words.values_list("cell__number", "pk"))


def call(actor, run, label, *numbers):
    seen = as_seen(run, *numbers)
    return reclassify.decide_many(actor, run, [Wanted(number, seen.get(number), label) for number in numbers])


def back(actor, run, outcome, *, redo=False):
    """Undo a step, or do it again."""
    asked = [
        Back(one.number, one.before, one.after) if redo else Back(one.number, one.after, one.before)
        for one in outcome.changed
    ]
    return reclassify.put_back(actor, run, asked)


def counted(run, *numbers):
    return [selectors.current_label(run.cells.get(number=number)) for number in numbers]


def release(actor, run):
    AnalysisRun.objects.filter(pk=run.pk).update(review_claimed_until=timezone.now() - timedelta(seconds=1))


def test_many_cells_are_called_as_on_the_desk(run, pathologist):
    outcome = call(pathologist, run, "monocyte", SURE, BLAST, UNSURE)
    assert [(one.number, one.label, one.corrected) for one in outcome.changed] == [
        (SURE, "monocyte", True),
        (BLAST, "monocyte", True),
        (UNSURE, "monocyte", True),
    ]
    assert outcome.unchanged == []
    assert counted(run, SURE, BLAST, UNSURE) == ["monocyte"] * 3
    assert selectors.cells_of([run]).figures().differential["monocyte"].count == 4
    lines = AuditEvent.objects.filter(verb="review.decide").order_by("pk")
    assert [line.detail for line in lines] == [
        {"number": number, "machine": machine, "label": "monocyte"}
        for number, machine in ((SURE, "neutrophil"), (BLAST, "blast"), (UNSURE, "eosinophil"))
    ]
    run.refresh_from_db()
    assert run.review_claimed_by == pathologist


def test_each_cell_can_be_confirmed_in_one_go(run, pathologist):
    outcome = reclassify.decide_many(
        pathologist, run, [Wanted(BLAST, None, "blast"), Wanted(UNSURE, None, "eosinophil")]
    )
    assert [one.corrected for one in outcome.changed] == [False, False]
    assert not selectors.open_cells(run).exists()


def test_several_steps_are_undone_and_redone(run, pathologist):
    first = call(pathologist, run, "monocyte", BLAST, UNSURE)
    second = call(pathologist, run, "basophil", UNSURE)
    undone = back(pathologist, run, second)
    assert counted(run, BLAST, UNSURE) == ["monocyte", "monocyte"]
    assert undone.changed[0].after not in (None, second.changed[0].before)
    first.changed[1] = undone.changed[0]
    back(pathologist, run, type(first)([_after_undo(first.changed[0]), _after_undo(first.changed[1])], []))
    assert counted(run, BLAST, UNSURE) == ["blast", "eosinophil"]
    assert selectors.open_cells(run).count() == 2
    redone = reclassify.put_back(
        pathologist,
        run,
        [Back(BLAST, None, first.changed[0].after), Back(UNSURE, None, undone.changed[0].after)],
    )
    assert len(redone.changed) == 2
    assert counted(run, BLAST, UNSURE) == ["monocyte", "monocyte"]


def _after_undo(one):
    return reclassify.Changed(one.number, None, one.after, one.label, one.corrected)


def test_undoing_edits_no_row_of_the_history(run, pathologist):
    outcome = call(pathologist, run, "monocyte", UNSURE)
    call(pathologist, run, "basophil", UNSURE)
    before = list(CellReview.objects.order_by("pk").values("pk", "label", "reviewer", "decided_at"))
    seen = as_seen(run, UNSURE)[UNSURE]
    reclassify.put_back(pathologist, run, [Back(UNSURE, seen, outcome.changed[0].after)])
    after = list(CellReview.objects.order_by("pk").values("pk", "label", "reviewer", "decided_at"))
    assert after[: len(before)] == before
    assert [row["label"] for row in after] == ["monocyte", "basophil", "monocyte"]
    verbs = (
        AuditEvent.objects.filter(verb__startswith="review.").order_by("pk").values_list("verb", flat=True)
    )
    assert list(verbs) == ["review.decide"] * 3


def test_undoing_over_a_colleagues_call_says_it_under_their_name(run, pathologist, colleague):
    review.decide(colleague, run.cells.get(number=UNSURE), "basophil", "coarse granules")
    release(colleague, run)
    mine = call(pathologist, run, "neutrophil", UNSURE)
    back(pathologist, run, mine)
    standing = CellReview.objects.get(cell__number=UNSURE, undone_at=None)
    assert (standing.label, standing.reviewer) == ("basophil", pathologist)
    assert standing.comment == "as Petra Peer had called it: coarse granules"


def test_a_cell_changed_meanwhile_is_named_and_the_others_are_called(run, pathologist, colleague):
    review.decide(colleague, run.cells.get(number=UNSURE), "basophil")
    release(colleague, run)
    outcome = reclassify.decide_many(
        pathologist, run, [Wanted(BLAST, None, "lymphocyte"), Wanted(UNSURE, None, "lymphocyte")]
    )
    assert [one.number for one in outcome.changed] == [BLAST]
    assert [(one.number, one.why) for one in outcome.unchanged] == [
        (UNSURE, "Petra Peer called it Basophil meanwhile.")
    ]
    assert counted(run, BLAST, UNSURE) == ["lymphocyte", "basophil"]


def test_a_call_taken_back_meanwhile_is_told(run, pathologist):
    outcome = call(pathologist, run, "monocyte", UNSURE)
    review.undo(pathologist, run.cells.get(number=UNSURE))
    again = back(pathologist, run, outcome)
    assert [one.why for one in again.unchanged] == ["The call that stood on it was taken back meanwhile."]


def test_nobody_takes_back_anothers_call(run, pathologist, colleague):
    theirs = call(colleague, run, "basophil", UNSURE)
    release(colleague, run)
    outcome = back(pathologist, run, theirs)
    assert [one.why for one in outcome.unchanged] == [
        "Petra Peer called it Basophil; only they can take that back."
    ]
    assert counted(run, UNSURE) == ["basophil"]


def test_what_cannot_be_called_is_named_and_the_rest_is_done(run, pathologist):
    outcome = call(pathologist, run, "neutrophil", RED, 999, UNSURE)
    assert {one.number: one.why for one in outcome.unchanged} == {
        RED: "Only cells that were classified can be reviewed.",
        999: "There is no cell of this number on the smear.",
    }
    assert counted(run, UNSURE) == ["neutrophil"]


def test_a_word_of_another_cell_is_no_way_back(run, pathologist):
    outcome = call(pathologist, run, "monocyte", BLAST, UNSURE)
    blasts = outcome.changed[0].after
    again = reclassify.put_back(pathologist, run, [Back(UNSURE, outcome.changed[1].after, blasts)])
    assert [one.why for one in again.unchanged] == ["There never was such a call on this cell."]


def test_ones_own_comment_stays(run, pathologist):
    review.decide(pathologist, run.cells.get(number=UNSURE), "basophil", "coarse granules")
    call(pathologist, run, "neutrophil", UNSURE)
    assert CellReview.objects.get(cell__number=UNSURE, undone_at=None).comment == "coarse granules"


def test_a_signed_off_or_held_slide_is_refused_as_on_the_desk(run, pathologist, colleague):
    call(colleague, run, "monocyte", BLAST, UNSURE)
    with pytest.raises(review.ReviewConflict, match="held by Petra Peer"):
        call(pathologist, run, "basophil", SURE)
    review.sign_off(colleague, run)
    with pytest.raises(review.ReviewConflict, match="signed off by Petra Peer"):
        call(colleague, run, "basophil", SURE)
    assert counted(run, SURE) == ["neutrophil"]


@pytest.mark.parametrize("who", ["clinician", "administrator"])
def test_only_pathologists_call_cells(who, request, run):
    with pytest.raises(PermissionDenied):
        call(request.getfixturevalue(who), run, "monocyte", SURE)
    assert CellReview.objects.count() == 0


def test_too_many_cells_or_one_twice_are_refused(run, pathologist, monkeypatch):
    monkeypatch.setattr(reclassify, "MOST", 2)
    for numbers, said in (
        ((1, 2, 3), "1 to 2 cells at a time, not 3"),
        ((1, 1), "Cell 1 was named twice"),
        ((), "not 0"),
    ):
        with pytest.raises(review.InvalidDecision, match=said):
            call(pathologist, run, "monocyte", *numbers)
    assert CellReview.objects.count() == 0


def test_a_fault_in_the_middle_leaves_nothing_half_done(run, pathologist, monkeypatch):
    decide = review.decide

    def fails_on_the_third(actor, cell, label, comment="", **how):
        if cell.number == 3:
            raise RuntimeError("the disk is full")
        return decide(actor, cell, label, comment, **how)

    monkeypatch.setattr(review, "decide", fails_on_the_third)
    with pytest.raises(RuntimeError):
        call(pathologist, run, "monocyte", 1, 2, 3)
    assert not CellReview.objects.exists()
    assert not AuditEvent.objects.filter(verb="review.decide").exists()


def test_a_cell_costs_its_own_rows_and_no_more(run, pathologist):
    """What stood, its end, the word, what it asks of others and the audit line; cells are read once."""

    def queries(*numbers):
        with CaptureQueriesContext(connection) as captured:
            call(pathologist, run, "monocyte", *numbers)
        return len(captured)

    call(pathologist, run, "basophil", 1, 2, 3, 4, 5)
    one, four = queries(1), queries(2, 3, 4, 5)
    assert four - one <= 3 * 9
