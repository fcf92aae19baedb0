"""The worker's doors. The row of the run decides what happens, so every task may be delivered twice."""

import base64
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import worker_process_init
from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.selectors import red_cell_limits
from cases.local_files import local_path
from inference import (
    answers,
    candidates,
    deep_zoom,
    pictures,
    records,
    rehearsals,
    runs,
    second_readings,
    stage_calls,
    stage_records,
    what_matters,
)
from inference.claims import HoldLost, Queue
from inference.models import AnalysisRun, Cell, Rehearsal, StageCall
from inference.pipeline import payload
from inference.pipeline.config import Config, SegmentationEngine, shape_of
from inference.pipeline.findings import Box, Explanation, Kind, Method, NetworkUsed, Staging
from inference.pipeline.networks.registry import staging_folder
from inference.rehearsal_figures import Anew, compared
from inference.results import ReviewedCell

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.5
REHEARSED_AT_ONCE = 64
HEAT_MAP_FIGURES = ("strength", "focus_ratio", "nucleus_ratio", "cytoplasm_ratio", "background_ratio")
INTERNAL_ERROR = gettext_noop(
    "The analysis stopped at a fault of the program, which has been logged. Repeat it; if it stops again,"
    " tell the administrator of the laboratory."
)


@worker_process_init.connect
def warm_up(**_: Any) -> None:
    """Load and compile the networks before the first smear comes, so that nobody waits for it."""
    from inference.pipeline import analyse
    from inference.pipeline.errors import NetworkUnavailable

    try:
        analyse.warm_up(_config())
    except NetworkUnavailable as error:
        logger.error("No smear can be analysed: %s", error.text)


def _config(pixel_um: float | None = None, staging: bool = False) -> Config:
    """The analysis as this installation is set up."""
    return Config(
        pixel_um=pixel_um,
        engine=SegmentationEngine(settings.SEGMENTATION_ENGINE),
        remediate=settings.CALL_AGAIN,
        review_contradicted=settings.REVIEW_CONTRADICTED,
        staging=staging,
        staging_folder=staging_folder(settings.STAGING_NETWORK),
        rbc_classified=settings.RBC_CLASSIFIED,
        rbc_reviewed=settings.RBC_REVIEWED,
    )


def _config_of(smear: Any) -> Config:
    """The analysis of a smear, by what is known of its case, and by the limits and the network of its
    laboratory."""
    limits = red_cell_limits(smear.lab_id)
    return replace(
        _config(smear.case.pixel_um, smear.case.staging_requested),
        rbc_diameter_um=limits.diameter_um,
        rbc_grades=limits.grades_percent,
        wbc_folder=candidates.active_folder(smear.lab_id),
    )


@shared_task
def analyse_smear(run_id: str) -> None:
    """Needs the run queued; leaves it done or failed. In any other state there is nothing to do.

    Killed in the middle, it leaves the run running without a heartbeat, which the sweeper finds.
    """

    def work(token: UUID) -> None:
        _analyse(runs.QUEUE.held(run_id, token), token)

    _carry_out(runs.QUEUE, run_id, work, runs.fail)


def _carry_out(
    queue: Queue[Any], key: Any, work: Callable[[UUID], None], fail: Callable[[Any, UUID, str, str], None]
) -> None:
    """Claims a row and works on it, with a heartbeat; what stops the work is noted by `fail`, with a code and
    a sentence for the user."""
    from inference.pipeline.errors import PipelineError

    token = queue.claim(key)
    if token is None:
        return
    task = f"{queue.task} of {key}"
    try:
        with heartbeat(partial(queue.beat, key, token)):
            work(token)
    except HoldLost:
        logger.warning("%s was taken over or withdrawn while this worker was busy with it.", task)
    except PipelineError as error:
        _noted(task, partial(fail, key, token, error.code, error.text))
    except Exception:
        logger.exception("%s failed", task)
        _noted(task, partial(fail, key, token, "internal_error", _(INTERNAL_ERROR)))


