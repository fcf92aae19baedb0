"""Pages of red cells: their section on the result, and the way to their gallery."""

from dataclasses import replace

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from inference import viewer
from tests.conftest import field_image

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client, pathologist):
    client.force_login(pathologist)

    def get(run, name="run", **query):
        answer = client.get(reverse(f"inference:{name}", args=[run.pk]), query)
        assert answer.status_code == 200
        return answer

    return get


def test_the_result_has_grades_with_their_interval(red_run, page):
    answer = page(red_run)
    text = answer.content.decode()
    assert "205 of 210 classified" in text
    grades = {one.label: one.grade.text for one in answer.context["result"].red_findings}
    assert (grades["target"], grades["schistocyte"]) == ("2+", "")
    assert "not gradable: 205 counted, 1,000 needed" in text
    assert "not trained: no network names it" in text
    assert "not the analyser" in text
    gallery = reverse("inference:gallery", args=[red_run.pk])
    assert f'href="{gallery}?stream=RBC&amp;class=target"' in text


def test_the_result_counts_contradicted_cells_and_leads_to_them(red_run, page):
    text = page(red_run).content.decode()
    said = (
        "Of 205 classified cells the measures contradict the call of 5: 0 called normal, 5 called abnormal."
    )
    assert said in text
    gallery = reverse("inference:gallery", args=[red_run.pk])
    assert f'href="{gallery}?stream=RBC&amp;reason=measures_disagree"' in text


def test_a_noted_reason_reaches_the_gallery_and_the_cell(red_run, page):
    row = red_run.cells.filter(kind="RBC", label="sickle").first()
    red_run.cells.filter(pk=row.pk).update(review_reasons=["measures_disagree"])
    columns = page(red_run, "gallery-cells").json()
    at = columns["number"].index(row.number)
    places = [reason["key"] for reason in viewer.legend()["reasons"]]
    assert columns["reasons"][at] == 1 << places.index("measures_disagree")
    assert not columns["flags"][at] & viewer.NEEDS_REVIEW
    text = page(red_run, cell=row.number).content.decode()
    assert "<dt>Noted</dt><dd>the measures do not fit the shape it is called</dd>" in text


def test_without_a_network_the_result_says_so(done_run, page):
    text = page(done_run).content.decode()
    assert "10 red cells are counted; their shapes were not analysed." in text


@pytest.fixture
def many_run(queued_run, red_findings):
    """The same smear with ten times as many red cells."""
    from inference import runs

    reds = [cell for cell in red_findings.cells if cell.measures] * 10
    others = [cell for cell in red_findings.cells if not cell.measures]
    without = [replace(cell, crop=None) for cell in reds]
    cells = tuple(replace(cell, cell_id=number) for number, cell in enumerate([*others, *without], 1))
    found = replace(red_findings, cells=cells)
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), found, np.asarray(field_image()))
    queued_run.refresh_from_db()
    return queued_run


@pytest.mark.parametrize("name", ["run", "gallery", "gallery-cells", "review-slide"])
def test_two_thousand_cells_take_no_more_queries(many_run, client, pathologist, name):
    client.force_login(pathologist)
    address = reverse(f"inference:{name}", args=[many_run.pk])
    with CaptureQueriesContext(connection) as seen:
        assert client.get(address).status_code == 200
    assert len(seen) < 30
