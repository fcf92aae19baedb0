"""Counts by hand: kept beside the machine's, once, by a pathologist, whether or not a worker runs."""

from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from accounts.models import AuditEvent, Role
from inference import by_hand, pages, selectors
from inference.by_hand import CountConflict, Tally, counted_by_hand
from inference.models import ManualCount
from inference.results import ClassLine
from inference.templatetags.by_hand import decided
from tests.conftest import person
from tests.counted import HEALTHY, analysed

HUNDRED = {"neutrophil": 60, "lymphocyte": 30, "monocyte": 8, "eosinophil": 2, "erythroblast": 3}


def sent(counts, target=100, count_id=None):
    everything = dict.fromkeys(by_hand.COUNTED, 0) | counts
    return {"count_id": count_id or uuid4(), "target": target, "comment": "", **everything}


@pytest.fixture
def address(queued_run):
    return reverse("inference:tally", args=[queued_run.smear_id])


def test_it_is_counted_before_any_worker_has_run(address, queued_run, pathologist, client_for):
    desk = client_for(pathologist)
    assert desk.get(address).status_code == 200
    answer = desk.post(address, sent(HUNDRED))
    assert answer.status_code == 302
    row = ManualCount.objects.get()
    assert (row.smear_id, row.reader, row.target, row.counts) == (
        queued_run.smear_id,
        pathologist,
        100,
        HUNDRED,
    )
    line = AuditEvent.objects.get(verb="smear.count")
    assert line.detail == {"ends_at": 100, "counts": HUNDRED}
    assert "Counted by hand" in desk.get(answer["Location"]).content.decode()


def test_a_count_sent_twice_is_one_row(address, pathologist, client_for):
    desk, given = client_for(pathologist), sent(HUNDRED)
    for _ in range(2):
        assert desk.post(address, given).status_code == 302
    assert ManualCount.objects.count() == 1
    assert desk.post(address, given | {"monocyte": 7}).status_code == 422


@pytest.mark.parametrize(
    "given",
    [
        sent({}),
        sent({"neutrophil": 101}),
        sent({"neutrophil": -1, "monocyte": 5}),
        sent({"neutrophil": 50}, 150),
        {},
        sent({"erythroblast": 5}),
    ],
)
def test_what_is_no_count_is_refused(address, pathologist, client_for, given):
    assert client_for(pathologist).post(address, given).status_code == 422
    assert not ManualCount.objects.exists()


def test_only_pathologists_count(address, queued_run, clinician, administrator, client_for):
    for who in (clinician, administrator):
        assert client_for(who).post(address, sent(HUNDRED)).status_code == 403
    with pytest.raises(PermissionDenied):
        by_hand.save(clinician, queued_run.smear, Tally(uuid4(), 100, HUNDRED))


def test_nobody_counts_in_another_laboratory(queued_run, stranger):
    with pytest.raises(PermissionDenied):
        by_hand.save(stranger, queued_run.smear, Tally(uuid4(), 100, HUNDRED))


def test_a_refused_count_comes_back_as_it_was_sent(address, pathologist, client_for):
    given = sent(HUNDRED | {"neutrophil": 170}, target=100) | {"comment": "thick <film>"}
    answer = client_for(pathologist).post(address, given)
    shown = answer.content.decode()
    assert answer.status_code == 422
    assert 'name="neutrophil" value="170"' in shown
    assert 'name="lymphocyte" value="30"' in shown
    assert "thick &lt;film&gt;" in shown
    typed = client_for(pathologist).post(address, given | {"monocyte": "many", "target": 200})
    assert 'name="monocyte" value="many"' in typed.content.decode()
    assert 'value="200" checked' in typed.content.decode()


def test_it_stands_beside_the_machines_and_changes_no_figure(
    case, field_file, findings, pathologist, client_for
):
    run = analysed(case, field_file(), findings, HEALTHY)
    before = selectors.result_payload(run)
    by_hand.save(pathologist, run.smear, Tally(uuid4(), 100, HUNDRED))
    assert selectors.result_payload(run) == before
    (count,) = pages.result(run).by_hand
    assert (count.total, count.is_whole, count.differing) == (100, True, [])
    said = client_for(pathologist).get(reverse("inference:run", args=[run.pk])).content.decode()
    assert "agrees with the machine" in said


def test_a_disagreement_is_named(queued_run, pathologist):
    by_hand.save(pathologist, queued_run.smear, Tally(uuid4(), 100, {"lymphocyte": 90, "blast": 10}))
    (count,) = counted_by_hand(queued_run.smear, HEALTHY)
    assert count.differing == ["Neutrophil", "Lymphocyte", "Monocyte", "Blast"]


def test_a_withdrawn_count_stays_as_a_row(lab, queued_run, pathologist):
    row = by_hand.save(pathologist, queued_run.smear, Tally(uuid4(), 100, HUNDRED))
    with pytest.raises(CountConflict):
        by_hand.withdraw(person(lab, Role.PATHOLOGIST, "Petra Peer"), row)
    by_hand.withdraw(pathologist, row)
    assert counted_by_hand(queued_run.smear, {}) == []
    assert ManualCount.objects.get().withdrawn_at
    assert AuditEvent.objects.filter(verb="smear.count_withdrawn").count() == 1


# --- count until decided --------------------------------------------------------------------------
def line(key, count, total, reference=None):
    percent = 100 * count / total
    return ClassLine(key, key, count, percent, 0, 0, reference, False)


@pytest.mark.parametrize(
    ("key", "count", "total", "reference", "words"),
    [
        ("neutrophil", 300, 500, (50, 70), ["within the range"]),
        ("neutrophil", 90, 100, (50, 70), ["above 70 %"]),
        ("lymphocyte", 2, 100, (20, 40), ["below 20 %"]),
        ("blast", 40, 100, None, ["above 20 %"]),
        ("blast", 0, 100, None, ["below 20 %"]),
        ("blast", 20, 100, None, ["undecided at 20 %: not within 1,000 more cells"]),
        ("basophil", 0, 100, (0, 1), ["undecided at 1 %: about 268 more cells"]),
        ("immature_granulocyte", 1, 100, None, []),
    ],
)
def test_limits_in_words(key, count, total, reference, words):
    assert decided(line(key, count, total, reference), total) == words
