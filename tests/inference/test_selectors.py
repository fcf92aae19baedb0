"""What is read: one's own laboratory, STAT first, people's corrections counted, the machine's call kept."""

from datetime import UTC, datetime

import numpy as np
import pytest
from django.http import Http404

from cases.services import create_case
from inference import names, review, review_queue, runs, selectors
from inference.pipeline.config import WBC_CLASSES


@pytest.fixture
def stat_run(clinician, patient, field_file, findings):
    """A second case, STAT, analysed after the first."""
    case = create_case(
        clinician,
        patient=patient,
        accession="H26-0002",
        priority="stat",
        collected_at=datetime(2026, 11, 20, 9, 0, tzinfo=UTC),
    )
    run = runs.submit(clinician, case, field_file())
    runs.save(run.pk, runs.QUEUE.claim(run.pk), findings)
    return run


def test_the_queue_is_what_matters_then_stat_and_holds_open_cells_only(done_run, stat_run, pathologist):
    waiting = [(cell.run_id, cell.number) for cell in review_queue.queue(pathologist)]
    assert waiting == [(stat_run.pk, 7), (done_run.pk, 7), (stat_run.pk, 8), (done_run.pk, 8)]
    review.decide(pathologist, done_run.cells.get(number=7), "blast")
    assert review_queue.queue_count(pathologist) == 3
    slides = review_queue.waiting_slides(pathologist, first=1)
    assert [(slide.run, slide.open_count) for slide in slides] == [(stat_run, 2), (done_run, 1)]
    assert [[cell.number for cell in slide.cells] for slide in slides] == [[7], [8]]
    assert [slide.unseen for slide in slides] == [1, 0]


def test_an_undone_decision_is_in_the_queue_again(done_run, pathologist):
    cell = done_run.cells.get(number=7)
    for _ in range(2):
        review.decide(pathologist, cell, "blast")
        assert review_queue.queue_count(pathologist) == 1
        review.undo(pathologist, cell)
        assert review_queue.queue_count(pathologist) == 2


def test_another_laboratory_sees_nothing(done_run, stranger):
    assert not selectors.runs_for(stranger).exists()
    assert not selectors.cells_for(stranger).exists()
    assert not review_queue.queue(stranger).exists()
    with pytest.raises(Http404):
        selectors.run_for(stranger, done_run.pk)
    with pytest.raises(Http404):
        selectors.cell_for(stranger, done_run.cells.first().pk)


def test_case_runs_count_their_open_cells(done_run, pathologist, case):
    assert [run.open_count for run in selectors.case_runs(pathologist, case.pk)] == [2]
    review.decide(pathologist, done_run.cells.get(number=8), "neutrophil")
    review.undo(pathologist, done_run.cells.get(number=8))
    review.decide(pathologist, done_run.cells.get(number=8), "monocyte")
    assert [run.open_count for run in selectors.case_runs(pathologist, case.pk)] == [1]


def test_a_rebuilt_payload_says_what_the_pipeline_said(done_run, findings):
    from inference.pipeline.payload import payload

    said = selectors.result_payload(done_run)
    straight = payload(findings, str(done_run.smear_id), done_run.finished_at or done_run.queued_at)
    done_run.refresh_from_db()
    straight["timestamp"] = done_run.finished_at.isoformat()
    said["timestamp"] = done_run.finished_at.isoformat()
    assert said == straight


def test_a_rebuilt_payload_keeps_prediction_sets_and_the_second_networks_call(doubted_run, doubted):
    from inference.pipeline.payload import payload

    said = selectors.result_payload(doubted_run)
    straight = payload(doubted, str(doubted_run.smear_id), doubted_run.finished_at)
    assert said == straight
    detection = next(cell for cell in said["cell_detections"] if cell["cell_id"] == 8)
    assert detection["prediction_set_95"] == ["eosinophil", "neutrophil"]
    assert detection["prediction_set_99"] == ["eosinophil", "neutrophil", "blast"]
    assert detection["second_call"] == {
        "classification": "neutrophil",
        "confidence": 0.81,
        "network": {"name": "wbc_second", "version": "1.0.0"},
    }
    (uncertain,) = [cell for cell in said["uncertain_cases"] if cell["cell_id"] == 8]
    assert uncertain["reason"] == "low_confidence, out_of_distribution, networks_disagree"
    other = next(cell for cell in said["cell_detections"] if cell["cell_id"] == 1)
    assert not {"prediction_set_95", "prediction_set_99", "second_call"} & set(other)


def test_a_persons_call_has_no_prediction_set_and_the_machines_stays(doubted_run, pathologist):
    review.decide(pathologist, doubted_run.cells.get(number=8), "monocyte")
    (cell,) = [cell for cell in selectors.cells_of([doubted_run]).called if cell.row.number == 8]
    call = cell.finding().call
    assert (call.label, call.sets, call.out_of_distribution) == ("monocyte", {}, False)
    row = doubted_run.cells.get(number=8)
    assert (row.label, row.ood_score, row.out_of_distribution) == ("eosinophil", -1.5, True)
    assert row.second_call["label"] == "neutrophil"


def test_the_number_of_questions_does_not_grow_with_the_cells(
    done_run, pathologist, findings, django_assert_max_num_queries
):
    for cell in done_run.cells.exclude(label=""):
        review.decide(pathologist, cell, cell.label)
    with django_assert_max_num_queries(4):
        cells = selectors.cells_of([done_run])
        assert (cells.reviewed_count, cells.figures().rbc_count) == (8, findings.aggregate.rbc_count)
    with django_assert_max_num_queries(5):
        assert len(selectors.result_payload(done_run)["cell_detections"]) == len(findings.cells)