def _noted(task: str, fail: Callable[[], None]) -> None:
    try:
        fail()
    except HoldLost:
        logger.warning("%s was taken over before it could be noted as failed.", task)


def _analyse(run: AnalysisRun, token: UUID) -> None:
    from inference.pipeline.analyse import analyse
    from inference.pipeline.overlay import overlay

    smear = run.smear
    with local_path(smear.original, smear.suffix) as path:
        findings = analyse(
            path,
            _config_of(smear),
            _progress(run, token),
            second_readings.with_readings,
        )
    with smear.preview.open() as preview:
        picture = pictures.pixels(preview)
    drawn = overlay(picture, findings.cells, picture.shape[1] / findings.width)
    runs.save(run.pk, token, findings, drawn)


def _progress(run: AnalysisRun, token: UUID) -> Callable[[str, float], None]:
    """Notes every new stage, and progress within one at most twice a second."""
    noted_stage, noted_at = "", 0.0

    def note(stage: str, progress: float) -> None:
        nonlocal noted_stage, noted_at
        if stage == noted_stage and time.monotonic() - noted_at < PROGRESS_SECONDS:
            return
        runs.note_stage(run.pk, token, stage, progress * runs.ANALYSED)
        noted_stage, noted_at = stage, time.monotonic()

    return note


