"""The sign-off of a case: its checklist, the answers to what figures leave open, the calls about findings."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.permissions import PersonRequest, Verb, verb_required
from cases.selectors import cases_for
from inference import critical, gate, sign_off
from inference.forms import CriticalCallForm, GateAnswerForm
from inference.models import GateAnswer
from inference.review import ReviewConflict


@verb_required(Verb.RUN_VIEW)
@require_GET
@never_cache
def page(request: PersonRequest, case_id: UUID) -> HttpResponse:
    return _page(request, _case(request, case_id))


@verb_required(Verb.RUN_VIEW)
@require_GET
@never_cache
def box(request: PersonRequest, case_id: UUID) -> HttpResponse:
    """The checklist on the page of the case."""
    case = _case(request, case_id)
    context = {"case": case, "gate": gate.gate(case_id)}
    return render(request, "inference/partials/gate_box.html", context)


@verb_required(Verb.SLIDE_SIGN_OFF)
@require_POST
def answer(request: PersonRequest, case_id: UUID) -> HttpResponse:
    """A person's word on a check that the figures leave open."""
    case, form = _case(request, case_id), GateAnswerForm(request.POST)
    if not form.is_valid():
        return _page(request, case, 422, problem=_errors(form))
    said = form.cleaned_data
    word = sign_off.Word(said["check_key"], said["answer"], said["reason"], said["run"])
    return _done(request, case, lambda: sign_off.answer(request.user, case, word))


@verb_required(Verb.SLIDE_SIGN_OFF)
@require_POST
def tell(request: PersonRequest, case_id: UUID) -> HttpResponse:
    """Somebody was told of a critical finding."""
    case, form = _case(request, case_id), CriticalCallForm(request.POST)
    if not form.is_valid():
        return _page(request, case, 422, call_form=form)
    return _done(request, case, lambda: sign_off.tell(request.user, case, form.call), call_form=form)


@verb_required(Verb.SLIDE_SIGN_OFF)
@require_POST
def withdraw_call(request: PersonRequest, call_id: UUID) -> HttpResponse:
    call = sign_off.call_for(request.user, call_id)
    try:
        sign_off.withdraw_call(request.user, call)
    except ReviewConflict as conflict:
        messages.warning(request, conflict.text)
    return redirect("inference:sign-off-page", call.case_id)


# --- small parts ----------------------------------------------------------------------------------
def _case(request: PersonRequest, case_id: UUID) -> Any:
    return get_object_or_404(cases_for(request.user), pk=case_id)


def _done(request: PersonRequest, case: Any, verb: Callable[[], Any], **shown: Any) -> HttpResponse:
    """The page as it is now, or with what was wrong and what was typed."""
    try:
        verb()
    except ReviewConflict as conflict:
        return _page(request, case, 409, problem=conflict.text, **shown)
    return redirect("inference:sign-off-page", case.pk)


def _page(
    request: PersonRequest, case: Any, status: int = 200, problem: str = "", call_form: Any = None
) -> HttpResponse:
    whole = gate.gate(case.pk)
    findings = [(one, _call_form(request, one.key, call_form)) for one in whole.findings]
    present = {one.key for one in whole.findings}
    context = {
        "case": case,
        "gate": whole,
        "findings": findings,
        "gone": [call for call in critical.standing_calls(case.pk) if call.finding not in present],
        "answers": GateAnswer.Answer.choices,
        "problem": problem,
        "is_reported": case.status == case.Status.REPORTED,
        "nav_section": "worklist",
    }
    return render(request, "inference/sign_off.html", context, status=status)


def _call_form(request: PersonRequest, key: str, sent: Any) -> CriticalCallForm:
    """The form of one finding: as it was sent, or ready for a call that was just made."""
    if sent is not None and sent.data.get("finding") == key:
        sent.auto_id = f"id_{key}_%s"
        kept: CriticalCallForm = sent
        return kept
    now = timezone.localtime().replace(second=0, microsecond=0, tzinfo=None)
    first = {"finding": key, "told_by": request.user.get_full_name(), "told_at": now}
    return CriticalCallForm(initial=first, auto_id=f"id_{key}_%s")


def _errors(form: Any) -> str:
    return " ".join(str(text) for errors in form.errors.values() for text in errors)
