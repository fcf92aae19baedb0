"""Pages of a run: handing in, watching it live, its result; and the pictures of its cells."""

from dataclasses import replace
from uuid import UUID

from django.db.models.fields.files import FieldFile
from django.http import FileResponse, Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.permissions import PersonRequest, Verb, verb_required
from cases.selectors import cases_for
from inference import answers, blind, heat_maps, pages, records, runs, selectors, short_count, viewer
from inference.by_hand import counted_by_hand
from inference.field import field
from inference.models import AnalysisRun
from inference.similar import similar
from inference.staged import stagings

Status = AnalysisRun.Status


@verb_required(Verb.RUN_VIEW)
@require_GET
def case_runs(request: PersonRequest, case_id: UUID) -> HttpResponse:
    """The smears of a case and where their analyses stand, for the case page.

    It asks again while one of them is at work; with the last one done, the page is told so.
    """
    case = get_object_or_404(cases_for(request.user), pk=case_id)
    shown = list(selectors.case_runs(request.user, case_id))
    busy = any(run.status in (Status.QUEUED, Status.RUNNING) for run in shown)
    context = {"case": case, "runs": stagings(shown), "busy": busy}
    answer = render(request, "inference/partials/case_runs.html", context)
    if "again" in request.GET and not busy:
        answer["HX-Trigger"] = "case-changed"
    return answer


@verb_required(Verb.RUN_VIEW)
@require_GET
def run_page(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """The result of a finished run; before that, where it stands."""
    run = selectors.run_for(request.user, run_id)
    if run.status != Status.DONE:
        context = {"run": run, "case": run.smear.case, "counts": counted_by_hand(run.smear, {})}
        return render(request, "inference/run.html", context)
    shown, asked = pages.result(run, request.user), pages.number(request.GET.get("cell", ""))
    cell = None if asked is None else selectors.numbered_cell(run, asked)
    cell = shown.veil.over_one(cell) if cell else None
    context = {
        "run": run,
        "case": run.smear.case,
        "result": shown,
        "field": field(run, shown.cells, cell),
        "differential": _differential(run, shown, request.GET.get("count", "")),
        **_cell_context(cell),
    }
    return render(request, "inference/result.html", context)


def _differential(run: AnalysisRun, shown: pages.Result, count: str) -> short_count.ShownDifferential:
    """Over all leukocytes, which are counted already, or over as many as the address asks for."""
    if asked := short_count.asked_for(count):
        return short_count.differential(run, shown.veil, asked)
    return short_count.ShownDifferential(shown.lines, shown.aggregate.wbc_count, shown.aggregate.wbc_count)


@verb_required(Verb.RUN_VIEW)
@require_GET
def differential(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """The differential alone, over all leukocytes or the first 100 or 200, as a click on the page asks."""
    run = viewer.seen_run(request.user, run_id)
    asked = short_count.asked_for(request.GET.get("count", ""))
    shown = short_count.differential(run, blind.veil(request.user, run), asked)
    context = {"run": run, "differential": shown, "lines": shown.lines, "leukocytes": shown.leukocytes}
    return render(request, "inference/partials/differential.html", context)


def _cell_context(cell: pages.ReviewedCell | None) -> dict[str, object]:
    return {"cell": cell, "probabilities": pages.probabilities(cell) if cell else []}


@verb_required(Verb.RUN_VIEW)
@require_GET
def run_status(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """The live part of an unfinished run's page; once it is done, htmx is told to load the result."""
    run = selectors.run_for(request.user, run_id)
    answer = render(request, "inference/partials/run_status.html", {"run": run})
    if run.status == Status.DONE:
        answer["HX-Refresh"] = "true"
    return answer


@verb_required(Verb.RUN_RETRY)
@require_POST
def retry(request: PersonRequest, run_id: UUID) -> HttpResponse:
    run = selectors.run_for(request.user, run_id)
    try:
        runs.retry(request.user, run)
    except runs.RunConflict as conflict:
        context = {"run": run, "case": run.smear.case, "problem": conflict.text}
        return render(request, "inference/run.html", context, status=409)
    return redirect("inference:run", run_id)


@verb_required(Verb.RUN_VIEW)
@require_GET
def cell_panel(request: PersonRequest, run_id: UUID, number: int) -> HttpResponse:
    """One cell of a run: its crop, probabilities, heat map and who called it what."""
    run = selectors.run_for(request.user, run_id)
    found = get_object_or_404(run.cells, number=number)
    cell = blind.veil(request.user, run, found).over_one(selectors.reviewed_cell(found))
    context = {"run": run, **_cell_context(cell)}
    return render(request, "inference/partials/cell_panel.html", context)


@verb_required(Verb.RUN_VIEW)
@require_GET
def similar_cells(request: PersonRequest, run_id: UUID, number: int) -> HttpResponse:
    """The confirmed cells most like one cell, which its panel asks for once it is shown."""
    run = selectors.run_for(request.user, run_id)
    cell = get_object_or_404(run.cells, number=number)
    if blind.veil(request.user, run, cell).machine:
        return _hidden()
    context = {"row": cell, "similar": similar(request.user, cell)}
    return render(request, "inference/partials/similar.html", context)


@verb_required(Verb.RUN_VIEW)
@require_GET
def crop(request: PersonRequest, run_id: UUID, number: int) -> FileResponse:
    run = selectors.run_for(request.user, run_id)
    return _picture(get_object_or_404(run.cells, number=number).crop)


@verb_required(Verb.RUN_VIEW)
@require_GET
def heatmap(request: PersonRequest, run_id: UUID, number: int) -> HttpResponseBase:
    run = selectors.run_for(request.user, run_id)
    cell = get_object_or_404(run.cells, number=number)
    if blind.veil(request.user, run, cell).machine:
        return _hidden()
    return _picture(cell.heatmap)


@verb_required(Verb.RUN_VIEW)
@require_GET
def heat_map(request: PersonRequest, run_id: UUID, number: int) -> HttpResponse:
    """A heat map and words of any classified cell, made while the person waits; what is stored stays."""
    run = selectors.run_for(request.user, run_id)
    row = get_object_or_404(run.cells, number=number)
    if blind.veil(request.user, run, row).machine:
        return _hidden()
    context: dict[str, object] = {"run": run, "row": row, "cell": selectors.reviewed_cell(row)}
    asked = heat_maps.Asked.of(request.GET.dict())
    if asked.network in [*records.called_by(row)][1:]:
        # The form names the class that stands, of which only the first network is asked.
        asked = replace(asked, label="")
    try:
        context["heat"] = heat_maps.heat_map(request.user, row, asked)
    except answers.Refused as refused:
        context |= {"heat": heat_maps.stored(row), "heat_problem": refused.text}
    return render(request, "inference/partials/heat_map.html", context)


@verb_required(Verb.RUN_VIEW)
@require_GET
def overlay(request: PersonRequest, run_id: UUID) -> HttpResponseBase:
    """The annotated field: the machine's calls are written in it, so it waits until none is hidden."""
    run = selectors.run_for(request.user, run_id)
    return _hidden() if blind.veil(request.user, run).machine else _picture(run.overlay)


def _hidden() -> HttpResponse:
    return HttpResponse(blind.Hidden().text, status=409, content_type="text/plain; charset=utf-8")


def _picture(file: FieldFile) -> FileResponse:
    """A stored picture: it never changes, but is only for those who may see it."""
    if not file:
        raise Http404
    answer = FileResponse(file.open(), content_type="image/png")
    answer["Cache-Control"] = "private, max-age=86400, immutable"
    return answer
