"""The box of questions on the pages of a case, and the list of those that are open."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.permissions import PersonRequest, Verb, verb_required

from . import questions, selectors
from .models import Case


@verb_required(Verb.CASE_VIEW)
@require_GET
@never_cache
def box(request: PersonRequest, case_id: UUID) -> HttpResponse:
    """The thread of a case; nothing while it is what the page shows already."""
    case = get_object_or_404(selectors.cases_for(request.user), pk=case_id)
    return _box(request, case, seen=request.GET.get("seen"))


@verb_required(Verb.QUESTION_ASK)
@require_POST
def ask(request: PersonRequest, case_id: UUID) -> HttpResponse:
    case = get_object_or_404(selectors.cases_for(request.user), pk=case_id)
    text = request.POST.get("text", "")
    return _said(request, case, lambda: questions.ask(request.user, case, text))


@verb_required(Verb.QUESTION_ANSWER)
@require_POST
def answer(request: PersonRequest, question_id: UUID) -> HttpResponse:
    question = get_object_or_404(selectors.questions_for(request.user), pk=question_id)
    text = request.POST.get("text", "")
    return _said(
        request, question.case, lambda: questions.answer(request.user, question, text), about=question_id
    )


def _said(
    request: PersonRequest, case: Case, verb: Callable[[], Any], about: UUID | None = None
) -> HttpResponse:
    """Carries the verb out: for htmx the box as it is now, else the page of the case with what was wrong."""
    problem = ""
    try:
        verb()
    except ValidationError as error:
        problem = " ".join(error.messages)
    if request.headers.get("HX-Request"):
        typed = request.POST.get("text", "") if problem else ""
        return _box(request, case, problem=problem, typed=typed, about=about)
    if problem:
        messages.warning(request, problem)
    return redirect(reverse("cases:case", args=[case.pk]) + "#questions")


def _box(request: PersonRequest, case: Case, seen: str | None = None, **said: Any) -> HttpResponse:
    """`said` may hold a problem, what was typed, and which question it was about."""
    thread = list(selectors.questions_for(request.user).filter(case=case))
    state = f"{len(thread)}.{sum(len(question.answers.all()) for question in thread)}"
    if state == seen:
        return HttpResponse(status=204)
    context = {"case": case, "thread": thread, "state": state, "max_text": questions.MAX_TEXT, **said}
    status = 422 if said.get("problem") else 200
    return render(request, "cases/partials/questions.html", context, status=status)
