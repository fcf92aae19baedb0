"""The cells most like one cell: whose they are, by which network, in which order, what pages say of them."""

import re
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from html import unescape

import numpy as np
import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role
from cases.services import create_case, create_patient
from inference import review, review_queue, runs, similar
from inference.models import Cell, CellReview
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.findings import NetworkUsed
from inference.pipeline.networks import registry
from tests.conftest import person

OTHER = NetworkUsed("wbc-test", "2.0.0", "ef" * 32)


def direction(degrees: float) -> np.ndarray:
    """An embedding of two numbers: the angle between two of them is all there is to compare."""
    turned = np.deg2rad(degrees)
    return np.array([np.cos(turned), np.sin(turned)], np.float16)


@pytest.fixture
def analysed(findings, field_file, patient, clinician):
    """Hands in a field of a case of its own; its white cells 1–8 lie `apart` degrees from each other."""
    made = []

    def make(start=0.0, apart=10.0, by=None, networks=None, seed=None, **changes):
        actor = by or clinician
        who = patient
        if actor.lab_id != patient.lab_id:
            name = {"family_name": "Bell", "given_name": "Ann"}
            who = create_patient(actor, mrn="MRN-9", birth_date="1970-01-01", sex="female", **name)
        made.append(None)
        case = create_case(
            actor,
            patient=who,
            accession=f"S26-{len(made):04}",
            collected_at=timezone.now() - timedelta(hours=1),
        )
        cells = [
            replace(cell, call=replace(cell.call, embedding=direction(start + apart * (cell.cell_id - 1))))
            if cell.call
            else cell
            for cell in findings.cells
        ]
        run = runs.submit(actor, case, field_file(seed=len(made) if seed is None else seed))
        found = replace(findings, cells=tuple(cells), networks=networks or findings.networks, **changes)
        runs.save(run.pk, runs.QUEUE.claim(run.pk), found)
        run.refresh_from_db()
        return run

    return make


def confirm(by, run, *numbers, label="monocyte"):
    for number in numbers:
        review.decide(by, run.cells.get(number=number), label)


def numbers(found):
    return [(one.cell.run_id, one.cell.number) for one in found.neighbours]


# --- which cells ----------------------------------------------------------------------------------
def test_the_nearest_come_first_and_the_cell_itself_does_not(analysed, pathologist):
    run = analysed()
    confirm(pathologist, run, 1, 2, 3, 4, 8)
    confirm(pathologist, run, 5, label="blast")
    found = similar.similar(pathologist, run.cells.get(number=1))
    assert numbers(found) == [(run.pk, number) for number in (2, 3, 4, 5, 8)]
    assert found.compared == 5
    expected = np.cos(np.deg2rad([10, 20, 30, 40, 70]))
    assert [one.similarity for one in found.neighbours] == pytest.approx(expected.tolist(), abs=2e-3)
    assert all(one.same_smear for one in found.neighbours)
    assert found.votes == [("monocyte", 4), ("blast", 1)]


def test_only_so_many_are_shown(analysed, pathologist):
    run = analysed()
    confirm(pathologist, run, *range(1, 9))
    found = similar.similar(pathologist, run.cells.get(number=1), count=2)
    assert [number for _, number in numbers(found)] == [2, 3]
    assert found.compared == 7


def test_a_word_counts_from_when_it_is_given_until_it_is_undone(analysed, pathologist):
    run = analysed()
    asked = run.cells.get(number=1)
    assert similar.similar(pathologist, asked).neighbours == ()
    confirm(pathologist, run, 2)
    confirm(pathologist, run, 2, label="blast")
    (only,) = similar.similar(pathologist, asked).neighbours
    assert only.review.label == "blast"
    review.undo(pathologist, run.cells.get(number=2))
    assert similar.similar(pathologist, asked).neighbours == ()


def test_another_laboratorys_cells_are_never_shown(analysed, pathologist, stranger, other_lab):
    own, theirs = analysed(), analysed(by=stranger)
    confirm(stranger, theirs, 1, 2)
    confirm(pathologist, own, 2)
    assert numbers(similar.similar(pathologist, own.cells.get(number=1))) == [(own.pk, 2)]
    assert numbers(similar.similar(stranger, theirs.cells.get(number=1))) == [(theirs.pk, 2)]


@pytest.mark.parametrize(
    "changed", [replace(OTHER, version="1.0.0"), replace(OTHER, sha256="ab" * 32), replace(OTHER, name="x")]
)
def test_cells_of_another_network_or_version_are_not_compared(analysed, pathologist, changed):
    own, later = analysed(), analysed(networks=(changed, NetworkUsed("wbc-test", "1.0.0", "ab" * 32)))
    confirm(pathologist, own, 1)
    confirm(pathologist, later, 1, 2)
    assert numbers(similar.similar(pathologist, own.cells.get(number=2))) == [(own.pk, 1)]
    assert numbers(similar.similar(pathologist, later.cells.get(number=1))) == [(later.pk, 2)]


