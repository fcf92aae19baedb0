"""Pages of the administrator: the laboratory's networks, their rehearsals, which one is in use."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.permissions import PersonRequest, Verb, verb_required
from inference import candidates, rehearsals
from inference.candidates import NetworkConflict
from inference.forms import ChoiceForm, RehearsalForm
from inference.models import Rehearsal
from inference.pipeline.errors import NetworkUnavailable

CASES_PER_PAGE = 20


@verb_required(Verb.LAB_NETWORKS)
@require_GET
def networks(request: PersonRequest) -> HttpResponse:
    """What is in use, the candidates with their rehearsals, and what was chosen when, by whom and why."""
    choices = list(candidates.choices_for(request.user))
    present = choices[0] if choices else None
    known = list(candidates.candidates_for(request.user).prefetch_related("rehearsals"))
    context = {
        "present": present,
        "problem": candidates.problem(present.candidate) if present and present.candidate else "",
        "shipped": candidates.shipped(),
        "candidates": known,
        "choices": choices,
        "earlier": candidates.served_before(choices),
        "cases": RehearsalForm(),
        "seen": present.number if present else 0,
        "max_reason": candidates.MAX_REASON,
        "nav_section": "laboratory",
    }
    return render(request, "inference/networks.html", context)


@verb_required(Verb.LAB_NETWORKS)
@require_POST
def rehearse(request: PersonRequest, candidate_id: UUID) -> HttpResponse:
    candidate = get_object_or_404(candidates.candidates_for(request.user), pk=candidate_id)
    form = RehearsalForm(request.POST)
    if not form.is_valid():
        messages.warning(request, " ".join(str(text) for errors in form.errors.values() for text in errors))
        return redirect("inference:networks")
    try:
        rehearsal = rehearsals.request(request.user, candidate, form.cleaned_data["cases"])
    except (NetworkConflict, NetworkUnavailable) as conflict:
        messages.warning(request, conflict.text)
        return redirect("inference:networks")
    return redirect("inference:rehearsal", rehearsal.pk)


@verb_required(Verb.LAB_NETWORKS)
@require_GET
def rehearsal_page(request: PersonRequest, rehearsal_id: UUID) -> HttpResponse:
    """What would change, case by case; before that, where the rehearsal stands."""
    rehearsal = rehearsals.rehearsal_for(request.user, rehearsal_id)
    context: dict[str, Any] = {"rehearsal": rehearsal, "nav_section": "laboratory"}
    if rehearsal.status == Rehearsal.Status.DONE:
        present = candidates.in_use(request.user.lab_id)
        cases = Paginator(rehearsals.cases_of(rehearsal), CASES_PER_PAGE)
        context |= {
            "totals": rehearsals.totals(rehearsal),
            "page": cases.get_page(request.GET.get("page")),
            "in_use": bool(present and present.candidate == rehearsal.candidate),
            "present": present,
            "shipped": candidates.shipped(),
            "seen": present.number if present else 0,
            "max_reason": candidates.MAX_REASON,
        }
    return render(request, "inference/rehearsal.html", context)


@verb_required(Verb.LAB_NETWORKS)
@require_GET
def rehearsal_status(request: PersonRequest, rehearsal_id: UUID) -> HttpResponse:
    """The live part of a rehearsal that is not finished; once it is, htmx is told to load the page anew."""
    rehearsal = rehearsals.rehearsal_for(request.user, rehearsal_id)
    answer = render(request, "inference/partials/rehearsal_status.html", {"rehearsal": rehearsal})
    if rehearsal.status == Rehearsal.Status.DONE:
        answer["HX-Refresh"] = "true"
    return answer


@verb_required(Verb.LAB_NETWORKS)
@require_POST
def activate(request: PersonRequest, rehearsal_id: UUID) -> HttpResponse:
    rehearsal = rehearsals.rehearsal_for(request.user, rehearsal_id)
    said = _("Network %(version)s calls the white cells from now on.") % {
        "version": rehearsal.candidate.version
    }
    return _chosen(
        request, lambda reason, seen: candidates.activate(request.user, rehearsal, reason, seen), said
    )


@verb_required(Verb.LAB_NETWORKS)
@require_POST
def back_to_shipped(request: PersonRequest) -> HttpResponse:
    said = _("The shipped network calls the white cells from now on.")
    return _chosen(request, lambda reason, seen: candidates.roll_back(request.user, None, reason, seen), said)


@verb_required(Verb.LAB_NETWORKS)
@require_POST
def back_to(request: PersonRequest, candidate_id: UUID) -> HttpResponse:
    candidate = get_object_or_404(candidates.candidates_for(request.user), pk=candidate_id)
    said = _("Network %(version)s calls the white cells again.") % {"version": candidate.version}
    return _chosen(
        request, lambda reason, seen: candidates.roll_back(request.user, candidate, reason, seen), said
    )


def _chosen(request: PersonRequest, choose: Callable[[str, int], Any], said: str) -> HttpResponse:
    """Carries the choice out, and says on the page of the networks what came of it."""
    form = ChoiceForm(request.POST)
    if not form.is_valid():
        messages.warning(request, _("Say why the network is changed; nothing was changed."))
        return redirect("inference:networks")
    try:
        choose(form.cleaned_data["reason"], form.cleaned_data["seen"])
    except (NetworkConflict, NetworkUnavailable) as conflict:
        messages.warning(request, conflict.text)
    else:
        messages.info(request, said)
    return redirect("inference:networks")
