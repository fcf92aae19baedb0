"""The viewer's page and what it asks for: tiles, cells, outlines, coverage."""

from uuid import UUID

from django.http import Http404, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from accounts.permissions import PersonRequest, Verb, verb_required
from inference import blind, deep_zoom, names, pages, selectors, viewer
from inference import seen as seen_fields
from inference.browser_cache import ASK_AGAIN, FOR_EVER, packed, with_tag
from inference.models import AnalysisRun
from inference.pipeline.errors import PipelineError
from inference.tiles import Tile


@verb_required(Verb.RUN_VIEW)
@require_GET
def page(request: PersonRequest, run_id: UUID) -> HttpResponse:
    run = viewer.seen_run(request.user, run_id)
    deep_zoom.warm(run)
    context = {
        "run": run,
        "case": run.smear.case,
        "others": viewer.others_of_patient(request.user, run),
        "manifest": viewer.manifest(run),
        "legend": viewer.legend(),
        "words": viewer.words(),
        "tile_states": names.TILE_STATES.items(),
        "partly": viewer.analysed_in_part(run),
        "asked": pages.number(request.GET.get("cell", "")),
        "beside": request.GET.get("with", ""),
        "unseen": "unseen" in request.GET,
    }
    return render(request, "inference/viewer_page.html", context)


@verb_required(Verb.RUN_VIEW)
@require_GET
def manifest(request: PersonRequest, run_id: UUID) -> HttpResponse:
    answer = JsonResponse(viewer.manifest(viewer.seen_run(request.user, run_id)))
    answer["Cache-Control"] = "no-store"
    return answer


@verb_required(Verb.RUN_VIEW)
@require_GET
def tile(request: PersonRequest, run_id: UUID, level: int, column: int, row: int) -> HttpResponseBase:
    """A tile of the picture. It never changes, but is only for those who may see it; one that stands in for a
    tile that cannot be made yet is not kept by the browser."""
    run = viewer.seen_run(request.user, run_id)
    try:
        made = deep_zoom.tile(run, Tile(level, column, row))
    except PipelineError as error:
        return HttpResponse(error.text, status=422, content_type="text/plain; charset=utf-8")
    if made is None:
        raise Http404
    answer = HttpResponse(made.jpeg, content_type="image/jpeg")
    if not made.final:
        answer["Cache-Control"] = "no-store"
        return answer
    return with_tag(request, answer, f"{run.smear.sha256[:16]}-{level}-{column}-{row}", FOR_EVER)


@verb_required(Verb.RUN_VIEW)
@require_GET
def cells(request: PersonRequest, run_id: UUID) -> HttpResponseBase:
    """All cells of a run; where no person's word has changed since, only word of that."""
    run = viewer.seen_run(request.user, run_id)
    veil = blind.veil(request.user, run)
    tag = viewer.cells_version(run, veil)
    if same := get_conditional_response(request, etag=f'"{tag}"'):
        same["Cache-Control"] = ASK_AGAIN
        return same
    return with_tag(request, packed(request, viewer.cells(run, veil)), tag, ASK_AGAIN)


@verb_required(Verb.RUN_VIEW)
@require_GET
def outlines(request: PersonRequest, run_id: UUID, column: int, row: int) -> HttpResponse:
    answer = packed(request, viewer.outlines(viewer.seen_run(request.user, run_id), column, row))
    answer["Cache-Control"] = FOR_EVER
    return answer


@verb_required(Verb.RUN_VIEW)
@require_GET
def coverage(request: PersonRequest, run_id: UUID) -> HttpResponse:
    answer = packed(request, viewer.coverage(viewer.seen_run(request.user, run_id)))
    answer["Cache-Control"] = FOR_EVER
    return answer


@verb_required(Verb.REVIEW_DECIDE)
@require_http_methods(["GET", "HEAD", "POST"])
def seen(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """The ground that nobody has looked at; POST says what a person has before them: `x0`, `y0`, `x1`, `y1`
    in level-0 pixels, and how many pixels of the screen that is across, `width`."""
    run = get_object_or_404(selectors.runs_for(request.user), pk=run_id, status=AnalysisRun.Status.DONE)
    if request.method == "POST":
        try:
            sides = (float(request.POST.get(name, "")) for name in ("x0", "y0", "x1", "y1", "width"))
            seen_fields.note_view(request.user, run, seen_fields.View(*sides))
        except ValueError:
            text = _("A view has x0 < x1, y0 < y1 in pixels of the image, and a width of at least 1.")
            return HttpResponse(text, status=422, content_type="text/plain; charset=utf-8")
    return packed(request, seen_fields.unseen_ground(run))