def test_the_same_cell_in_another_analysis_of_the_image_is_no_neighbour(analysed, pathologist):
    first, again, other = analysed(seed=50), analysed(seed=50), analysed(seed=51)
    for run in (first, again, other):
        confirm(pathologist, run, 1, 2)
    found = similar.similar(pathologist, first.cells.get(number=1))
    assert numbers(found)[0] == (other.pk, 1)
    assert set(numbers(found)) == {(other.pk, 1), (other.pk, 2), (again.pk, 2), (first.pk, 2)}
    assert {one.cell.run_id: one.same_smear for one in found.neighbours} == {
        other.pk: False,
        again.pk: True,
        first.pk: True,
    }


def test_no_more_than_the_newest_are_compared(analysed, pathologist, monkeypatch):
    run = analysed()
    confirm(pathologist, run, 2, 8, 7)
    monkeypatch.setattr(similar, "COMPARED_AT_MOST", 2)
    found = similar.similar(pathologist, run.cells.get(number=1))
    assert found.compared == 2
    assert [number for _, number in numbers(found)] == [7, 8]


def test_a_cell_without_an_embedding_is_not_compared(analysed, pathologist, done_run):
    confirm(pathologist, analysed(), 1)
    found = similar.similar(pathologist, done_run.cells.get(number=1))
    assert (found.embedded, found.compared, found.neighbours, found.training) == (False, 0, (), ())
    assert not similar.similar(pathologist, done_run.cells.get(number=9)).embedded


def test_a_cell_without_an_embedding_is_no_neighbour(analysed, pathologist, done_run):
    confirm(pathologist, done_run, 1)
    assert similar.similar(pathologist, analysed().cells.get(number=1)).compared == 0


def test_what_is_kept_is_what_the_pipeline_gave(analysed):
    cell = analysed(start=20).cells.get(number=2)
    assert bytes(cell.embedding) == direction(30).astype("<f2").tobytes()


def test_lists_leave_the_embedding_in_the_database(analysed, pathologist):
    from inference import selectors

    run = analysed()
    assert "embedding" not in selectors.cells_of([run]).called[0].row._fields
    assert "embedding" in review_queue.queue(pathologist)[0].get_deferred_fields()


def test_three_questions_whatever_the_number_of_cells(analysed, pathologist, django_assert_num_queries):
    first, second = analysed(), analysed()
    confirm(pathologist, first, *range(1, 9))
    confirm(pathologist, second, *range(1, 9))
    cell = first.cells.select_related("run__smear").get(number=1)
    with django_assert_num_queries(3):
        found = similar.similar(pathologist, cell)
        assert [str(one.review.reviewer) for one in found.neighbours] == [str(pathologist)] * 6
        assert {one.cell.run.smear.case.accession for one in found.neighbours}
        assert len(found.votes) == 1


# --- the training ---------------------------------------------------------------------------------
@pytest.fixture
def described(monkeypatch, findings):
    """The network of the findings has a card that describes training cells of four classes."""

    def reference(degrees, low=0.9):
        mean = b64encode(direction(degrees).astype("<f2").tobytes()).decode()
        return {"n": 200, "mean": mean, "similarity": [low, 0.95, 0.99]}

    classes = {
        "blast": reference(80),
        "monocyte": reference(0),
        "lymphocyte": reference(30),
        "neutrophil": reference(120),
    }
    shipped, used = registry.card("wbc"), findings.networks[0]
    text = {**shipped.text, "embedding": {"dimension": 2, "classes": classes}}
    card = replace(shipped, name=used.name, version=used.version, sha256=used.sha256, text=text)
    monkeypatch.setattr(registry, "card", lambda name, folder: card)
    return card


def test_while_few_are_confirmed_the_training_is_told_of(analysed, pathologist, described):
    run = analysed(start=10, apart=0)
    confirm(pathologist, run, 2)
    found = similar.similar(pathologist, run.cells.get(number=1))
    assert len(found.neighbours) == 1
    assert [one.label for one in found.training] == ["monocyte", "lymphocyte", "blast", "neutrophil"]
    assert [one.similarity for one in found.training] == pytest.approx(
        np.cos(np.deg2rad([10, 20, 70, 110])).tolist(), abs=2e-3
    )
    assert [one.is_far for one in found.training] == [False, False, True, True]
    assert (found.training[0].count, found.training[0].median) == (200, 0.95)


def test_the_class_it_was_called_is_told_of_though_it_is_not_among_the_most_similar(
    analysed, pathologist, described
):
    run = analysed(start=10, apart=0)
    monocyte = similar.similar(pathologist, run.cells.get(number=6))
    assert [one.label for one in monocyte.training] == ["monocyte", "lymphocyte", "blast"]
    neutrophil = similar.similar(pathologist, run.cells.get(number=1))
    assert neutrophil.training[-1].label == "neutrophil"


def test_with_enough_confirmed_cells_the_training_is_left_out(analysed, pathologist, described):
    run = analysed()
    confirm(pathologist, run, *range(2, 8))
    assert similar.similar(pathologist, run.cells.get(number=1)).training == ()


def test_a_card_of_another_version_describes_other_cells(analysed, pathologist, described):
    run = analysed(networks=(replace(described.used, version="0.9"),))
    assert similar.similar(pathologist, run.cells.get(number=1)).training == ()


