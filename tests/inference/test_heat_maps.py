"""Heat maps on demand: the task itself answers here, without a broker in between."""

import base64
import io
import re
from dataclasses import asdict

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.template.loader import render_to_string
from django.urls import reverse
from PIL import Image

from accounts.models import AuditEvent
from inference import heat_maps, pictures, records, review, selectors
from inference.heat_maps import HeatMap
from inference.models import Cell
from inference.pipeline.explanation import explain
from inference.pipeline.findings import Method, SecondCall
from inference.pipeline.networks import registry, runtime
from inference.pipeline.red_cell_words import describe
from inference.pipeline.words import Cut
from inference.templatetags.findings import strength

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


@pytest.fixture
def red_cell(red_run):
    """A red cell called by the network in use, its crop a stained disc with a pale middle."""
    row = red_run.cells.filter(kind="RBC", label="target").last()
    rows, columns = np.mgrid[:64, :64]
    far = np.hypot(rows - 32, columns - 32)[..., None]
    crop = np.where(far < 8, (225, 170, 180), np.where(far < 22, (205, 120, 135), (236, 230, 228)))
    row.crop.save("crop.png", ContentFile(pictures.png(crop.astype(np.uint8))))
    red_run.networks = [{"name": "rbc", "version": "x", "sha256": registry.card("rbc").sha256}]
    red_run.save()
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


@pytest.mark.parametrize("method", [*Method])
def test_any_method_explains_a_red_cell_as_its_own_network_saw_it(
    at_once, api_for, pathologist, red_cell, method
):
    said = api_for(pathologist).get(of(red_cell), {"method": method}).json()
    assert (said["method"], said["label"]) == (method, "target")
    assert Image.open(io.BytesIO(base64.b64decode(said["picture"].split(",")[1]))).size == (64, 64)
    assert said["focus_ratio"] + said["background_ratio"] == pytest.approx(1, abs=1e-3)
    assert said["nucleus_ratio"] is None and isinstance(said["receipt"]["reliable"], bool)
    network, measures = runtime.load("rbc"), records.measures(red_cell)
    with red_cell.crop.open() as file:
        crop = pictures.pixels(file)
    outline = Cut.of(crop, records.instance(red_cell), 0.25, None).outline
    (made,) = explain([crop], ["target"], [outline], (network.module, network.card), method=method)
    assert said["focus_ratio"] == pytest.approx(made.focus_ratio, abs=1e-4)
    assert said["strength"] == pytest.approx(made.strength, rel=1e-4)
    assert said["description"]["text"] == describe("target", measures, made).text


@pytest.mark.parametrize("size", ["macrocyte", "microcyte"])
def test_of_a_cell_called_by_its_size_the_normal_shape_is_explained(
    at_once, api_for, pathologist, red_cell, size
):
    normal = api_for(pathologist).get(of(red_cell), {"label": "normal"}).json()
    Cell.objects.filter(pk=red_cell.pk).update(label=size)
    said = api_for(pathologist).get(of(red_cell)).json()
    assert (said["label"], said["picture"]) == ("normal", normal["picture"])
    assert said["description"]["label"] == size
    assert "The size is measured and not seen by the network" in said["description"]["text"]


@pytest.mark.parametrize("label", ["malaria_infected", "artifact", "blast"])
def test_a_class_that_no_network_of_red_cells_knows_has_no_map(api_for, pathologist, red_cell, label):
    answer = api_for(pathologist).get(of(red_cell), {"label": label})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unknown_class")
    assert "schistocyte" in answer.json()["error"]["message"]


def test_a_red_cell_of_another_version_is_not_explained_by_this_one(at_once, api_for, pathologist, red_cell):
    red_cell.run.networks = [{"name": "wbc", "version": "1", "sha256": registry.card("rbc").sha256}]
    red_cell.run.save()
    answer = api_for(pathologist).get(of(red_cell))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "other_network")


def test_a_stranger_finds_no_red_cell_to_explain(api_for, stranger, red_cell):
    assert api_for(stranger).get(of(red_cell)).status_code == 404


@pytest.mark.parametrize(
    ("said", "asked"),
    [("stomatocyte", "stomatocyte"), ("malaria_infected", None), ("artifact", None)],
)
def test_the_panel_of_a_red_cell_offers_a_map_of_what_a_network_knows(
    client_for, pathologist, red_cell, said, asked
):
    review.decide(pathologist, red_cell, said)
    page = client_for(pathologist).get(reverse("inference:cell", args=(red_cell.run_id, red_cell.number)))
    text = page.content.decode()
    assert "Show where the network looked" in text
    assert re.findall(r'type="hidden" name="label" value="(\w+)"', text) == ([asked] if asked else [])


