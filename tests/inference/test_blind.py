"""Blind first: nothing of the machine's call reaches the reader before they have called the cell."""

import re

from django.urls import reverse

from accounts import services
from accounts.models import DoubleReading
from inference import blind, review
from inference.agreements import lab_agreement
from inference.models import CellReview

BLAST, UNSURE = 7, 8
MACHINES_WORDS = ("Seen: a blast", "heatmap.png", "called a blast", "could take the blast flag", "91 %")


def address(name, run, *args):
    return reverse(f"inference:{name}", args=[run.pk, *args])


def test_the_share_is_fixed_by_the_cell_and_only_grows(done_run):
    drawn = {
        percent: {n for n in range(5000) if blind.is_drawn(done_run.pk, n, percent)}
        for percent in (0, 20, 40, 100)
    }
    assert (len(drawn[0]), len(drawn[100])) == (0, 5000)
    assert 900 < len(drawn[20]) < 1100
    assert drawn[20] < drawn[40]
    assert drawn[20] == {n for n in range(5000) if blind.is_drawn(done_run.pk, n, 20)}


def test_the_machines_call_is_in_none_of_the_pages(all_blind, done_run, pathologist, client_for):
    client = client_for(pathologist)
    pages = [
        client.get(address("review-slide", done_run) + f"?cell={BLAST}"),
        client.get(reverse("inference:review-queue")),
        client.get(address("cell", done_run, BLAST)),
        client.get(address("run", done_run) + f"?cell={BLAST}"),
    ]
    for page in pages:
        html = page.content.decode()
        assert page.status_code == 200
        assert not any(words in html for words in MACHINES_WORDS), page.request["PATH_INFO"]
    desk = pages[0].content.decode()
    assert "Called blind." in desk
    assert "Confirm:" not in desk
    assert "2 cells that you call blind are left out of the figures" in desk
    blasts = re.search(r'<th scope="row">Blast.*?<td class="num">(\d+)</td>', desk, re.S)
    assert blasts.group(1) == "0"
    for name in ("heatmap", "heat-map", "similar"):
        assert client.get(address(name, done_run, BLAST)).status_code == 409
    assert client.get(address("overlay", done_run)).status_code == 409
    assert client.get(address("crop", done_run, BLAST)).status_code == 200


def test_the_machines_call_is_in_none_of_the_answers(all_blind, done_run, pathologist, client_for, api_for):
    api = api_for(pathologist)
    for one in api.get("/api/v1/review/").json()["results"]:
        assert one["hidden"]
        assert (one["predicted_class"], one["confidence"], one["description"]) == (None, None, None)
        assert (one["reasons"], one["stakes"]) == ([], [])
    result = api.get(f"/api/v1/runs/{done_run.pk}/result/").json()
    (cell,) = [one for one in result["cell_detections"] if one["cell_id"] == BLAST]
    assert not cell.get("classification")
    assert result["wbc_differential"]["distribution"]["blast"] == 0
    assert BLAST not in {one["cell_id"] for one in result["uncertain_cases"]}
    assert "Seen: a blast" not in str(result)
    for path in (f"cells/{BLAST}/heat-map/", f"cells/{BLAST}/similar/", "overlay.png"):
        answer = api.get(f"/api/v1/runs/{done_run.pk}/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "hidden_until_called")
    cells = client_for(pathologist).get(address("viewer-cells", done_run)).json()
    place = cells["number"].index(BLAST)
    assert (cells["class"][place], cells["confidence"][place], cells["reasons"][place]) == (-1, -1, 0)


def test_those_who_call_no_cells_see_the_machines_calls(all_blind, done_run, clinician, client_for, api_for):
    assert "Seen: a blast" in client_for(clinician).get(address("cell", done_run, BLAST)).content.decode()
    result = api_for(clinician).get(f"/api/v1/runs/{done_run.pk}/result/").json()
    assert result["wbc_differential"]["distribution"]["blast"] == 1


def test_after_the_call_it_is_shown_with_whether_both_agree(all_blind, done_run, pathologist, client_for):
    desk = client_for(pathologist)
    desk.defaults["HTTP_HX_REQUEST"] = "true"
    differs = desk.post(address("decide", done_run, BLAST), {"label": "lymphocyte"}).content.decode()
    assert "The machine called it Blast: you differ." in differs
    agrees = desk.post(address("decide", done_run, UNSURE), {"label": "eosinophil"}).content.decode()
    assert "The machine agrees." in agrees
    seen = desk.get(address("review-slide", done_run) + f"?cell={BLAST}").content.decode()
    assert "called blind: differs from the machine" in seen
    assert "Seen: a blast" in seen
    assert "heatmap.png" in seen


def test_a_call_taken_back_is_not_blind_any_more(all_blind, done_run, pathologist):
    cell = done_run.cells.select_related("run__smear").get(number=BLAST)
    review.decide(pathologist, cell, "blast")
    review.undo(pathologist, cell)
    assert not blind.veil(pathologist, cell.run, cell).machine
    review.decide(pathologist, cell, "lymphocyte")
    assert [word.blind for word in CellReview.objects.order_by("pk")] == [True, False]


def test_blind_and_open_calls_are_counted_apart(done_run, administrator, pathologist):
    cell = done_run.cells.select_related("run__smear").get(number=UNSURE)
    review.decide(pathologist, cell, "monocyte")
    services.save_review_settings(administrator, DoubleReading.OFF, 100)
    other = done_run.cells.select_related("run__smear__case", "run__lab").get(number=BLAST)
    review.decide(pathologist, other, "blast")
    (reader,) = lab_agreement(administrator).readers
    assert (reader.open.pairs, reader.open.agreed.count) == (1, 0)
    assert (reader.blind.pairs, reader.blind.agreed.count) == (1, 1)
