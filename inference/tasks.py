"""The worker's doors. The row of the run decides what happens, so every task may be delivered twice."""

import base64
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import worker_process_init
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from cases.local_files import local_path
from inference import answers, pictures, records, runs, second_readings
from inference.models import AnalysisRun, Cell
from inference.pipeline.config import Config, SegmentationEngine

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.5
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


def _config(pixel_um: float | None = None) -> Config:
    """The analysis as this installation is set up."""
    return Config(pixel_um=pixel_um, engine=SegmentationEngine(settings.SEGMENTATION_ENGINE))


@shared_task
def analyse_smear(run_id: str) -> None:
    """Needs the run queued; leaves it done or failed. In any other state there is nothing to do.

    Killed in the middle, it leaves the run running without a heartbeat, which the sweeper finds.
    """
    from inference.pipeline.errors import PipelineError

    token = runs.claim(run_id)
    if token is None:
        return
    try:
        with heartbeat(run_id, token):
            _analyse(runs.held(run_id, token), token)
    except runs.RunLost:
        logger.warning("Run %s was taken over while this worker was busy with it.", run_id)
    except PipelineError as error:
        _fail(run_id, token, error.code, error.text)
    except Exception:
        logger.exception("Run %s failed", run_id)
        _fail(run_id, token, "internal_error", _(INTERNAL_ERROR))


def _fail(run_id: str, token: UUID, code: str, text: str) -> None:
    try:
        runs.fail(run_id, token, code, text)
    except runs.RunLost:
        logger.warning("Run %s was taken over before it could be noted as failed.", run_id)


def _analyse(run: AnalysisRun, token: UUID) -> None:
    from inference.pipeline.analyse import analyse
    from inference.pipeline.overlay import overlay

    smear = run.smear
    with local_path(smear.original, smear.suffix) as path:
        findings = analyse(path, _config(smear.case.pixel_um), _progress(run, token))
    with smear.preview.open() as preview:
        picture = pictures.pixels(preview)
    drawn = overlay(picture, findings.cells, picture.shape[1] / findings.width)
    runs.save(run.pk, token, second_readings.with_readings(findings), drawn)


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
def heartbeat(run_id: str, token: UUID) -> Iterator[None]:
    """Keeps saying that this worker is alive, from a thread of its own, while the work inside goes on."""
    over = threading.Event()
    thread = threading.Thread(target=_beat_until, args=(over, run_id, token), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat_until(over: threading.Event, run_id: str, token: UUID) -> None:
    try:
        while not over.wait(settings.RUN_HEARTBEAT_SECONDS):
            _beat(run_id, token)
    except runs.RunLost:
        logger.warning("Run %s is no longer held by this worker.", run_id)
    finally:
        connection.close()


def _beat(run_id: str, token: UUID) -> None:
    """A database that is busy for a moment must not end the heartbeat."""
    try:
        runs.beat(run_id, token)
    except DatabaseError:
        logger.exception("A heartbeat of run %s could not be written", run_id)


@shared_task
def predict_cell(place: str, image: str, suffix: str) -> None:
    """Needs a caller who waits at `place`; leaves the prediction there, or why there is none."""
    _give(place, lambda: _predict(base64.b64decode(image), suffix))


@shared_task
def heat_map_of_cell(place: str, cell_id: int, method: str, label: str) -> None:
    """Needs a classified cell and a caller who waits at `place`; leaves its heat map there, or why there is
    none."""
    _give(place, lambda: _heat_map(Cell.objects.select_related("run").get(pk=cell_id), method, label))


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


def _predict(image: bytes, suffix: str) -> dict[str, Any]:
    """The answer of `predict/`. `llm_report` is null: no language model is installed."""
    from inference.pipeline.single_cell import predict

    with NamedTemporaryFile(suffix=suffix) as file:
        file.write(image)
        file.flush()
        said = predict(Path(file.name), _config())
    heated = pictures.heated_png(said.crop, said.explanation.drawn)
    return {
        "class": said.call.label,
        "confidence": float(said.call.confidence),
        "abstained": said.call.abstained,
        "all_probabilities": {label: float(share) for label, share in said.call.probabilities.items()},
        "gradcam_image": _data_uri(heated),
        "llm_report": None,
        "notices": [{"code": notice.code, "message": notice.text} for notice in said.notices],
        "network": asdict(said.network),
        "ruo": True,
    }


def _heat_map(row: Cell, method: str, label: str) -> dict[str, Any]:
    from inference.pipeline.findings import Method
    from inference.pipeline.heat_map import heat_map
    from inference.pipeline.networks import registry

    called_by = {used.name: used.sha256 for used in records.networks(row.run)}
    sha256 = called_by.get(registry.WBC_NETWORK, "")
    with row.crop.open() as file:
        crop = pictures.pixels(file)
    found = heat_map(crop, records.instance(row), label, Method(method), sha256)
    heated = pictures.heatmap_png(found.drawn)
    return {
        "label": label,
        "picture": _data_uri(heated),
        **{name: getattr(found, name) for name in HEAT_MAP_FIGURES},
        "receipt": asdict(found.receipt) if found.receipt else None,
    }


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


@shared_task
def sweep_runs() -> None:
    """Needs nothing; queues running runs whose heart stopped, and sends queued ones that were not sent."""
    runs.sweep()