@contextmanager
def heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    """Keeps saying that this worker is alive, from a thread of its own, while the work inside goes on."""
    over = threading.Event()
    thread = threading.Thread(target=_beat_until, args=(over, beat), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat_until(over: threading.Event, beat: Callable[[], None]) -> None:
    try:
        while not over.wait(settings.RUN_HEARTBEAT_SECONDS):
            _beat(beat)
    except HoldLost as lost:
        logger.warning("Row %s is no longer held by this worker.", lost)
    finally:
        connection.close()


def _beat(beat: Callable[[], None]) -> None:
    """A database that is busy for a moment must not end the heartbeat."""
    try:
        beat()
    except DatabaseError:
        logger.exception("A heartbeat could not be written")


@shared_task
def stage_smear(call_id: int) -> None:
    """Needs the staging of a finished run queued; leaves it done or failed. In any other state, and when the
    request was withdrawn, there is nothing to do.

    Killed in the middle, it leaves the staging running without a heartbeat, which the sweeper finds.
    """

    def work(token: UUID) -> None:
        stage_calls.save(call_id, token, _stage(stage_calls.QUEUE.held(call_id, token).run))

    _carry_out(stage_calls.QUEUE, call_id, work, stage_calls.fail)


def _stage(run: AnalysisRun) -> Staging:
    """Stages a finished run by its image and the white cells that were stored."""
    from inference.pipeline.slide import Slide
    from inference.pipeline.staging import stage

    smear = run.smear
    whites = [records.cell(row) for row in run.cells.filter(kind=Kind.WBC)]
    with local_path(smear.original, smear.suffix) as path, Slide.open(path, run.pixel_um) as slide:
        return stage(slide, whites, run.pixel_um, staging_folder(settings.STAGING_NETWORK))


@shared_task
def rehearse_network(rehearsal_id: str) -> None:
    """Needs the rehearsal queued; leaves it done or failed. In any other state there is nothing to do.

    Killed in the middle, it leaves the rehearsal running without a heartbeat, which the sweeper finds.
    """

    def work(token: UUID) -> None:
        _rehearse(rehearsals.QUEUE.held(rehearsal_id, token), token)

    _carry_out(rehearsals.QUEUE, rehearsal_id, work, rehearsals.fail)


def _rehearse(rehearsal: Rehearsal, token: UUID) -> None:
    from inference.pipeline.errors import PipelineError
    from inference.pipeline.networks import registry, runtime

    network = runtime.load(registry.WBC_NETWORK, candidates.folder(rehearsal.candidate))
    cases = rehearsals.signed_cases(rehearsal.lab_id, rehearsal.cases_wanted)
    if not cases:
        raise PipelineError(
            _("The laboratory has no signed case yet. A network is rehearsed on cases with signed slides."),
            code="nothing_to_rehearse",
        )
    rehearsals.begin(rehearsal.pk, token)
    for place, case_id in enumerate(cases, start=1):
        cells = rehearsals.signed_cells(case_id)
        whole = [cell for cell in cells if cell.row.crop]
        anew = [
            one
            for start in range(0, len(whole), REHEARSED_AT_ONCE)
            for one in _called_anew(whole[start : start + REHEARSED_AT_ONCE], network)
        ]
        found = place, case_id, compared(anew, len(cells) - len(whole))
        rehearsals.save_case(rehearsal.pk, token, found, place / len(cases))
    rehearsals.save(rehearsal.pk, token)


def _called_anew(cells: Sequence[ReviewedCell], network: Any) -> list[Anew]:
    """Has a network call stored cells, from their pictures."""
    from inference.pipeline.rehearsal import KeptCell, called_anew

    kept = []
    for cell in cells:
        row = cell.row
        with row.crop.open() as file:
            crop = pictures.pixels(file)
        beyond = "stain" in row.review_reasons
        kept.append(KeptCell(crop, records.instance(row), records.second_call(row), beyond))
    said = called_anew(kept, network, _config())
    return [Anew(cell, call, reasons) for cell, (call, reasons) in zip(cells, said, strict=True)]


@shared_task
def predict_cell(place: str, image: str, suffix: str, lab_id: str) -> None:
    """Needs a caller of a laboratory who waits at `place`; leaves the prediction there, or why there is
    none."""
    _give(place, lambda: _predict(base64.b64decode(image), suffix, lab_id))


@shared_task
def heat_map_of_cell(place: str, cell_id: int, *asked: str) -> None:
    """Needs a cell that the network asked for called, and a caller who waits at `place`; leaves its heat map
    there, or why there is none. `asked` are the method, the class and the network."""
    _give(place, lambda: _heat_map(Cell.objects.select_related("run").get(pk=cell_id), *asked))


@shared_task
def heat_map_of_field(place: str, call_id: int, number: int, method: str) -> None:
    """Needs a finished staging whose field of this number, from 1, was staged, and a caller who waits at
    `place`; leaves the heat map there, or why there is none."""
    calls = StageCall.objects.select_related("run__smear")
    _give(place, lambda: _field_heat_map(calls.get(pk=call_id), number, method))


@shared_task
def copy_for_viewer(run_id: str) -> None:
    """Needs an image that can only be decoded whole; leaves its reading copy in the storage. Where there is
    one already, there is nothing to do."""
    from inference.pipeline.slide_copy import write_copy

    smear = AnalysisRun.objects.select_related("smear").get(pk=run_id).smear
    name = deep_zoom.copy_name(smear)
    if default_storage.exists(name):
        return
    with local_path(smear.original, smear.suffix) as path, TemporaryDirectory() as folder:
        copy = Path(folder, "copy.tif")
        write_copy(path, copy)
        with copy.open("rb") as file:
            default_storage.save(name, File(file))


def _give(place: str, make: Callable[[], dict[str, Any]]) -> None:
    from inference.pipeline.errors import PipelineError

    try:
        content = make()
    except PipelineError as error:
        content = {"error": {"code": error.code, "message": error.text}}
    except Exception:
        logger.exception("An answer could not be given")
        content = {"error": {"code": "internal_error", "message": _(INTERNAL_ERROR)}}
    answers.give(place, content)


def _predict(image: bytes, suffix: str, lab_id: str) -> dict[str, Any]:
    """The answer of `predict/`, by the network of the laboratory."""
    from inference.pipeline.single_cell import predict

    config = replace(_config(), wbc_folder=candidates.active_folder(lab_id))
    with NamedTemporaryFile(suffix=suffix) as file:
        file.write(image)
        file.flush()
        said = predict(Path(file.name), config)
    call, explanation = said.call, said.explanation
    reading = second_readings.reading_of(call, explanation, said.crop)
    return {
        "class": call.label,
        "confidence": float(call.confidence),
        "abstained": call.abstained,
        "out_of_distribution": call.out_of_distribution,
        "all_probabilities": {label: float(share) for label, share in call.probabilities.items()},
        "prediction_sets": {str(level): list(labels) for level, labels in call.sets.items()},
        "second_call": payload.second_call(said.second) if said.second else None,
        "gradcam_image": _data_uri(pictures.heated_png(said.crop, explanation.drawn)),
        "focus": {**_figures(explanation), "off_cell": said.off_cell},
        "receipt": asdict(explanation.receipt) if explanation.receipt else None,
        "description": payload.description(said.words),
        "second_reading": asdict(reading) if reading else None,
        "llm_report": (reading and reading.comment) or said.words.text,
        "notices": [{"code": notice.code, "message": notice.text} for notice in said.notices],
        "network": asdict(said.network),
        "ruo": True,
    }


def _figures(explanation: Explanation) -> dict[str, float | None]:
    return {name: getattr(explanation, name) for name in HEAT_MAP_FIGURES}


def _heat_map(row: Cell, method: str, label: str, network: str) -> dict[str, Any]:
    from inference.pipeline.heat_map import Kept, heat_map

    called_by = {used.name: used for used in records.networks(row.run)}
    used = called_by.get(network, NetworkUsed(network, "", ""))
    with row.crop.open() as file:
        crop = pictures.pixels(file)
    folder = candidates.folder_with(row.run.lab_id, used.sha256)
    kept = Kept(crop, records.instance(row), row.run.pixel_um, used, records.measures(row), folder)
    found, words = heat_map(kept, label, Method(method))
    return {
        "label": shape_of(label),
        "picture": _data_uri(pictures.heatmap_png(found.drawn)),
        **_figures(found),
        "receipt": asdict(found.receipt) if found.receipt else None,
        "description": payload.description(words),
    }


def _field_heat_map(call: StageCall, number: int, method: str) -> dict[str, Any]:
    from inference.pipeline.slide import Slide
    from inference.pipeline.staging_heat_map import KeptField, field_heat_map

    run, staging = call.run, stage_records.staging(call)
    field, folder = staging.fields[number - 1], staging_folder(settings.STAGING_NETWORK)
    with local_path(run.smear.original, run.smear.suffix) as path, Slide.open(path, run.pixel_um) as slide:
        pixels = slide.read(field.box)
    cells = [records.instance(row) for row in _nucleated(run, field.box)]
    kept = KeptField(pixels, field.box, field.label or "", cells, staging.network, folder)
    found = field_heat_map(kept, Method(method))
    explanation = found.explanation
    return {
        "field": _data_uri(pictures.png(found.seen)),
        "picture": _data_uri(pictures.heatmap_png(explanation.drawn)),
        "strength": explanation.strength,
        "focus_ratio": explanation.focus_ratio,
        "covered_ratio": found.covered_ratio,
        "receipt": asdict(explanation.receipt) if explanation.receipt else None,
    }


def _nucleated(run: AnalysisRun, box: Box) -> QuerySet[Cell]:
    """The nucleated cells of a run that reach into a box, those that lie mostly beside it included."""
    from inference.pipeline.staging_windows import NO_NUCLEUS

    left, top, right, bottom = box
    touching = run.cells.filter(kind=Kind.WBC, x0__lt=right, x1__gt=left, y0__lt=bottom, y1__gt=top)
    return touching.exclude(label__in=NO_NUCLEUS)


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


@shared_task
def sweep_runs() -> None:
    """Needs nothing; queues running runs, stagings and rehearsals whose heart stopped, sends queued ones that
    were not sent, and looks at open cells of which is not known yet what hangs on them."""
    runs.sweep()
    stage_calls.sweep()
    rehearsals.sweep()
    what_matters.catch_up()
