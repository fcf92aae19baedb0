"""The worker's doors: whatever the pipeline does, the row of the run says how it ended."""

import base64
import io
import json
import sys
import threading
import types
from dataclasses import replace

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from PIL import Image

from inference import answers, runs, tasks
from inference.models import AnalysisRun
from inference.pipeline.cell_words import Description, FocusVerdict, Plausibility, Reading
from inference.pipeline.errors import UnusableSmear
from inference.pipeline.findings import Call, Explanation, NetworkUsed, Notice, SecondCall

Status = AnalysisRun.Status


@pytest.fixture
def pipeline(monkeypatch):
    """Puts a function in the place of `pipeline.analyse.analyse`, so that its ending can be chosen."""

    def put(analyse):
        module = types.ModuleType("inference.pipeline.analyse")
        module.analyse = analyse
        monkeypatch.setitem(sys.modules, "inference.pipeline.analyse", module)

    return put


def fresh(run):
    return AnalysisRun.objects.get(pk=run.pk)


def test_the_pipeline_gets_the_file_as_handed_in_and_the_cases_pixel_size(
    pipeline, queued_run, findings, case
):
    seen = {}

    def analyse(path, config, progress, read):
        seen.update(bytes=path.read_bytes(), suffix=path.suffix, pixel_um=config.pixel_um)
        progress("segmentation", 0.3)
        seen["stage"] = fresh(queued_run).stage
        return findings

    pipeline(analyse)
    tasks.analyse_smear(str(queued_run.pk))
    with queued_run.smear.original.open() as original:
        assert seen == {
            "bytes": original.read(),
            "suffix": ".png",
            "pixel_um": case.pixel_um,
            "stage": "segmentation",
        }
    assert fresh(queued_run).status == Status.DONE


def test_the_overlay_is_drawn_on_the_image(pipeline, queued_run, findings):
    pipeline(lambda *_: findings)
    tasks.analyse_smear(str(queued_run.pk))
    with fresh(queued_run).overlay.open() as drawn, queued_run.smear.preview.open() as plain:
        overlay = np.asarray(Image.open(drawn).convert("RGB"))
        preview = np.asarray(Image.open(plain).convert("RGB"))
    assert overlay.shape == preview.shape == (480, 640, 3)
    assert not np.array_equal(overlay, preview)


def test_the_overlay_of_a_slide_is_drawn_on_its_smaller_picture(pipeline, queued_run, findings):
    """The preview is 640 px wide: of a slide ten times as wide a cell is drawn at a tenth of its place."""
    far = [replace(cell, instance=magnified(cell.instance, 10)) for cell in findings.cells]
    pipeline(lambda *_: replace(findings, width=6400, height=4800, cells=tuple(far)))
    tasks.analyse_smear(str(queued_run.pk))
    with fresh(queued_run).overlay.open() as drawn, queued_run.smear.preview.open() as plain:
        changed = np.asarray(Image.open(drawn)) != np.asarray(Image.open(plain).convert("RGB"))
    x0, y0, x1, y1 = findings.cells[-1].instance.box
    assert changed[y0, x0:x1].any(axis=1).all()
    assert not changed[y1 + 3 :, x1 + 3 :].any()


def magnified(instance, times):
    box, polygon = (tuple(np.multiply(part, times).tolist()) for part in (instance.box, instance.polygon))
    return replace(instance, box=box, polygon=polygon, centroid=tuple(np.multiply(instance.centroid, times)))


def test_a_file_on_this_machine_is_read_where_it_lies(queued_run):
    original = queued_run.smear.original
    with tasks.local_path(original, ".dcm") as path:
        assert path.samefile(original.path)
        assert path.is_symlink()
        assert [path] == list(path.parent.iterdir())
        assert path.suffix == ".dcm"
    assert not path.parent.exists()
    assert original.storage.exists(original.name)


class ElsewhereStorage(Storage):
    """Like object storage it has no paths on this machine."""

    def _open(self, name, mode):
        return ContentFile(b"all of " + name.encode())


def test_a_file_in_object_storage_is_fetched_into_a_folder_of_its_own(queued_run):
    original = queued_run.smear.original
    original.storage = ElsewhereStorage()
    with tasks.local_path(original, ".svs") as path:
        assert path.read_bytes() == b"all of " + original.name.encode()
        assert not path.is_symlink()
        assert [path] == list(path.parent.iterdir())
    assert not path.parent.exists()


def test_a_run_delivered_twice_is_analysed_once(pipeline, queued_run, findings):
    calls = []
    pipeline(lambda *_: calls.append(1) or findings)
    for _ in range(2):
        tasks.analyse_smear(str(queued_run.pk))
    assert calls == [1]
    assert fresh(queued_run).attempts == 1


def test_a_delivery_during_the_analysis_does_nothing(pipeline, queued_run, findings):
    calls = []

    def analyse(*_):
        calls.append(1)
        tasks.analyse_smear(str(queued_run.pk))
        return findings

    pipeline(analyse)
    tasks.analyse_smear(str(queued_run.pk))
    assert calls == [1]
    assert fresh(queued_run).status == Status.DONE


def test_the_pipelines_own_words_reach_the_user(pipeline, queued_run):
    def analyse(*_):
        raise UnusableSmear("No cell was found. Hand in a field in focus.")

    pipeline(analyse)
    tasks.analyse_smear(str(queued_run.pk))
    run = fresh(queued_run)
    assert (run.status, run.error_code) == (Status.FAILED, "unusable_smear")
    assert run.error_message == "No cell was found. Hand in a field in focus."


