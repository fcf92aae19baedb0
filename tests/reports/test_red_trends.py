"""A patient's red cells over time: share, interval and grade of each smear; nobody else's; few questions."""

import pytest
from django.urls import reverse

from inference import names, review, selectors
from inference.pipeline.aggregation import share
from reports.models import Report
from reports.red_trends import red_trends


@pytest.fixture
def named(red_run, pathologist):
    return selectors.run_for(pathologist, red_run.pk)


def by_key(found):
    return {trend.key: trend for trend in found.trends}


def test_what_is_not_signed_is_graded_as_it_counts_now(named, pathologist):
    patient = named.smear.case.patient
    found = red_trends(pathologist, patient)
    shapes = {"rbc-target", "rbc-sickle", "rbc-poikilocytosis"}
    assert set(by_key(found)) == {*shapes, "rbc-anisocytosis"}
    ((sample, point),) = by_key(found)["rbc-target"].samples
    expected = share(20, 205)
    assert (point.value, point.low, point.high) == (expected.percent, expected.low, expected.high)
    assert (point.count, point.n, point.grade, point.is_signed) == (20, 205, "2+", False)
    assert sample.state == "not signed"
    assert "Schistocyte" in found.not_seen
    target = named.cells.filter(kind="RBC", label="target").first()
    review.decide(pathologist, target, "artifact")
    assert by_key(red_trends(pathologist, patient))["rbc-target"].last.n == 204


def test_a_signed_report_speaks_for_its_case(named, pathologist, lab):
    line = {"percent": 3.5, "low": 1.4, "high": 7.1, "grade": "1+", "note": ""}
    red = {
        "classified": 200,
        "lines": [{"key": "teardrop", "count": 7, **line}, {"key": "normal", "count": 193, **line}],
        "poikilocytosis": {"key": "poikilocytosis", "count": 7, **line},
    }
    red["spread"] = {"count": 200, "mean_um": None, "cv_percent": 12.4, "cv_low": 11.2, "cv_high": 13.6,
                     "grade": "2+", "note": "the interval reaches from 1+ to 2+"}  # fmt: skip
    Report.objects.create(
        lab=lab,
        case=named.smear.case,
        version=1,
        status=Report.Status.FINAL,
        created_by=pathologist,
        signed_by=pathologist,
        content={"red_cells": red},
    )
    found = by_key(red_trends(pathologist, named.smear.case.patient))
    assert set(found) == {"rbc-teardrop", "rbc-poikilocytosis", "rbc-anisocytosis"}
    spread = found["rbc-anisocytosis"].last
    assert (spread.value, spread.low, spread.n, spread.grade) == (12.4, 11.2, 200, "2+")
    point = found["rbc-teardrop"].last
    assert (point.value, point.n, point.grade, point.is_signed) == (3.5, 200, "1+", True)


def test_anisocytosis_is_that_of_the_result_and_leaves_artifacts_out(named, pathologist):
    patient = named.smear.case.patient

    def drawn():
        return by_key(red_trends(pathologist, patient))["rbc-anisocytosis"]

    for _again in range(2):
        red = selectors.cells_of([named]).red_cells()
        point, sizes = drawn().last, red.diameters
        assert (point.count, point.n) == (sizes.count, sizes.count)
        assert (point.value, point.low, point.high) == pytest.approx(
            (sizes.cv_percent, sizes.cv_low, sizes.cv_high)
        )
        assert point.grade == (red.anisocytosis.text or names.grade_note(red.anisocytosis))
        assert "coefficient of variation" in drawn().unit
        review.decide(pathologist, named.cells.filter(kind="RBC", label="target").first(), "artifact")
    assert point.n == 204
    axis = drawn().chart
    assert [label for _y, label in axis.limits] == ["1+", "2+"]


def test_the_page_draws_them_with_their_grades(named, clinician, client_for):
    page = reverse("reports:patient-trends", args=[named.smear.case.patient_id])
    shown = client_for(clinician).get(page).content.decode()
    assert "Red cell morphology over time" in shown
    assert "<td>2+</td>" in shown


def test_a_patient_without_named_red_cells_has_none(done_run, clinician, client_for):
    page = reverse("reports:patient-trends", args=[done_run.smear.case.patient_id])
    assert "No red cell of this patient has been named" in client_for(clinician).get(page).content.decode()


def test_four_questions(named, pathologist, stranger, django_assert_max_num_queries):
    with django_assert_max_num_queries(4):
        red_trends(pathologist, named.smear.case.patient)
    assert red_trends(stranger, named.smear.case.patient).trends == ()
