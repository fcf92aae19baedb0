"""What the viewer is told about a smear: its picture, its cells in columns, their outlines block by block."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any
from uuid import UUID
from zlib import crc32

from django.db.models import Count, Max, QuerySet, TextField
from django.db.models.functions import Cast
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.types import User
from inference import deep_zoom, marks, names, records, selectors, tiles
from inference.blind import MACHINES, Veil
from inference.field import tiles as coverage_tiles
from inference.models import AnalysisRun, CellReview
from inference.pipeline.findings import Kind, TileState

BLOCK_PX = 2048
"""Outlines are asked for in squares of this side, which cells belong to by their centre."""

OTHERS_AT_MOST = 30

NEEDS_REVIEW, REVIEWED, CORRECTED, UNLIKE_TRAINING, ABSTAINED = (1 << bit for bit in range(5))

COLUMNS = (
    "pk",
    "number",
    "kind",
    "label",
    "confidence",
    "needs_review",
    "out_of_distribution",
    "abstained",
    "reasons_text",
    "x0",
    "y0",
    "x1",
    "y1",
)


def seen_run(user: User, run_id: UUID) -> AnalysisRun:
    """A finished run of one's laboratory, without the columns that grow with the slide; Http404 otherwise."""
    return get_object_or_404(_finished(user), pk=run_id)


def _finished(user: User) -> QuerySet[AnalysisRun]:
    done = selectors.runs_for(user).filter(status=AnalysisRun.Status.DONE)
    return done.defer("coverage", "quality", "notices", "networks")


def others_of_patient(user: User, run: AnalysisRun) -> list[AnalysisRun]:
    """The newest finished run of each other smear of the patient, the latest collected first."""
    same = _finished(user).filter(smear__case__patient=run.smear.case.patient_id).exclude(smear=run.smear_id)
    return list(selectors.newest(same).order_by("-smear__case__collected_at", "-queued_at")[:OTHERS_AT_MOST])


def manifest(run: AnalysisRun) -> dict[str, Any]:
    """What a browser needs to show the smear of a run; templates of addresses carry 0 where a number goes."""
    smear, of = run.smear, (run.pk,)
    return {
        "id": str(run.pk),
        "name": smear.original_name,
        "collected": smear.case.collected_at.date().isoformat(),
        "accession": smear.case.accession,
        "width": smear.width,
        "height": smear.height,
        "pixelUm": run.pixel_um,
        "pixelSource": names.source_name(run.pixel_um_source) if run.pixel_um else "",
        "tile": {
            "side": tiles.SIDE,
            "overlap": tiles.OVERLAP,
            "last": tiles.last_level(smear.width, smear.height),
            "version": smear.sha256[:12],
        },
        "ready": deep_zoom.is_ready(smear),
        "block": BLOCK_PX,
        "page": reverse("inference:viewer", args=of),
        "tiles": reverse("inference:viewer-tile", args=(run.pk, 0, 0, 0)),
        "self": reverse("inference:viewer-manifest", args=of),
        "cells": reverse("inference:viewer-cells", args=of),
        "outlines": reverse("inference:viewer-outlines", args=(run.pk, 0, 0)),
        "coverage": reverse("inference:viewer-coverage", args=of),
        "panel": reverse("inference:cell", args=(run.pk, 0)),
    }


def legend() -> dict[str, Any]:
    """How kinds, classes and reasons are named and marked; the same for every smear."""
    return {
        "kinds": [asdict(mark) for mark in marks.kind_marks()],
        "classes": [asdict(mark) for mark in marks.class_marks()],
        "reasons": [{"key": key, "name": names.reason_name(key)} for key in names.REASON_NAMES],
    }


def words() -> dict[str, str]:
    """What the viewer's script says."""
    return {
        "cell": _("Cell"),
        "cells_failed": _("The cells could not be loaded. Load the page again."),
        "confirmed": _("confirmed"),
        "corrected": _("corrected"),
        "distance": _("Distance"),
        "measure_how": _("Measuring: click two points, or press Enter to set a point in the middle."),
        "needs_review": _("needs review"),
        "no_such_cell": _("There is no cell of this number on the smear."),
        "none_shown": _("The filters show no cell."),
        "not_classified": _("Not classified"),
        "picture_keys": _("Arrow keys move, plus and minus zoom, n and p go from cell to cell."),
        "not_seen": _("%(share)s % not looked at"),
        "seen_failed": _("What you look at could not be noted. Check the connection."),
        "shown": _("%(shown)s of %(all)s cells"),
        "size_unknown": _("size of a pixel unknown"),
    }


