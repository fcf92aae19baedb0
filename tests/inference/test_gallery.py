"""The gallery: its cells, its sheets of crops, its API, and how little it asks the database."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from PIL import Image

from inference import review, runs, sheets, viewer
from inference.models import Cell
from inference.pipeline.config import RBC_CLASSES, WBC_CLASSES
from inference.pipeline.findings import Kind
from tests.conftest import field_image


@pytest.fixture
def seen(done_run, pathologist, client_for):
    """What a pathologist gets from an address of the gallery."""
    client = client_for(pathologist)

    def get(name, *args, **headers):
        return client.get(reverse(f"inference:gallery{name}", args=(done_run.pk, *args)), headers=headers)

    return get


def shared(answer, name):
    """What the page hands to its script."""
    text = answer.content.decode().split(f'id="gallery-{name}" type="application/json">')[1]
    return json.loads(text.split("</script>")[0])


# --- the page -------------------------------------------------------------------------------------
def test_the_page_has_the_keys_of_the_desk(seen):
    white, red = shared(seen(""), "manifest")["streams"]
    assert [choice["key"] for choice in white["choices"]] == [*WBC_CLASSES]
    assert [choice["key"] for choice in red["choices"]] == [*RBC_CLASSES, "artifact"]
    assert {choice["key"]: choice["press"] for choice in white["choices"]}["blast"] == "k"
    for stream in (white, red):
        keys = [choice["press"] for choice in stream["choices"]]
        assert len(set(keys)) == len(keys)
        assert not set(keys) & set("uchwx?12+-")


def test_who_may_not_call_cells_sees_them_all_the_same(done_run, clinician, pathologist, client_for):
    address = reverse("inference:gallery", args=[done_run.pk])
    answer = client_for(clinician).get(address)
    assert not shared(answer, "manifest")["mayDecide"]
    assert 'data-act="confirm"' not in answer.content.decode()
    assert shared(client_for(pathologist).get(address), "manifest")["mayDecide"]


def test_a_signed_off_slide_says_so_and_cannot_be_called(done_run, pathologist, seen):
    for cell in done_run.cells.filter(needs_review=True):
        review.decide(pathologist, cell, cell.label)
    review.sign_off(pathologist, done_run)
    answer = seen("")
    assert "signed off by Paul Path" in answer.content.decode()
    assert not shared(answer, "manifest")["mayDecide"]


def test_an_unfinished_run_leads_to_where_it_stands(queued_run, pathologist, client_for):
    answer = client_for(pathologist).get(reverse("inference:gallery", args=[queued_run.pk]))
    assert answer["Location"] == reverse("inference:run", args=[queued_run.pk])


@pytest.mark.parametrize("page", ["inference:run", "inference:review-slide"])
def test_pages_lead_to_the_gallery(page, done_run, pathologist, client_for):
    text = client_for(pathologist).get(reverse(page, args=[done_run.pk])).content.decode()
    assert f'href="{reverse("inference:gallery", args=[done_run.pk])}"' in text


# --- cells ----------------------------------------------------------------------------------------
def test_the_classified_cells_come_with_what_a_call_needs(seen, done_run, pathologist):
    word = review.decide(pathologist, done_run.cells.get(number=8), "neutrophil")
    came = seen("-cells").json()
    assert sorted(came["number"]) == list(range(1, 9))
    at = came["number"].index(8)
    assert (came["said"][at], came["heat"][at]) == (word.pk, 1)
    assert came["flags"][at] == viewer.NEEDS_REVIEW | viewer.REVIEWED | viewer.CORRECTED
    assert viewer.legend()["classes"][came["class"][at]]["key"] == "neutrophil"
    sure = came["number"].index(1)
    assert (came["said"][sure], came["heat"][sure]) == (0, 0)


@pytest.mark.parametrize(("receipt", "told"), [({}, 1), ({"reliable": False}, 1), ({"reliable": True}, 2)])
def test_a_stored_heat_map_comes_with_whether_it_is_reliable(seen, done_run, receipt, told):
    done_run.cells.filter(number=8).update(explanation={"method": "hires_cam", "receipt": receipt})
    done_run.cells.filter(number=1).update(explanation={"receipt": receipt})
    came = seen("-cells").json()
    heat = dict(zip(came["number"], came["heat"], strict=True))
    assert (heat[8], heat[7], heat[1]) == (told, 1, 0)


def test_cells_are_asked_for_again_only_when_a_word_changed(seen, done_run, pathologist):
    first = seen("-cells")
    assert seen("-cells", **{"If-None-Match": first["ETag"]}).status_code == 304
    review.decide(pathologist, done_run.cells.get(number=8), "neutrophil")
    assert seen("-cells", **{"If-None-Match": first["ETag"]}).status_code == 200


# --- sheets ---------------------------------------------------------------------------------------
@pytest.fixture
def coloured_run(queued_run, red_findings):
    """A run whose crops differ: red by the number of the cell."""
    cells = tuple(
        cell
        if cell.crop is None
        else replace(cell, crop=np.full(np.shape(cell.crop), (cell.cell_id, 90, 170), np.uint8))
        for cell in red_findings.cells
    )
    runs.save(
        queued_run.pk,
        runs.QUEUE.claim(queued_run.pk),
        replace(red_findings, cells=cells),
        np.asarray(field_image()),
    )
    queued_run.refresh_from_db()
    return queued_run


def test_every_crop_lies_where_the_columns_say(coloured_run, pathologist, client_for):
    client, of = client_for(pathologist), coloured_run.pk
    came = client.get(reverse("inference:gallery-cells", args=[of])).json()
    kinds = [viewer.legend()["kinds"][kind]["key"] for kind in came["kind"]]
    assert kinds == sorted(kinds, key=lambda kind: kind == "RBC")
    for stream, layout in sheets.LAYOUTS.items():
        numbers = [
            n
            for n, kind in zip(came["number"], kinds, strict=True)
            if (kind == "RBC") == (stream is Kind.RBC)
        ]
        for sheet in range(-(-len(numbers) // layout.cells)):
            answer = client.get(reverse("inference:gallery-sheet", args=[of, stream.value, sheet]))
            assert "immutable" in answer["Cache-Control"]
            image = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)
            for place, number in enumerate(numbers[sheet * layout.cells : (sheet + 1) * layout.cells]):
                row, column = divmod(place, layout.across)
                middle = image[row * layout.side + layout.side // 2, column * layout.side + layout.side // 2]
                assert abs(middle - (number, 90, 170)).max() <= 6


@pytest.mark.parametrize("asked", [("WBC", 1), ("RBC", 0), ("platelet", 0), ("nothing", 0)])
def test_beyond_the_cells_there_is_no_sheet(seen, asked):
    assert seen("-sheet", *asked).status_code == 404


def test_a_sheet_is_made_once_and_a_lost_crop_leaves_its_place_empty(seen, done_run, monkeypatch):
    default_storage.delete(done_run.cells.get(number=7).crop.name)
    first = seen("-sheet", "WBC", 0)
    order = list(sheets.in_order(done_run, Kind.WBC).values_list("number", flat=True))
    image = np.asarray(Image.open(io.BytesIO(first.content)))
    row, column = divmod(order.index(7), 5)
    assert image[row * 224 + 100, column * 224 + 100].min() > 250
    monkeypatch.setattr(sheets, "_jpeg", lambda *_: pytest.fail("made again"))
    assert seen("-sheet", "WBC", 0).content == first.content


# --- the API ----------------------------------------------------------------------------------------
def test_cells_are_called_and_put_back_over_the_api(api_for, pathologist, done_run):
    api = api_for(pathologist)
    wanted = [
        {"number": 7, "seen": None, "label": "lymphocyte"},
        {"number": 999, "seen": None, "label": "blast"},
    ]
    address = reverse("inference:api-decide-many", args=[done_run.pk])
    came = api.post(address, {"cells": wanted}, format="json").json()
    (changed,) = came["changed"]
    assert (changed["number"], changed["before"], changed["label"], changed["corrected"]) == (
        7,
        None,
        "lymphocyte",
        True,
    )
    assert came["unchanged"] == [{"number": 999, "why": "There is no cell of this number on the smear."}]
    backs = [{"number": 7, "seen": changed["after"], "back_to": None}]
    back = api.post(reverse("inference:api-put-back", args=[done_run.pk]), {"cells": backs}, format="json")
    assert back.json()["changed"] == [
        {
            "number": 7,
            "before": changed["after"],
            "after": None,
            "label": "blast",
            "corrected": False,
            "second": False,
        }
    ]


@pytest.mark.parametrize(
    "cells",
    [
        [],
        None,
        "x",
        [{"number": 7}],
        [{"number": "x", "seen": None, "label": "blast"}],
        [{"number": 7, "seen": None, "label": "x"}],
    ],
)
def test_what_is_malformed_is_told(api_for, pathologist, done_run, cells):
    answer = api_for(pathologist).post(
        reverse("inference:api-decide-many", args=[done_run.pk]), {"cells": cells}, format="json"
    )
    assert answer.status_code == 400
    assert "cells" in answer.json()["error"]["fields"]


@pytest.mark.parametrize("name", ["api-decide-many", "api-put-back"])
def test_an_unfinished_run_has_no_cells_to_call(name, api_for, pathologist, queued_run):
    answer = api_for(pathologist).post(
        reverse(f"inference:{name}", args=[queued_run.pk]), {"cells": []}, format="json"
    )
    assert answer.status_code == 409


# --- many cells -----------------------------------------------------------------------------------
def count_queries(act) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert act().status_code == 200
    return len(queries)


@pytest.mark.parametrize(("name", "most"), [("", 16), ("-cells", 11), ("-sheet", 6)])
def test_five_thousand_cells_ask_the_database_no_more(name, most, seen, done_run, settings, tmp_path):
    arguments = ("WBC", 0) if name == "-sheet" else ()
    few = count_queries(lambda: seen(name, *arguments))
    copies = list(done_run.cells.exclude(label=""))
    fields = [field.attname for field in Cell._meta.fields if field.name not in ("id", "number")]
    Cell.objects.bulk_create(
        Cell(number=1000 + 8 * row + place, **{field: getattr(cell, field) for field in fields})
        for row in range(625)
        for place, cell in enumerate(copies)
    )
    settings.TILES_DIR = tmp_path / "other"
    assert count_queries(lambda: seen(name, *arguments)) == few <= most
    if name == "-cells":
        assert len(seen(name).json()["number"]) == 5008
