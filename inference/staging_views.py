"""Pages of leukemia staging: the request on the case page, the result on a slide, a person's answer."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.permissions import PersonRequest, Verb, verb_required
from cases.selectors import cases_for
from cases.services import StagingRefused
from inference import (
    answers,
    names,
    selectors,
    stage_calls,
    stage_review,
    staging_heat_maps,
    staging_requests,
)
from inference.forms import StagingForm
from inference.review import ReviewConflict
from inference.stage_calls import StagingConflict
from inference.staged import staged, stagings


@verb_required(Verb.RUN_VIEW)
@require_GET
def case_staging(request: PersonRequest, case_id: UUID) -> HttpResponse:
    """The box on the case page: whether staging was requested, and where it stands for each smear."""
    case = get_object_or_404(cases_for(request.user), pk=case_id)
    runs = selectors.current_runs(case_id).select_related("smear__case")
    found = stagings(runs)
    context = {
        "case": case,
        "offered": case.lab.staging_offered,
        "stagings": found,
        "busy": any(staging.is_waiting for staging in found.values()),
    }
    return render(request, "inference/partials/case_staging.html", context)


@verb_required(Verb.STAGING_REQUEST)
@require_POST
def request_staging(request: PersonRequest, case_id: UUID) -> HttpResponse:
    return _asked(request, case_id, staging_requests.request, _("Leukemia staging is requested."))


@verb_required(Verb.STAGING_REQUEST)
@require_POST
def withdraw_staging(request: PersonRequest, case_id: UUID) -> HttpResponse:
    return _asked(request, case_id, staging_requests.withdraw, _("Leukemia staging is not requested."))


def _asked(request: PersonRequest, case_id: UUID, verb: Callable[..., None], said: str) -> HttpResponse:
    """Carries the verb out, and says on the case page what came of it."""
    case = get_object_or_404(cases_for(request.user), pk=case_id)
    try:
        verb(request.user, case)
    except StagingRefused as refused:
        messages.warning(request, refused.text)
    else:
        messages.info(request, said)
    return redirect("cases:case", case_id)


@verb_required(Verb.RUN_VIEW)
@require_GET
def waiting(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """The part of a slide's page that waits for its staging; when that has ended, htmx loads it anew."""
    staging = staged(selectors.run_for(request.user, run_id))
    context = {"run_id": run_id, "staging": staging}
    answer = render(request, "inference/partials/staging_waiting.html", context)
    if not staging.is_waiting:
        answer["HX-Refresh"] = "true"
    return answer


@verb_required(Verb.RUN_VIEW)
@require_GET
def heat_map(request: PersonRequest, run_id: UUID, number: int) -> HttpResponse:
    """Where the staging network looked in a field, made while the person waits."""
    run = selectors.run_for(request.user, run_id)
    context: dict[str, object] = {"run": run, "number": number}
    method = request.GET.get("method", "")
    try:
        context["heat"] = staging_heat_maps.field_heat_map(request.user, run, number, method)
    except answers.Refused as refused:
        context["heat_problem"] = refused.text
    return render(request, "inference/partials/field_heat_map.html", context)


@verb_required(Verb.RUN_RETRY)
@require_POST
def retry(request: PersonRequest, run_id: UUID) -> HttpResponse:
    run = selectors.run_for(request.user, run_id)
    try:
        stage_calls.retry(request.user, run)
    except StagingConflict as conflict:
        messages.warning(request, conflict.text)
    return redirect("inference:run", run_id)


@verb_required(Verb.REVIEW_DECIDE)
@require_POST
def decide(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """A person's stage of a slide, or that it has none."""
    run = selectors.run_for(request.user, run_id)
    form = StagingForm(request.POST)
    if not form.is_valid():
        messages.warning(request, " ".join(str(text) for errors in form.errors.values() for text in errors))
        return redirect(_desk(run_id))
    label, comment = form.cleaned_data["label"], form.cleaned_data["comment"]
    said = _("Leukemia staging: %(name)s.") % {"name": names.leukemia_name(label)}
    return _answered(request, run_id, lambda: stage_review.decide(request.user, run, label, comment), said)


@verb_required(Verb.REVIEW_DECIDE)
@require_POST
def undo(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """Take back one's own answer."""
    run = selectors.run_for(request.user, run_id)
    said = _("Your answer to the staging is taken back.")
    return _answered(request, run_id, lambda: stage_review.undo(request.user, run), said)


def _answered(request: PersonRequest, run_id: UUID, verb: Callable[[], Any], said: str) -> HttpResponse:
    """Carries the verb out, and says on the desk what came of it."""
    try:
        verb()
    except ReviewConflict as conflict:
        messages.warning(request, conflict.text)
    else:
        messages.info(request, said)
    return redirect(_desk(run_id))


def _desk(run_id: UUID) -> str:
    return f"{reverse('inference:review-slide', args=[run_id])}#staging"
