"""A patient over time: signed figures and, marked apart, unsigned ones; nobody else's; few questions."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from inference.pipeline.aggregation import share
from reports.models import Report
from reports.trend_chart import Axis, Point, chart
from reports.trends import trends
from tests.counted import BLASTS, CLL, HEALTHY, INFECTED, analysed, case_after, signed_off

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def point(days, value, low, high):
    return Point(WHEN + timedelta(days=days), value, low, high, True, 1, 100)


@pytest.fixture
def followed(case, field_file, findings, pathologist, lab):
    """Two cases: one with a signed report, which says otherwise than the rows by now, and one in review."""
    signed_off(pathologist, analysed(case, field_file(seed=1), findings, CLL))
    shares = {key: {"count": HEALTHY.get(key, 0)} for key in (*HEALTHY, "blast", "immature_granulocyte")}
    Report.objects.create(
        lab=lab,
        case=case,
        version=2,
        status=Report.Status.FINAL,
        created_by=pathologist,
        signed_by=pathologist,
        content={"aggregate": {"differential": shares, "erythroblast_count": 4}},
    )
    analysed(case_after(case, 9), field_file(seed=2), findings, INFECTED)
    return case.patient


def by_key(found):
    return {trend.key: trend for trend in found}


def test_signed_reports_speak_for_their_cases(followed, pathologist):
    found = by_key(trends(pathologist, followed))
    (signed, first), (unsigned, last) = found["lymphocyte"].samples
    expected = share(60, 200)
    assert (first.value, first.low, first.high, first.n) == (30, expected.low, expected.high, 200)
    assert (signed.state, unsigned.state) == ("signed, version 2, Paul Path", "not signed")
    assert (first.is_signed, last.is_signed) == (True, False)
    assert last.value == 7
    assert found["erythroblast_ratio"].samples[0][1].value == 2
    assert found["immature_granulocyte_ratio"].samples[1][1].value == pytest.approx(100 * 2 / 176)


def test_the_page_has_a_table_behind_each_chart(followed, clinician, client_for):
    page = reverse("reports:patient-trends", args=[followed.pk])
    whole = client_for(clinician).get(page).content.decode()
    assert whole.count('role="img"') == 9
    assert whole.count("<desc") == 9
    assert whole.count("<details>") == 9
    assert "30.0" in whole
    part = client_for(clinician).get(page, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part


def test_nothing_counted_is_said(patient, case, clinician, client_for):
    page = client_for(clinician).get(reverse("reports:patient-trends", args=[patient.pk]))
    assert "No leukocyte of this patient has been counted yet." in page.content.decode()


def test_another_laboratorys_rows_are_never_drawn(followed, pathologist, stranger, client_for, other_lab):
    page = reverse("reports:patient-trends", args=[followed.pk])
    assert client_for(stranger).get(page).status_code == 404
    Report.objects.update(lab=other_lab)
    assert by_key(trends(pathologist, followed))["lymphocyte"].samples[0][1].value == 88
    assert trends(stranger, followed) == ()


def test_four_questions_however_many_cases(
    followed, case, field_file, findings, pathologist, django_assert_max_num_queries
):
    for days in (12, 15, 18):
        analysed(case_after(case, days), field_file(seed=days), findings, BLASTS)
    with django_assert_max_num_queries(4):
        assert len(trends(pathologist, followed)[0].samples) == 5


# --- the drawing ----------------------------------------------------------------------------------
def test_points_stand_by_time_and_value():
    drawn = chart([point(0, 10, 5, 15), point(30, 20, 15, 25), point(40, 40, 30, 40)], Axis())
    xs = [placed.x for placed in drawn.points]
    assert (xs[1] - xs[0]) / (xs[2] - xs[0]) == pytest.approx(0.75, abs=0.01)
    assert drawn.points[2].y < drawn.points[1].y < drawn.points[0].y
    assert all(placed.top <= placed.y <= placed.bottom for placed in drawn.points)
    assert [value for _, value in drawn.ticks] == [0, 10, 20, 30, 40]


def test_the_scale_holds_the_range_and_cuts_the_interval_of_a_few_cells():
    assert chart([point(0, 1, 0, 2)], Axis((2.0, 10.0))).ticks[-1][1] == 10
    assert chart([point(0, 30, 1, 99)], Axis()).ticks[-1][1] == 60


def test_a_limit_is_drawn_where_values_come_near_it():
    assert chart([point(0, 8, 4, 14)], Axis(limits=((20.0, "2+"),))).limits
    assert not chart([point(0, 0, 0, 1.8)], Axis(limits=((20.0, "2+"),))).limits


def test_one_point_stands_in_the_middle():
    drawn = chart([point(0, 5, 2, 9)], Axis())
    assert drawn.dates[0][2] == "middle"