def test_any_other_failure_is_logged_and_told_neutrally(pipeline, queued_run, caplog):
    def analyse(*_):
        raise ZeroDivisionError("inner detail")

    pipeline(analyse)
    tasks.analyse_smear(str(queued_run.pk))
    run = fresh(queued_run)
    assert (run.status, run.error_code) == (Status.FAILED, "internal_error")
    assert "inner detail" not in run.error_message
    assert "inner detail" in caplog.text


def test_a_worker_whose_run_was_taken_over_writes_nothing(pipeline, queued_run, findings, settings):
    """While it analysed, the sweeper gave the run to another."""

    def analyse(path, config, progress, read):
        AnalysisRun.objects.filter(pk=queued_run.pk).update(status=Status.QUEUED, claim_token=None)
        return findings

    pipeline(analyse)
    tasks.analyse_smear(str(queued_run.pk))
    run = fresh(queued_run)
    assert (run.status, run.cells.count()) == (Status.QUEUED, 0)


def test_a_run_that_is_gone_is_no_error(db):
    tasks.analyse_smear("00000000-0000-0000-0000-000000000000")
    assert not AnalysisRun.objects.exists()


def test_progress_within_a_stage_is_not_written_for_every_tile(queued_run, monkeypatch):
    written = []
    monkeypatch.setattr(runs, "note_stage", lambda *columns: written.append(columns[2:]))
    note = tasks._progress(queued_run, runs.QUEUE.claim(queued_run.pk))
    for tile in range(100):
        note("segmentation", tile / 200)
    note("classification", 0.6)
    assert written[0] == ("segmentation", 0.0)
    assert written[-1] == ("classification", 0.6 * runs.ANALYSED)
    assert len(written) < 10


def test_the_heart_beats_until_the_work_is_over(settings):
    settings.RUN_HEARTBEAT_SECONDS = 0.01
    beats, enough = [], threading.Event()

    def beat():
        beats.append(1)
        if len(beats) == 3:
            enough.set()

    with tasks.heartbeat(beat):
        assert enough.wait(10)
    count = len(beats)
    assert not any(thread.name.endswith("(_beat_until)") for thread in threading.enumerate())
    assert len(beats) == count


# --- predict --------------------------------------------------------------------------------------
def prediction(label):
    return types.SimpleNamespace(
        call=Call(label, 0.8, {label: np.float32(0.8), "monocyte": np.float32(0.2)}),
        explanation=Explanation(np.ones((64, 64), np.float32), 0.7, 2.0, background_ratio=0.3),
        words=Description(label, f"Seen: a {label}."),
        off_cell=False,
        second=SecondCall("monocyte", 0.6, "wbc_second", "1.0.0"),
        crop=np.full((64, 64, 3), 120, np.uint8),
        notices=(Notice("whole_frame", "No cell was found near the centre."),),
        network=NetworkUsed("wbc", "1.0.0", "ab" * 32),
    )


@pytest.fixture
def given(monkeypatch):
    given = {}
    monkeypatch.setattr(answers, "give", lambda place, content: given.update({place: content}))
    return given


def test_a_prediction_is_left_where_the_caller_waits(monkeypatch, given, lab):
    seen = []
    module = types.ModuleType("inference.pipeline.single_cell")
    module.predict = lambda path, config: seen.append(path.read_bytes()) or prediction("blast")
    monkeypatch.setitem(sys.modules, "inference.pipeline.single_cell", module)
    tasks.predict_cell("there", base64.b64encode(b"image").decode(), ".png", str(lab.pk))
    content = json.loads(json.dumps(given["there"]))
    assert seen == [b"image"]
    assert (content["class"], content["confidence"]) == ("blast", 0.8)
    assert content["llm_report"] == content["description"]["text"] == "Seen: a blast."
    assert (content["description"]["label"], content["second_reading"]) == ("blast", None)
    assert content["second_call"]["classification"] == "monocyte"
    assert content["focus"]["focus_ratio"] == 0.7 and content["focus"]["off_cell"] is False
    assert content["all_probabilities"]["monocyte"] == pytest.approx(0.2)
    head, data = content["gradcam_image"].split(",")
    assert head == "data:image/png;base64"
    heated = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert heated.shape == (64, 64, 3)
    assert not np.array_equal(heated[0, 0], (120, 120, 120))


def test_a_comment_of_the_second_reader_is_the_report_and_the_words_stay(monkeypatch, given, lab):
    read = Reading(
        "local", "llava", "1", FocusVerdict.ON_CELL, ("nucleus",), Plausibility.NO, "Too small.", 0.1
    )
    monkeypatch.setattr(tasks.second_readings, "reading_of", lambda *_: read)
    module = types.ModuleType("inference.pipeline.single_cell")
    module.predict = lambda path, config: prediction("blast")
    monkeypatch.setitem(sys.modules, "inference.pipeline.single_cell", module)
    tasks.predict_cell("there", "", ".png", str(lab.pk))
    said = given["there"]
    assert (said["class"], said["llm_report"]) == ("blast", "Too small.")
    assert said["description"]["text"] == "Seen: a blast."
    assert said["second_reading"]["machine_text"] and said["second_reading"]["plausible"] == "no"


def test_a_refused_prediction_says_why(monkeypatch, given, lab):
    def predict(*_):
        raise UnusableSmear("The image is black.")

    module = types.ModuleType("inference.pipeline.single_cell")
    module.predict = predict
    monkeypatch.setitem(sys.modules, "inference.pipeline.single_cell", module)
    tasks.predict_cell("there", "", ".png", str(lab.pk))
    assert given["there"] == {"error": {"code": "unusable_smear", "message": "The image is black."}}


def test_the_pages_know_every_stage_of_the_pipeline():
    from inference import names
    from inference.pipeline.analyse import STAGES

    assert tuple(names.STAGE_NAMES) == (*STAGES, runs.SAVING)