def test_a_card_that_is_gone_or_describes_no_cells_is_no_error(analysed, pathologist, monkeypatch, findings):
    cell = analysed().cells.get(number=1)
    with pytest.raises(NetworkUnavailable):
        registry.card(findings.networks[0].name)
    assert similar.similar(pathologist, cell).training == ()
    bare = replace(registry.card("wbc"), name="wbc-test", version="1.0.0", sha256="ab" * 32, text={})
    monkeypatch.setattr(registry, "card", lambda name, folder: bare)
    assert similar.similar(pathologist, cell).training == ()


# --- pages and API --------------------------------------------------------------------------------
def address(run, number, prefix=""):
    return reverse(f"inference:{prefix}similar", args=[run.pk, number])


def text_of(response):
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", response.content.decode())))


def test_the_panel_shows_who_confirmed_what_and_the_vote(analysed, pathologist, client_for):
    own, other = analysed(), analysed()
    confirm(pathologist, own, 2, 3)
    confirm(pathologist, other, 1, label="blast")
    answer = client_for(pathologist).get(address(own, 1))
    html, words = answer.content.decode(), text_of(answer)
    assert "The 3 nearest of 3 compared: 2 monocyte , 1 blast ." in words
    assert f'href="{reverse("inference:run", args=[other.pk])}?cell=1"' in html
    assert f'src="{reverse("inference:crop", args=[own.pk, 2])}"' in html
    assert 'alt="Cell 2 of field.png"' in html
    assert "98 % similar" in words and "same smear" in words and "S26-0002" in words
    assert words.count("Paul Path") == 3
    for source in re.findall(r'src="([^"]+)"', html):
        assert client_for(pathologist).get(source).status_code == 200


def test_the_panel_says_why_it_is_empty(analysed, pathologist, client_for, done_run):
    client, run = client_for(pathologist), analysed()
    assert "No other cell that this network called has been confirmed" in text_of(client.get(address(run, 1)))
    assert "describes no training cells" in text_of(client.get(address(run, 1)))
    assert "kept nothing by which the cell could be compared" in text_of(client.get(address(done_run, 1)))


def test_the_panel_tells_of_the_training(analysed, pathologist, client_for, described):
    words = text_of(client_for(pathologist).get(address(analysed(start=10, apart=0), 1)))
    assert "Monocyte 98 % similar 90 of 100 training cells: 90 % to 99 % (n = 200)" in words
    assert "Blast 34 % similar less than they are" in words


def test_panels_ask_for_it_later_and_only_of_called_cells(analysed, pathologist, client_for):
    client, run = client_for(pathologist), analysed()
    panel = reverse("inference:cell", args=[run.pk, 8])
    desk = reverse("inference:review-slide", args=[run.pk])
    for page in (panel, f"{desk}?cell=8"):
        html = client.get(page).content.decode()
        assert html.count(f'hx-get="{address(run, 8)}" hx-trigger="load') == 1
    uncalled = client.get(reverse("inference:cell", args=[run.pk, 9])).content.decode()
    assert "similar" not in uncalled


def test_a_stranger_and_a_cell_that_is_not_there_find_nothing(
    analysed, pathologist, stranger, other_lab, client_for, api_for
):
    run = analysed()
    outsider = person(other_lab, Role.ADMINISTRATOR, "Otto Outside")
    for who in (stranger, outsider):
        assert client_for(who).get(address(run, 1)).status_code == 404
        assert api_for(who).get(address(run, 1, "api-")).status_code == 404
    assert client_for(pathologist).get(address(run, 99)).status_code == 404
    assert api_for(pathologist).get(address(run, 99, "api-")).status_code == 404


def test_the_api_says_the_same(analysed, pathologist, api_for, described):
    own, other = analysed(), analysed(start=3)
    confirm(pathologist, other, 1)
    said = api_for(pathologist).get(address(own, 1, "api-")).json()
    (cell,) = said["cells"]
    standing = CellReview.objects.get(undone_at=None)
    assert (said["compared"], said["votes"]) == (1, {"monocyte": 1})
    assert (cell["run"], cell["case"]) == (str(other.pk), str(other.smear.case_id))
    assert (cell["cell_id"], cell["confirmed_class"], cell["machine_class"]) == (1, "monocyte", "neutrophil")
    assert (cell["reviewer"], cell["same_smear"]) == ("Paul Path", False)
    assert cell["similarity"] == pytest.approx(np.cos(np.deg2rad(3)), abs=2e-3)
    assert cell["decided_at"].startswith(standing.decided_at.date().isoformat())
    assert said["training"][0] == {
        "cell_class": "monocyte",
        "similarity": pytest.approx(1),
        "training_cells": 200,
        "low": 0.9,
        "median": 0.95,
        "high": 0.99,
    }


def test_the_api_waits_for_the_analysis(queued_run, pathologist, api_for):
    Cell.objects.filter(run=queued_run).delete()
    assert api_for(pathologist).get(address(queued_run, 1, "api-")).status_code == 409