def test_lists_leave_the_tiles_of_a_run_in_the_database(done_run, pathologist, case):
    listed = [
        review_queue.queue(pathologist)[0].run,
        review_queue.waiting_slides(pathologist, first=1)[0].run,
        selectors.case_runs(pathologist, case.pk)[0],
    ]
    assert all("coverage" in run.get_deferred_fields() for run in listed)


def test_corrections_change_the_figures_and_leave_the_machines_call(done_run, pathologist):
    before = selectors.result_payload(done_run)["wbc_differential"]["distribution"]
    review.decide(pathologist, done_run.cells.get(number=7), "lymphocyte", "reactive")
    after = selectors.result_payload(done_run)
    counts = after["wbc_differential"]["distribution"]
    assert counts["blast"] == before["blast"] - 1
    assert counts["lymphocyte"] == before["lymphocyte"] + 1
    detection = next(cell for cell in after["cell_detections"] if cell["cell_id"] == 7)
    assert (detection["classification"], detection["reviewed_classification"]) == ("blast", "lymphocyte")
    uncertain = {cell["cell_id"]: cell for cell in after["uncertain_cases"]}
    assert uncertain[7]["requires_manual_review"] is False
    assert uncertain[7]["predicted_class"] == "blast"
    assert uncertain[8]["requires_manual_review"] is True
    assert "blast_detected" not in {flag["code"] for flag in after["wbc_differential"]["flags"]}


def test_smear_results_hold_what_a_report_prints(done_run, pathologist, case, findings):
    review.decide(pathologist, done_run.cells.get(number=8), "immature_granulocyte", "metamyelocyte")
    (result,) = selectors.smear_results(case.pk)
    assert (result.cells_reviewed, result.cells_open, result.cells_corrected) == (1, 1, 1)
    assert [cell.number for cell in result.abnormal] == [7, 8]
    corrected = result.abnormal[1]
    assert (corrected.label, corrected.machine_label) == ("immature_granulocyte", "eosinophil")
    assert (corrected.reviewed_by, corrected.comment) == ("Paul Path", "metamyelocyte")
    assert corrected.crop_png.startswith(b"\x89PNG")
    assert result.annotated_png.startswith(b"\x89PNG")
    assert result.networks == findings.networks
    assert [cell["cell_id"] for cell in result.payload["cell_detections"]] == list(range(1, 9))
    assert result.payload["summary"] == selectors.result_payload(done_run)["summary"]
    assert result.signed_off_by is None
    assert sum(line.count for line in result.lines) == result.aggregate.wbc_count == 8


def test_lines_are_measured_against_the_laboratorys_own_ranges(done_run, case, lab):
    lab.reference_ranges.filter(cell_class="neutrophil").update(low_percent=88, high_percent=95)
    (result,) = selectors.smear_results(case.pk)
    lines = {line.key: line for line in result.lines}
    assert (lines["neutrophil"].percent, lines["neutrophil"].reference) == (50.0, (88.0, 95.0))
    assert lines["neutrophil"].outside
    assert lines["blast"].reference is None
    assert not lines["blast"].outside
    assert lines["neutrophil"].low < 50.0 < lines["neutrophil"].high


@pytest.mark.parametrize(("counted", "outside"), [(8, False), (200, True)])
def test_of_few_cells_only_the_whole_interval_says_high_or_low(counted, outside):
    from inference import results
    from inference.pipeline.aggregation import aggregate
    from inference.pipeline.findings import Call, Cell, Instance, Kind

    instance = Instance(Kind.WBC, (0, 0, 9, 9), (), (4.0, 4.0), 80, 0.9)
    labels = ["neutrophil", "lymphocyte"] * (counted // 2)
    cells = [Cell(n, instance, Call(label, 0.9, {label: 0.9})) for n, label in enumerate(labels)]
    first = results.lines(aggregate(cells), {"neutrophil": (51.0, 70.0)})[0]
    assert (first.percent, first.outside) == (50.0, outside)


def test_the_figures_of_a_case_pool_its_smears(done_run, clinician, case, field_file, findings):
    second = runs.submit(clinician, case, field_file("second.png", seed=1))
    runs.save(second.pk, runs.QUEUE.claim(second.pk), findings)
    alone = selectors.smear_results(case.pk)[0].aggregate
    pooled, lines, _ = selectors.case_aggregate(case.pk)
    assert pooled.wbc_count == 2 * alone.wbc_count
    assert pooled.rbc_count == 2 * alone.rbc_count
    neutrophils, single = lines[0], alone.differential["neutrophil"]
    assert neutrophils.percent == pytest.approx(single.percent)
    assert neutrophils.high - neutrophils.low < single.high - single.low


def test_every_class_has_a_name_and_a_key_of_its_own():
    keys = [names.CLASS_KEYS[label] for label in WBC_CLASSES]
    assert len(set(keys)) == len(WBC_CLASSES)
    assert not set(keys) & {"u", "c"}
    assert all(names.CLASS_NAMES[label] for label in WBC_CLASSES)


def test_probabilities_survive_float32(queued_run, findings):
    from dataclasses import replace

    cell = findings.cells[0]
    call = replace(cell.call, probabilities={k: np.float32(v) for k, v in cell.call.probabilities.items()})
    odd = replace(findings, cells=(replace(cell, call=call), *findings.cells[1:]))
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), odd)
    assert queued_run.cells.get(number=1).probabilities["neutrophil"] == pytest.approx(0.95)
