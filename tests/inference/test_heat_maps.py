"""Heat maps on demand: the task itself answers here, without a broker in between."""

import base64
import io

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.urls import reverse
from PIL import Image

from accounts.models import AuditEvent
from inference import heat_maps, pictures
from inference.models import Cell
from inference.pipeline.networks import registry

V1 = "/api/v1"


@pytest.fixture
def cell(done_run):
    """A white cell called by the network in use, its crop a dark disc on light glass."""
    row = done_run.cells.get(number=8)
    rows, columns = np.mgrid[:224, :224]
    disc = np.hypot(rows - 112, columns - 112) < 70
    crop = np.where(disc[..., None], (95, 50, 140), (235, 228, 222)).astype(np.uint8)
    row.crop.save("crop.png", ContentFile(pictures.png(crop)))
    used = {"name": "wbc", "version": "x", "sha256": registry.card("wbc").sha256}
    done_run.networks = [used]
    done_run.save()
    return row


def of(cell):
    return f"{V1}/runs/{cell.run_id}/cells/{cell.number}/heat-map/"


@pytest.mark.parametrize("method", ["", "grad_cam", "grad_cam_pp", "eigen_cam", "hires_cam"])
def test_any_method_explains_any_cell_with_a_receipt(at_once, api_for, pathologist, cell, method):
    answer = api_for(pathologist).get(of(cell), {"method": method} if method else {})
    assert answer.status_code == 200
    said = answer.json()
    assert said["method"] == (method or "hires_cam") and said["label"] == cell.label
    head, data = said["picture"].split(",")
    assert head == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (224, 224)
    assert 0 <= said["focus_ratio"] <= 1
    assert said["focus_ratio"] + said["background_ratio"] == pytest.approx(1, abs=1e-3)
    assert 0 <= said["receipt"]["deletion"] <= 1 and isinstance(said["receipt"]["reliable"], bool)
    words = said["description"]
    assert words["label"] == cell.label and words["machine_text"] is True
    assert f"{100 * said['focus_ratio']:.0f} % of the evidence" in words["text"]


def test_another_class_can_be_asked_about(at_once, api_for, pathologist, cell):
    other = "monocyte" if cell.label != "monocyte" else "lymphocyte"
    said = api_for(pathologist).get(of(cell), {"label": other}).json()
    assert said["label"] == said["description"]["label"] == other


@pytest.mark.parametrize(
    ("asked", "code"),
    [({"method": "tarot"}, "unknown_method"), ({"label": "unicorn"}, "unknown_class")],
)
def test_what_there_is_not_is_refused_with_what_there_is(api_for, pathologist, cell, asked, code):
    answer = api_for(pathologist).get(of(cell), asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


def test_a_cell_that_was_not_classified_has_no_heat_map(api_for, pathologist, done_run):
    red = Cell.objects.filter(run=done_run, label="").first()
    answer = api_for(pathologist).get(of(red))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "not_classified")


def test_a_cell_called_by_another_version_is_not_explained_by_this_one(at_once, api_for, pathologist, cell):
    cell.run.networks = [{"name": "wbc", "version": "0.1", "sha256": "00" * 32}]
    cell.run.save()
    answer = api_for(pathologist).get(of(cell))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "other_network")


def test_the_page_shows_the_new_map_and_leaves_the_stored_one(at_once, client, pathologist, cell):
    client.force_login(pathologist)
    events = AuditEvent.objects.count()
    page = client.get(reverse("inference:heat-map", args=(cell.run_id, cell.number)), {"method": "eigen_cam"})
    assert page.status_code == 200
    text = page.content.decode()
    assert "data:image/png;base64" in text and 'value="eigen_cam" selected' in text
    before = cell.heatmap.name
    cell.refresh_from_db()
    assert cell.heatmap.name == before
    assert AuditEvent.objects.count() == events


def test_without_a_worker_the_page_says_so(client, pathologist, cell):
    client.force_login(pathologist)
    page = client.get(reverse("inference:heat-map", args=(cell.run_id, cell.number)))
    assert page.status_code == 200
    assert "No worker answered" in page.content.decode()


def test_the_stored_map_keeps_what_was_known_of_it(cell):
    assert heat_maps.stored(cell.run.cells.get(number=1)) is None
    cell.explanation = {
        "method": "grad_cam",
        "nucleus_ratio": None,
        "receipt": {
            "deletion": 0.1,
            "insertion": 0.8,
            "random_deletion": 0.4,
            "random_insertion": 0.4,
            "reliable": True,
        },
    }
    kept = heat_maps.stored(cell)
    assert kept.method == "grad_cam" and kept.receipt.reliable and not kept.fresh
