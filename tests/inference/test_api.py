"""The API: fixed names and shapes, one shape of refusal, and the same rules as the pages."""

import io

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from inference import answers, predictions, review, runs, tasks
from inference.models import AnalysisRun
from inference.pipeline.errors import NetworkUnavailable
from inference.serializers import FocusSerializer, PredictionSerializer
from tests.hard_files import HARD_FILES
from tests.inference.pipeline.test_single_cell import cell_image

V1 = "/api/v1"


def tiny_file():
    """An image of fewer pixels than a cell has."""
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 120, 160)).save(buffer, "PNG")
    return SimpleUploadedFile("tiny.png", buffer.getvalue(), "image/png")


def refusal(response):
    """The code of a refusal, which has nothing beside code, message and, for bad input, the fields."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) - {"fields"} == {"code", "message"}
    assert body["error"]["message"]
    return response.status_code, body["error"]["code"]


def test_a_smear_is_handed_in_and_listed(api_for, clinician, case, field_file):
    api = api_for(clinician)
    made = api.post(f"{V1}/cases/{case.pk}/smears/", {"file": field_file()}, format="multipart")
    assert made.status_code == 201
    run = made.json()["run"]
    assert (run["status"], run["progress"], run["error"]) == ("queued", 0.0, None)
    listed = api.get(f"{V1}/cases/{case.pk}/smears/").json()["results"]
    assert [smear["run"]["id"] for smear in listed] == [run["id"]]
    assert listed[0]["sha256"] == made.json()["sha256"]
    assert api.get(f"{V1}/runs/{run['id']}/").json() == run


def test_refused_files_have_code_and_message(api_for, clinician, case, field_file):
    api = api_for(clinician)
    address = f"{V1}/cases/{case.pk}/smears/"
    api.post(address, {"file": field_file()}, format="multipart")
    assert refusal(api.post(address, {"file": field_file()}, format="multipart")) == (409, "duplicate")
    junk = SimpleUploadedFile("smear.png", b"no image at all", "image/png")
    assert refusal(api.post(address, {"file": junk}, format="multipart"))[0] == 422
    assert refusal(api.post(address, {}, format="multipart")) == (400, "invalid")
    assert AnalysisRun.objects.count() == 1


def test_the_result_comes_when_the_run_is_done(api_for, clinician, queued_run, findings):
    api = api_for(clinician)
    assert refusal(api.get(f"{V1}/runs/{queued_run.pk}/result/")) == (409, "run_conflict")
    assert refusal(api.get(f"{V1}/runs/{queued_run.pk}/overlay.png")) == (409, "run_conflict")
    overlay = np.zeros((480, 640, 3), np.uint8)
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), findings, overlay)
    result = api.get(f"{V1}/runs/{queued_run.pk}/result/").json()
    assert result["summary"]["wbc_count"] == 8
    assert result["ruo"] is True
    assert len(result["cell_detections"]) == len(findings.cells)
    picture = api.get(f"{V1}/runs/{queued_run.pk}/overlay.png")
    assert b"".join(picture.streaming_content).startswith(b"\x89PNG")


def test_a_failed_run_says_why_and_is_repeated(api_for, clinician, queued_run):
    runs.fail(queued_run.pk, runs.QUEUE.claim(queued_run.pk), "unreadable_image", "The file is damaged.")
    api = api_for(clinician)
    error = api.get(f"{V1}/runs/{queued_run.pk}/").json()["error"]
    assert error == {"code": "unreadable_image", "message": "The file is damaged."}
    again = api.post(f"{V1}/runs/{queued_run.pk}/retry/")
    assert (again.status_code, again.json()["status"]) == (202, "queued")
    assert refusal(api.post(f"{V1}/runs/{queued_run.pk}/retry/")) == (409, "run_conflict")


def test_the_queue_is_worked_through(api_for, pathologist, done_run):
    api = api_for(pathologist)
    waiting = api.get(f"{V1}/review/").json()["results"]
    assert [(cell["cell_id"], cell["predicted_class"]) for cell in waiting] == [
        (7, "blast"),
        (8, "eosinophil"),
    ]
    assert waiting[0]["reasons"] == ["blast"]
    address = f"{V1}/review/{waiting[0]['id']}/decide/"
    assert refusal(api.post(address, {"label": "unicorn"})) == (400, "invalid")
    made = api.post(address, {"label": "lymphocyte", "comment": "reactive"})
    assert made.status_code == 201
    assert (made.json()["label"], made.json()["machine_label"]) == ("lymphocyte", "blast")
    assert len(api.get(f"{V1}/review/").json()["results"]) == 1


def test_cells_that_nobody_classifies_are_not_decided(api_for, pathologist, done_run):
    red = done_run.cells.get(number=9)
    answer = api_for(pathologist).post(f"{V1}/review/{red.pk}/decide/", {"label": "neutrophil"})
    assert refusal(answer) == (422, "invalid_decision")


def test_a_held_slide_is_a_conflict(api_for, pathologist, lab, done_run):
    from accounts.models import Role
    from tests.conftest import person

    review.claim_slide(person(lab, Role.PATHOLOGIST, "Petra Peer"), done_run)
    cell = done_run.cells.get(number=7)
    answer = api_for(pathologist).post(f"{V1}/review/{cell.pk}/decide/", {"label": "blast"})
    assert refusal(answer) == (409, "review_conflict")


def addresses(run, case):
    cell = run.cells.get(number=7)
    return [
        ("get", f"{V1}/cases/{case.pk}/smears/"),
        ("get", f"{V1}/runs/{run.pk}/"),
        ("get", f"{V1}/runs/{run.pk}/result/"),
        ("get", f"{V1}/runs/{run.pk}/overlay.png"),
        ("post", f"{V1}/runs/{run.pk}/retry/"),
        ("post", f"{V1}/review/{cell.pk}/decide/"),
    ]


def test_another_laboratory_finds_nothing(api_for, stranger, done_run, case):
    for method, address in addresses(done_run, case):
        assert refusal(getattr(api_for(stranger), method)(address)) == (404, "not_found"), address
    assert api_for(stranger).get(f"{V1}/review/").json()["results"] == []


def test_visitors_are_asked_to_log_in(api_for, done_run, case):
    for method, address in [*addresses(done_run, case), ("get", f"{V1}/review/"), ("post", f"{V1}/predict/")]:
        assert refusal(getattr(api_for(None), method)(address)) == (401, "not_authenticated"), address


def test_a_clinician_reviews_nothing(api_for, clinician, done_run, case):
    api = api_for(clinician)
    cell = done_run.cells.get(number=7)
    assert refusal(api.get(f"{V1}/review/")) == (403, "permission_denied")
    assert refusal(api.post(f"{V1}/review/{cell.pk}/decide/", {"label": "blast"}))[0] == 403


# --- predict --------------------------------------------------------------------------------------
def test_without_a_worker_a_prediction_is_unavailable(api_for, clinician, field_file):
    """The test settings name a broker that does not exist."""
    answer = api_for(clinician).post(f"{V1}/predict/", {"file": field_file()}, format="multipart")
    assert refusal(answer) == (503, "worker_unavailable")


def test_a_bad_image_never_reaches_a_worker(api_for, clinician, field_file, monkeypatch):
    monkeypatch.setattr(answers, "_answer_of", lambda *_: pytest.fail("the worker was asked"))
    tiny = api_for(clinician).post(f"{V1}/predict/", {"file": tiny_file()}, format="multipart")
    assert refusal(tiny)[0] == 422
    monkeypatch.setattr(predictions, "MAX_BYTES", 100)
    large = api_for(clinician).post(f"{V1}/predict/", {"file": field_file()}, format="multipart")
    assert refusal(large) == (422, "too_large")


def cell_file(name="cell.png", mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(cell_image()).convert(mode).save(buffer, **{"format": "PNG", **options})
    return SimpleUploadedFile(name, buffer.getvalue())


ODD_CELLS = {
    "grey": lambda: cell_file(mode="L"),
    "alpha": lambda: cell_file(mode="RGBA"),
    "palette": lambda: cell_file(mode="P"),
    "CMYK": lambda: cell_file("cell.jpg", "CMYK", format="JPEG"),
}


@pytest.mark.parametrize("kind", ODD_CELLS)
def test_an_unusual_pixel_layout_is_predicted_all_the_same(api_for, clinician, at_once, kind):
    answer = api_for(clinician).post(f"{V1}/predict/", {"file": ODD_CELLS[kind]()}, format="multipart")
    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert sum(body["all_probabilities"].values()) == pytest.approx(1.0)
    assert body["class"] in body["all_probabilities"] and body["ruo"] is True
    assert set(body) == set(PredictionSerializer().get_fields())
    assert body["llm_report"] == body["description"]["text"] != ""
    assert body["description"]["label"] == body["class"] and body["description"]["machine_text"] is True
    assert set(body["focus"]) == set(FocusSerializer().get_fields())
    assert body["focus"]["off_cell"] in (True, False) and body["receipt"]["reliable"] in (True, False)
    assert all(body["class"] in labels for labels in body["prediction_sets"].values())


@pytest.mark.parametrize("kind", [kind for kind, hard in HARD_FILES.items() if hard.upload_code])
def test_what_is_no_usable_image_is_refused_with_one_code_and_text(
    api_for, clinician, at_once, tmp_path, kind
):
    hard = HARD_FILES[kind]
    hard.make(tmp_path / hard.name)
    file = SimpleUploadedFile(hard.name, (tmp_path / hard.name).read_bytes())
    answer = api_for(clinician).post(f"{V1}/predict/", {"file": file}, format="multipart")
    assert refusal(answer) == (422, hard.upload_code)


@pytest.mark.parametrize("kind", [kind for kind, hard in HARD_FILES.items() if not hard.upload_code])
def test_every_other_hard_image_ends_in_a_call_or_in_a_sentence(api_for, clinician, at_once, tmp_path, kind):
    hard = HARD_FILES[kind]
    hard.make(tmp_path / hard.name)
    file = SimpleUploadedFile(hard.name, (tmp_path / hard.name).read_bytes())
    answer = api_for(clinician).post(f"{V1}/predict/", {"file": file}, format="multipart")
    assert answer.status_code == 200, answer.json()
    if kind in ("blank", "black", "one colour"):
        assert "whole_frame" in [notice["code"] for notice in answer.json()["notices"]]


def test_a_field_is_no_single_cell(api_for, clinician, at_once):
    buffer = io.BytesIO()
    Image.new("RGB", (4000, 3200), (230, 220, 210)).save(buffer, "PNG", compress_level=1)
    file = SimpleUploadedFile("field.png", buffer.getvalue())
    answer = api_for(clinician).post(f"{V1}/predict/", {"file": file}, format="multipart")
    assert refusal(answer) == (422, "too_large")
    assert "4000 × 3200 pixels" in answer.json()["error"]["message"]


def test_one_pixel_and_no_file_are_refused(api_for, clinician, at_once):
    api, buffer = api_for(clinician), io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    pixel = api.post(
        f"{V1}/predict/", {"file": SimpleUploadedFile("a.png", buffer.getvalue())}, format="multipart"
    )
    assert refusal(pixel) == (422, "too_small")
    assert refusal(api.post(f"{V1}/predict/", {}, format="multipart")) == (400, "invalid")


def test_a_fault_of_the_program_is_told_in_one_neutral_sentence(api_for, clinician, at_once, monkeypatch):
    def broken(*_):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(tasks, "_predict", broken)
    answer = api_for(clinician).post(f"{V1}/predict/", {"file": cell_file()}, format="multipart")
    assert "secret" not in answer.content.decode()
    assert refusal(answer) == (500, "internal_error")


def test_a_missing_network_is_no_fault_of_the_image(api_for, clinician, at_once, monkeypatch):
    def without(*_):
        raise NetworkUnavailable("The weights of the network “wbc” are missing.")

    monkeypatch.setattr(tasks, "_predict", without)
    answer = api_for(clinician).post(f"{V1}/predict/", {"file": cell_file()}, format="multipart")
    assert refusal(answer) == (503, "network_unavailable")
