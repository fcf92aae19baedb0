"""The gallery's page and what it asks for: cells and sheets of crops."""

from uuid import UUID

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_GET

from accounts.permissions import PersonRequest, Verb, verb_required
from inference import blind, gallery, pages, review, selectors, sheets, viewer
from inference.browser_cache import ASK_AGAIN, FOR_EVER, packed, with_tag
from inference.models import AnalysisRun


@verb_required(Verb.RUN_VIEW)
@require_GET
def page(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """The classified cells of a finished run, by class."""
    run = selectors.run_for(request.user, run_id)
    if run.status != AnalysisRun.Status.DONE:
        return redirect("inference:run", run_id)
    context = {
        "run": run,
        "case": run.smear.case,
        "manifest": gallery.manifest(request.user, run),
        "legend": viewer.legend(),
        "words": gallery.words(),
        "blocked": review.blocked(request.user, run),
        "open_count": selectors.open_cells(run).count(),
        "asked": pages.number(request.GET.get("cell", "")),
    }
    return render(request, "inference/gallery.html", context)


@verb_required(Verb.RUN_VIEW)
@require_GET
def cells(request: PersonRequest, run_id: UUID) -> HttpResponseBase:
    """The classified cells of a run; where no person's word has changed since, only word of that."""
    run = viewer.seen_run(request.user, run_id)
    veil = blind.veil(request.user, run)
    tag = viewer.cells_version(run, veil)
    if same := get_conditional_response(request, etag=f'"{tag}"'):
        same["Cache-Control"] = ASK_AGAIN
        return same
    return with_tag(request, packed(request, gallery.cells(run, veil)), tag, ASK_AGAIN)


@verb_required(Verb.RUN_VIEW)
@require_GET
def sheet(request: PersonRequest, run_id: UUID, kind: str, number: int) -> HttpResponse:
    """Crops of a stream side by side. They never change, but are only for those who may see them."""
    run = viewer.seen_run(request.user, run_id)
    stream = next((known for known in gallery.STREAMS if known.value == kind), None)
    made = sheets.sheet(run, stream, number) if stream else None
    if made is None:
        raise Http404
    answer = HttpResponse(made, content_type="image/jpeg")
    answer["Cache-Control"] = FOR_EVER
    return answer
