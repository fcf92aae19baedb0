"""A cell in words: kept for the class they were written for, shown as machine text, never for another."""

from dataclasses import replace

import numpy as np
import pytest

from inference import records, review, runs, selectors
from inference.heat_maps import Asked
from inference.pipeline.findings import Attempt, Remediation, Remedy
from tests.conftest import field_image

V1 = "/api/v1"
SEEN = "Seen: a eosinophil."


def test_words_are_kept_with_the_class_they_were_written_for(done_run, findings):
    kept = {cell.number: records.description(cell.description) for cell in done_run.cells.all()}
    assert {number for number, words in kept.items() if words} == {7, 8}
    assert kept[8] == findings.cells[7].description


def test_the_payload_has_them_for_cells_in_review_only(done_run, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        payload = selectors.result_payload(done_run)
    detections = {one["cell_id"]: one for one in payload["cell_detections"]}
    assert {number for number, one in detections.items() if "description" in one} == {7, 8}
    for uncertain in payload["uncertain_cases"]:
        words = uncertain["description"]
        assert words == detections[uncertain["cell_id"]]["description"]
        assert words["machine_text"] is True and words["label"] == uncertain["predicted_class"]


def test_the_review_queue_of_the_api_has_them(done_run, api_for, pathologist):
    waiting = api_for(pathologist).get(f"{V1}/review/").json()["results"]
    assert [one["description"]["label"] for one in waiting] == [one["predicted_class"] for one in waiting]
    done_run.cells.update(description={})
    waiting = api_for(pathologist).get(f"{V1}/review/").json()["results"]
    assert waiting and all(one["description"] is None for one in waiting)


@pytest.mark.parametrize("address", ["/runs/{run}/cells/8/", "/review/{run}/?cell=8", "/runs/{run}/?cell=8"])
def test_pages_show_them_as_machine_text(done_run, client_for, pathologist, address):
    page = client_for(pathologist).get(address.format(run=done_run.pk)).content.decode()
    words = page.partition("In words")[2].partition("</section>")[0]
    assert "machine text" in words and SEEN in words
    assert "written for" not in words and "for the call eosinophil" in words


@pytest.mark.parametrize("address", ["/runs/{run}/cells/8/", "/review/{run}/?cell=8"])
def test_after_a_correction_they_do_not_claim_the_new_call(done_run, client_for, pathologist, address):
    review.decide(pathologist, done_run.cells.get(number=8), "monocyte")
    page = client_for(pathologist).get(address.format(run=done_run.pk)).content.decode()
    assert "written for Eosinophil; the call that stands is Monocyte" in page
    assert 'name="label" value="monocyte"' in page


def test_a_page_asks_for_map_and_words_of_the_call_that_stands(
    at_once, monkeypatch, done_run, client_for, pathologist
):
    asked = []
    monkeypatch.setattr("inference.heat_maps.heat_map", lambda user, row, of: asked.append(of))
    client_for(pathologist).get(f"/runs/{done_run.pk}/cells/8/heat-map/?method=grad_cam&label=monocyte")
    assert asked == [Asked("grad_cam", "monocyte")]


def test_what_was_tried_for_the_second_reader_is_shown_as_tried_and_the_call_stays(
    queued_run, findings, client_for, pathologist
):
    first = Attempt(Remedy.NONE, "eosinophil", 0.55, 0.8, True)
    tried = Remediation(
        ("second_reader",), (first, Attempt(Remedy.TIGHT, "monocyte", 0.9, 0.9, True)), Remedy.NONE
    )
    cells = [*findings.cells]
    cells[7] = replace(cells[7], remediation=tried)
    found = replace(findings, cells=tuple(cells))
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), found, np.asarray(field_image()))
    page = client_for(pathologist).get(f"/runs/{queued_run.pk}/cells/8/").content.decode()
    assert "Called again because the second reader doubts the call, which stays" in page
    assert queued_run.cells.get(number=8).label == "eosinophil"
