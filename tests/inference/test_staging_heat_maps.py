"""Heat maps of staged fields on demand: the task itself answers here, without a broker in between."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from django.urls import reverse
from PIL import Image

from accounts.models import AuditEvent
from inference import stage_calls
from inference.models import StageCall
from inference.pipeline.networks import registry
from inference.pipeline.networks.runtime import prepare
from inference.staging_heat_maps import FieldHeatMap
from tests.conftest import field_image
from tests.stagings import staging

V1 = "/api/v1"
FIFTH = (0, 120, 160, 240)
"""Where the fifth field lies, into which two overlapping white cells reach."""


@pytest.fixture
def staged_run(requested):
    """A run staged by the network in use: six staged fields of nine."""
    found = replace(staging("pre_b", "leukemia"), network=registry.card("staging").used)
    stage_calls.save(requested.pk, stage_calls.QUEUE.claim(requested.pk), found)
    return requested.run


def of(run, number=5):
    return f"{V1}/runs/{run.pk}/staging/fields/{number}/heat-map/"


def page_of(run, number=5):
    return reverse("inference:field-heat-map", args=(run.pk, number))


def picture(data_uri):
    head, data = data_uri.split(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize("method", ["", "grad_cam", "grad_cam_pp", "eigen_cam", "hires_cam"])
def test_any_method_explains_a_staged_field_with_a_receipt(at_once, api_for, clinician, staged_run, method):
    answer = api_for(clinician).get(of(staged_run), {"method": method} if method else {})
    assert answer.status_code == 200
    said = answer.json()
    assert (said["method"], said["label"]) == (method or "hires_cam", "pre_b")
    assert said["bbox"] == [*FIFTH] and said["strength"] > 0
    assert picture(said["picture"]).size == picture(said["field"]).size == (160, 160)
    assert said["covered_ratio"] == pytest.approx(85 * 45 / (160 * 120), abs=0.01)
    assert 0 <= said["focus_ratio"] <= 1
    assert 0 <= said["receipt"]["deletion"] <= 1 and isinstance(said["receipt"]["reliable"], bool)


def test_the_field_is_cut_where_it_was_staged_and_squeezed_as_the_network_sees_it(
    at_once, api_for, clinician, staged_run
):
    left, top, right, bottom = FIFTH
    cut = np.asarray(field_image())[top:bottom, left:right]
    (seen,) = prepare([cut], registry.card("staging").input)
    said = api_for(clinician).get(of(staged_run)).json()
    assert np.array_equal(np.asarray(picture(said["field"])), seen)


def test_cells_without_a_nucleus_cover_nothing(at_once, api_for, clinician, staged_run):
    staged_run.cells.filter(number=1).update(label="platelet")
    staged_run.cells.filter(number=2).update(label="artifact")
    said = api_for(clinician).get(of(staged_run)).json()
    assert (said["covered_ratio"], said["focus_ratio"]) == (0, 0)


@pytest.mark.parametrize(
    ("number", "asked", "code"),
    [(7, {}, "not_staged"), (9, {}, "not_staged"), (1, {"method": "tarot"}, "unknown_method")],
)
def test_what_there_is_not_is_refused_with_what_there_is(api_for, clinician, staged_run, number, asked, code):
    answer = api_for(clinician).get(of(staged_run, number), asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


def test_a_field_that_is_not_there_is_not_found(api_for, client_for, clinician, staged_run, queued_run):
    assert {api_for(clinician).get(of(staged_run, number)).status_code for number in (0, 10)} == {404}
    assert client_for(clinician).get(page_of(staged_run, 10)).status_code == 404
    StageCall.objects.all().delete()
    assert api_for(clinician).get(of(staged_run)).status_code == 404


def test_a_field_staged_by_other_weights_is_not_explained(at_once, api_for, clinician, staged_run):
    StageCall.objects.update(sha256="00" * 32)
    answer = api_for(clinician).get(of(staged_run))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "other_network")
    assert "another version of the network" in answer.json()["error"]["message"]


def test_the_network_that_the_settings_name_is_the_one_in_use(
    at_once, api_for, clinician, staged_run, settings
):
    settings.STAGING_NETWORK = "mobilenetv3_lstm"
    assert api_for(clinician).get(of(staged_run)).json()["error"]["code"] == "other_network"
    own = registry.card("staging", registry.staging_folder("mobilenetv3_lstm"))
    StageCall.objects.update(sha256=own.sha256)
    assert api_for(clinician).get(of(staged_run)).status_code == 200


def test_a_stranger_finds_no_field_to_explain(api_for, client_for, stranger, staged_run):
    assert api_for(stranger).get(of(staged_run)).status_code == 404
    assert client_for(stranger).get(page_of(staged_run)).status_code == 404
    assert api_for(None).get(of(staged_run)).status_code == 401


def test_the_list_offers_a_map_of_every_staged_field(client_for, clinician, staged_run):
    page = client_for(clinician).get(f"/runs/{staged_run.pk}/").content.decode()
    offered = re.findall(r'hx-get="([^"]+/fields/(\d)/heat-map/)"[^>]*aria-label="([^"]+)"', page)
    assert [(address, words) for address, _, words in offered] == [
        (page_of(staged_run, n), f"Show where the network looked in field {n}") for n in range(1, 7)
    ]


def test_the_page_shows_the_map_what_it_is_worth_and_how_to_make_another(
    at_once, client_for, clinician, staged_run
):
    client = client_for(clinician)
    events = AuditEvent.objects.count()
    text = client.get(page_of(staged_run), {"method": "eigen_cam"}).content.decode()
    assert text.count("data:image/png;base64") == 2 and 'viewBox="0 0 160 120"' in text
    assert 'value="eigen_cam" selected' in text and "data-heat" in text
    assert re.search(r"Speaks for</dt><dd>Pre-B ALL", text)
    assert "they cover 20 % of the field" in text and "Raw strength" in text
    assert "Blurred away" in text and "Brought back" in text
    assert "a map tells no cell from its neighbours" in text
    assert AuditEvent.objects.count() == events


@pytest.mark.parametrize(("reliable", "shown"), [(True, False), (False, True)])
def test_a_map_that_fails_its_trial_is_marked(
    client_for, clinician, staged_run, monkeypatch, reliable, shown
):
    came = {"field": "data:,", "picture": "data:,", "strength": 0.0, "focus_ratio": 0.0, "covered_ratio": 0.1}
    tried = dict.fromkeys(("deletion", "insertion", "random_deletion", "random_insertion"), 0.5)
    came["receipt"] = {**tried, "reliable": reliable}
    monkeypatch.setattr("inference.answers.ask", lambda *_: came)
    text = client_for(clinician).get(page_of(staged_run)).content.decode()
    assert ("not reliable for this field" in text) is shown
    assert "The map is empty" in text


def test_without_a_worker_the_page_says_so_and_offers_to_try_again(
    client_for, clinician, staged_run, monkeypatch
):
    monkeypatch.setattr("inference.answers.WAIT_SECONDS", 1)
    text = client_for(clinician).get(page_of(staged_run)).content.decode()
    assert 'role="alert">No worker answered' in text
    assert "<svg" not in text and 'type="submit"' in text


def test_a_field_is_shown_as_wide_as_it_lies_in_its_image():
    made = FieldHeatMap("grad_cam", (10, 20, 170, 140), "pre_b", "", "", 0.0, 0.0, 0.0, None)
    assert (made.width, made.height) == (160, 120)