def test_the_page_of_a_red_cell_shows_the_new_map_and_its_words(at_once, client_for, pathologist, red_cell):
    Cell.objects.filter(pk=red_cell.pk).update(label="macrocyte")
    page = client_for(pathologist).get(reverse("inference:heat-map", args=(red_cell.run_id, red_cell.number)))
    text = page.content.decode()
    assert "data:image/png;base64" in text
    assert re.search(r"Speaks for</dt><dd>Normal", text)
    assert "The size is measured and not seen by the network" in text


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


@pytest.fixture
def called_twice(cell):
    """The same cell, which the second network in use called a monocyte."""
    second = registry.card("wbc_second").used
    cell.run.networks = [*cell.run.networks, asdict(second)]
    cell.run.save()
    cell.second_call = asdict(SecondCall("monocyte", 0.8, second.name, second.version))
    cell.save()
    return cell


def test_the_second_network_explains_its_own_call(at_once, api_for, pathologist, called_twice):
    cell, api = called_twice, api_for(pathologist)
    first = api.get(of(cell)).json()
    assert (first["network"], first["label"]) == ("wbc", cell.label)
    assert api.get(of(cell), {"network": "wbc"}).json()["picture"] == first["picture"]
    said = api.get(of(cell), {"network": "wbc_second"}).json()
    assert (said["network"], said["label"], said["description"]["label"]) == ("wbc_second", *["monocyte"] * 2)
    network = runtime.load("wbc_second")
    with cell.crop.open() as file:
        crop = pictures.pixels(file)
    outline = Cut.of(crop, records.instance(cell), 0.25, None).outline
    (made,) = explain([crop], ["monocyte"], [outline], (network.module, network.card))
    assert said["strength"] == pytest.approx(made.strength, rel=1e-4)
    asked = {"network": "wbc_second", "label": "blast"}
    assert api.get(of(cell), asked).json()["label"] == "blast"


def test_the_page_offers_the_second_network_where_one_called_the_cell(
    at_once, client_for, pathologist, called_twice
):
    client, cell = client_for(pathologist), called_twice
    panel = client.get(reverse("inference:cell", args=(cell.run_id, 8))).content.decode()
    assert 'value="wbc" selected>first network' in panel and 'value="wbc_second">second network' in panel
    asked = {"method": "hires_cam", "network": "wbc_second", "label": "blast"}
    page = client.get(reverse("inference:heat-map", args=(cell.run_id, 8)), asked).content.decode()
    assert re.search(r"Explains</dt><dd>second network", page)
    assert re.search(r"Speaks for</dt><dd>Monocyte", page)
    assert 'value="wbc_second" selected' in page
    other = client.get(reverse("inference:cell", args=(cell.run_id, 7))).content.decode()
    assert 'name="method"' in other and 'name="network"' not in other


@pytest.mark.parametrize("name", ["wbc_second", "rbc", "segmentation"])
def test_a_network_that_did_not_call_the_cell_explains_nothing(api_for, pathologist, cell, name):
    answer = api_for(pathologist).get(of(cell), {"network": name})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unknown_network")


def test_another_version_of_the_second_network_explains_nothing(at_once, api_for, pathologist, called_twice):
    run = called_twice.run
    run.networks = [used for used in run.networks if used["name"] == "wbc"]
    run.save()
    answer = api_for(pathologist).get(of(called_twice), {"network": "wbc_second"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "other_network")


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
    assert kept.network == "wbc"
    assert kept.method == "grad_cam" and kept.receipt.reliable and not kept.fresh


@pytest.mark.parametrize(
    ("maximum", "shown"), [(0.00451, "0.0045"), (0.256, "0.26"), (6.43, "6.4"), (0.0, "0"), (12.6, "13")]
)
def test_a_weak_map_has_digits_too(maximum, shown):
    assert strength(maximum) == shown


@pytest.mark.parametrize(("kept", "shown"), [({"background_ratio": 0.2}, True), ({}, False)])
def test_what_lies_beside_the_cell_is_shown_where_it_is_known(client_for, pathologist, done_run, kept, shown):
    done_run.cells.filter(number=8).update(explanation=kept)
    for page in ("cell", "review-slide"):
        place = (done_run.pk, 8) if page == "cell" else (done_run.pk,)
        text = client_for(pathologist).get(reverse(f"inference:{page}", args=place), {"cell": 8})
        assert ("beside the cell 20 %" in text.content.decode()) is shown


def test_an_empty_map_is_said_to_be_empty(cell):
    empty = HeatMap(Method.GRAD_CAM, "wbc", cell.label, "data:,", 0.0, 0.0, None, None, 0.0, None)
    context = {"run": cell.run, "cell": selectors.reviewed_cell(cell), "row": cell, "heat": empty}
    text = render_to_string("inference/partials/heat_map.html", context)
    assert "The map is empty" in text and "beside the cell" not in text
    assert re.search(r"Evidence on the cell</dt><dd[^>]*>–</dd>", text)
