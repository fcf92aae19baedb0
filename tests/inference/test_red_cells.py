"""Red cells as rows: what is kept, recounted after a correction, and asked of a person."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from django.urls import reverse
from PIL import Image

from inference import heat_maps, records, review, review_queue, runs, selectors, tasks
from inference.models import Cell
from inference.pipeline.payload import payload, red_cells_part
from tests.conftest import field_image

pytestmark = pytest.mark.django_db


def cell_called(run, label: str) -> Cell:
    return run.cells.filter(kind="RBC", label=label).first()


def red_part(run):
    return selectors.result_payload(run)["rbc_analysis"]


def test_rows_say_what_the_pipeline_said(red_run, red_findings):
    written = payload(red_findings, "x", datetime.now(UTC))
    kept = selectors.result_payload(red_run)
    assert kept["rbc_analysis"] == written["rbc_analysis"]
    assert kept["summary"] == written["summary"]
    assert kept["cell_detections"][20:] == written["cell_detections"][20:]
    assert "rbc" in {network["name"] for network in kept["networks"]}


def test_measures_are_kept(red_run, red_findings):
    row = cell_called(red_run, "target")
    assert records.measures(row) in {cell.measures for cell in red_findings.cells if cell.measures}
    assert row.embedding is None
    assert row.crop


def test_the_sample_is_what_is_classified(red_run):
    part = red_part(red_run)
    assert (part["total"], part["classified"]) == (210, 205)
    assert part["distribution"]["target"] == 20


def test_white_figures_do_not_know_of_red_cells(red_run, red_findings):
    cells = selectors.cells_of([red_run])
    assert cells.figures() == red_findings.aggregate
    assert cells.figures().wbc_count == 8
    assert len(cells.called) == 8


def test_a_correction_counts(red_run, pathologist):
    review.decide(pathologist, cell_called(red_run, "target"), "stomatocyte")
    part = red_part(red_run)
    assert (part["distribution"]["target"], part["distribution"]["stomatocyte"]) == (19, 1)
    review.undo(pathologist, cell_called(red_run, "target"))
    assert red_part(red_run)["distribution"]["target"] == 20


def test_what_is_no_red_cell_leaves_the_count(red_run, pathologist):
    review.decide(pathologist, cell_called(red_run, "target"), "artifact")
    found = selectors.result_payload(red_run)
    assert (found["rbc_analysis"]["total"], found["rbc_analysis"]["classified"]) == (209, 204)
    assert found["summary"]["rbc_count"] == 209
    assert found["wbc_differential"]["artifact_count"] == 1


def test_a_person_can_call_what_no_network_names(red_run, pathologist):
    review.decide(pathologist, cell_called(red_run, "normal"), "malaria_infected")
    assert red_part(red_run)["grades"]["malaria_infected"]["grade"] == "1+"


def test_a_red_cell_is_no_white_cell_and_the_other_way_round(red_run, pathologist):
    with pytest.raises(review.InvalidDecision):
        review.decide(pathologist, cell_called(red_run, "target"), "blast")
    with pytest.raises(review.InvalidDecision):
        review.decide(pathologist, red_run.cells.get(number=1), "target")


def test_a_clinician_may_not_correct(red_run, clinician):
    from accounts.permissions import PermissionDenied

    with pytest.raises(PermissionDenied):
        review.decide(clinician, cell_called(red_run, "target"), "normal")


def test_unsure_red_cells_stand_in_the_queue_and_hold_up_the_sign_off(red_run, pathologist):
    waiting = [cell for cell in review_queue.queue(pathologist) if cell.kind == "RBC"]
    assert [cell.label for cell in waiting] == ["target", "target"]
    for cell in selectors.open_cells(red_run):
        review.decide(pathologist, cell, cell.label)
    review.sign_off(pathologist, red_run)
    red_run.refresh_from_db()
    assert red_run.signed_off_at


def test_red_cells_in_review_keep_heat_map_and_words(red_run, red_findings):
    shown = [cell for cell in red_findings.cells if cell.explanation and cell.measures]
    assert len(shown) == 2
    for cell in shown:
        row = red_run.cells.get(number=cell.cell_id)
        kept = heat_maps.stored(row)
        assert (kept.label, kept.focus_ratio, kept.strength) == ("target", 0.7, 0.6)
        assert kept.description == cell.description
        assert Image.open(row.heatmap).size == (64, 64)
    assert red_run.cells.filter(kind="RBC").exclude(heatmap="").count() == 2


def test_the_payload_has_the_words_of_red_cells_in_review(red_run):
    said = selectors.result_payload(red_run)
    worded = [one for one in said["cell_detections"] if one["type"] == "RBC" and "description" in one]
    assert [one["description"]["text"] for one in worded] == ["Seen: a target."] * 2
    doubted = [one for one in said["uncertain_cases"] if one["type"] == "RBC"]
    assert [one["description"] for one in doubted] == [one["description"] for one in worded]


def test_the_map_of_a_cell_called_by_its_size_speaks_for_the_normal_shape(red_run):
    row = red_run.cells.exclude(heatmap="").filter(kind="RBC").first()
    row.label = "macrocyte"
    assert heat_maps.stored(row).label == "normal"


def test_the_desk_offers_the_classes_of_the_cell_in_hand(red_run, client, pathologist):
    client.force_login(pathologist)
    row = cell_called(red_run, "sickle")
    page = client.get(reverse("inference:review-slide", args=[red_run.pk]), {"cell": row.number})
    choices = page.context["desk"].choices
    assert {choice.label for choice in choices} == set(review.RBC_ANSWERS)
    assert len({choice.key for choice in choices} | {"u", "c", "h"}) == len(choices) + 3
    assert "Schistocyte" in page.content.decode()
    white = client.get(reverse("inference:review-slide", args=[red_run.pk]), {"cell": 1})
    assert "Schistocyte" not in white.content.decode()


def test_the_desk_shows_red_cells_only_where_a_person_is_asked(red_run, client, pathologist):
    client.force_login(pathologist)
    page = client.get(reverse("inference:review-slide", args=[red_run.pk]))
    assert page.context["desk"].reviewable == 8 + 2


def test_grades_follow_the_laboratorys_own_table(red_run, lab):
    before = red_part(red_run)["grades"]["target"]["grade"]
    lab.red_cell_grades.create(cell_class="target", one_percent=50, two_percent=60, three_percent=70)
    assert (before, red_part(red_run)["grades"]["target"]["grade"]) == ("2+", "0")


def test_an_analysis_holds_sizes_against_the_limits_of_its_laboratory(red_run, lab, settings):
    settings.RBC_CLASSIFIED, settings.RBC_REVIEWED = 300, 4
    type(lab).objects.filter(pk=lab.pk).update(rbc_low_um=6.5, rbc_high_um=8.2)
    lab.red_cell_grades.create(cell_class="sickle", one_percent=0.1, two_percent=0.2, three_percent=0.3)
    config = tasks._config_of(red_run.smear)
    assert config.rbc_diameter_um == (6.5, 8.2)
    assert config.rbc_grades["sickle"] == (0.1, 0.2, 0.3)
    assert (config.rbc_classified, config.rbc_reviewed) == (300, 4)


def test_without_red_calls_nothing_is_analysed(done_run):
    assert red_part(done_run) == red_cells_part(None, 10)
    assert selectors.cells_of([done_run]).red_cells() is None


def test_what_is_noted_on_a_cell_is_kept_and_asks_nobody(queued_run, red_findings):
    cells = tuple(
        replace(cell, noted=("measures_disagree",)) if cell.call and cell.call.label == "sickle" else cell
        for cell in red_findings.cells
    )
    found = replace(red_findings, cells=cells)
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), found, np.asarray(field_image()))
    queued_run.refresh_from_db()
    row = cell_called(queued_run, "sickle")
    assert (row.review_reasons, row.needs_review) == (["measures_disagree"], False)
    kept = records.cell(row)
    assert (kept.review_reasons, kept.noted) == ((), ("measures_disagree",))
    assert [cell.label for cell in selectors.open_cells(queued_run) if cell.kind == "RBC"] == ["target"] * 2
    said = selectors.result_payload(queued_run)
    assert all(case["predicted_class"] != "sickle" for case in said["uncertain_cases"])


def test_contradicted_cells_are_counted_by_the_class_that_counts(red_run, pathologist):
    # Sickle cells and normal ones of the fixture are equally round.
    assert red_part(red_run)["measures_disagree"] == {"called_normal": 0, "called_abnormal": 5}
    review.decide(pathologist, cell_called(red_run, "sickle"), "normal")
    assert red_part(red_run)["measures_disagree"] == {"called_normal": 0, "called_abnormal": 4}