def analysed_in_part(run: AnalysisRun) -> bool:
    """Whether some of the smear was left out of the analysis."""
    return any(state != TileState.ANALYSED for state in run.coverage.get("states", ()))


def cells_version(run: AnalysisRun, veil: Veil) -> str:
    """Changes whenever a person's word on a cell of the run does, what is hidden from the reader, and the
    tables whose places are sent."""
    tables = [*Kind, *(mark.key for mark in marks.class_marks()), *names.REASON_NAMES]
    said = CellReview.objects.filter(cell__run=run).aggregate(
        Count("pk"), Count("undone_at"), Max("decided_at"), Max("undone_at")
    )
    hidden = crc32(repr((sorted(veil.machine), sorted(veil.persons))).encode())
    changing = (crc32("|".join(tables).encode()), run.finished_at, *said.values(), hidden)
    return "-".join(str(value) for value in changing).replace(" ", "T")


def cells(run: AnalysisRun, veil: Veil) -> dict[str, Any]:
    """All cells of a run in columns: box; class as it counts, -1 for none; confidence in %, -1 where there is
    none; flags and reasons as bits. What is hidden from the reader is as if it were not classified."""
    standing = {key: label for key, label in _standing(run).items() if key not in veil.persons}
    classes = {mark.key: place for place, mark in enumerate(marks.class_marks())}
    kinds = {kind.value: place for place, kind in enumerate(Kind)}
    reasons = {reason: place for place, reason in enumerate(names.REASON_NAMES)}
    # Most cells have no reason: reading all those empty lists as JSON would take half of the time.
    columns = run.cells.order_by("number").annotate(reasons_text=Cast("review_reasons", TextField()))
    table = [
        _row(_bare(row) if row[0] in veil.machine else row, standing.get(row[0]), (kinds, classes, reasons))
        for row in columns.values_list(*COLUMNS).iterator(chunk_size=5000)
    ]
    keys = ("number", "kind", "class", "confidence", "flags", "reasons", "x", "y", "w", "h")
    return dict(zip(keys, map(list, zip(*table, strict=True)) if table else ([] for _ in keys), strict=True))


_NOTHING = {**MACHINES, "reasons_text": "[]"}


def _bare(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row of COLUMNS without the machine's call and what follows from it."""
    return tuple(_NOTHING.get(name, value) for name, value in zip(COLUMNS, row, strict=True))


def _standing(run: AnalysisRun) -> dict[int, str]:
    said = CellReview.objects.filter(cell__run=run, undone_at=None)
    return dict(said.values_list("cell_id", "label"))


def _row(row: tuple[Any, ...], said: str | None, places: tuple[dict[str, int], ...]) -> tuple[int, ...]:
    _pk, number, kind, label, confidence, needs_review, unlike, abstained, why, x0, y0, x1, y1 = row
    kinds, classes, reasons = places
    flags = NEEDS_REVIEW * needs_review | UNLIKE_TRAINING * unlike | ABSTAINED * abstained
    if said is not None:
        flags |= REVIEWED | CORRECTED * (said != label)
    percent = -1 if confidence is None else int(100 * confidence)
    called = classes.get(label if said is None else said, -1)
    bits = 0 if why == "[]" else _bits(json.loads(why), reasons)
    return number, kinds[kind], called, percent, flags, bits, x0, y0, x1 - x0, y1 - y0


def _bits(why: Iterable[str], places: dict[str, int]) -> int:
    return sum(1 << places[reason] for reason in set(why) if reason in places)


def outlines(run: AnalysisRun, column: int, row: int) -> dict[str, Any]:
    """The outlines of the cells whose centre lies in a block, which never change: of each its first corner,
    then the steps from corner to corner."""
    left, top = column * BLOCK_PX, row * BLOCK_PX
    inside = run.cells.filter(
        centroid_x__gte=left,
        centroid_x__lt=left + BLOCK_PX,
        centroid_y__gte=top,
        centroid_y__lt=top + BLOCK_PX,
    )
    found = [one for one in inside.order_by("number").values_list("number", "polygon") if one[1]]
    return {"number": [number for number, _ in found], "steps": [_steps(polygon) for _, polygon in found]}


def _steps(polygon: list[list[int]]) -> list[int]:
    x, y = polygon[0]
    flat = [x, y]
    for next_x, next_y in polygon[1:]:
        flat += (next_x - x, next_y - y)
        x, y = next_x, next_y
    return flat


def coverage(run: AnalysisRun) -> list[dict[str, Any]]:
    """The tiles of the analysis by what became of them, each state's ground as an SVG path in level-0 px."""
    return [asdict(part) for part in coverage_tiles(records.coverage(run))]
