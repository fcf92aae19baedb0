"""Pages of the review: the queue across cases, and one slide on the desk."""

from typing import Any
from uuid import UUID

from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.permissions import PersonRequest, Verb, verb_required
from cases.selectors import open_questions
from inference import agreements, pages, review, review_queue, selectors
from inference.forms import DecisionForm, SkipForm
from inference.models import AnalysisRun, CellSkip
from inference.pipeline.agreement import LEAST_PAIRS

GALLERY = 24
"""So many open cells of a slide the queue shows."""


@verb_required(Verb.REVIEW_VIEW)
@require_GET
def queue(request: PersonRequest) -> HttpResponse:
    slides = review_queue.waiting_slides(request.user, first=GALLERY)
    open_count = sum(slide.open_count for slide in slides)
    context = {
        "slides": slides,
        "open_count": open_count,
        "questions": open_questions(request.user),
        "nav_section": "review",
    }
    return render(request, "inference/queue.html", context)


@verb_required(Verb.REVIEW_VIEW)
@require_GET
def slide(request: PersonRequest, run_id: UUID) -> HttpResponse:
    run = selectors.run_for(request.user, run_id)
    if run.status != AnalysisRun.Status.DONE:
        return redirect("inference:run", run_id)
    return _desk(request, run, pages.number(request.GET.get("cell", "")))


def _desk(
    request: PersonRequest, run: AnalysisRun, number: int | None, status: int = 200, **said: str
) -> HttpResponse:
    """The whole page or, for htmx, the part of it that a decision changes."""
    context: dict[str, Any] = {
        "desk": pages.desk(request.user, run, number),
        "run": run,
        "case": run.smear.case,
        "skip_reasons": CellSkip.Reason.choices,
        "nav_section": "review",
        **said,
    }
    template = "inference/partials/desk.html" if _by_htmx(request) else "inference/slide.html"
    return render(request, template, context, status=status)


def _by_htmx(request: PersonRequest) -> bool:
    return "HX-Request" in request.headers


def _address(run_id: UUID, number: int | None = None) -> str:
    page = reverse("inference:review-slide", args=[run_id])
    return page if number is None else f"{page}?cell={number}"


@verb_required(Verb.REVIEW_CLAIM)
@require_POST
def claim(request: PersonRequest, run_id: UUID) -> HttpResponse:
    run = selectors.run_for(request.user, run_id)
    try:
        review.claim_slide(request.user, run)
    except review.ReviewConflict as conflict:
        return _desk(request, run, None, 409, problem=conflict.text)
    return redirect(_address(run_id))


@verb_required(Verb.REVIEW_CLAIM)
@require_POST
def release(request: PersonRequest, run_id: UUID) -> HttpResponse:
    run = selectors.run_for(request.user, run_id)
    try:
        review.release_slide(request.user, run)
    except review.ReviewConflict as conflict:
        return _desk(request, run, None, 409, problem=conflict.text)
    return redirect("inference:review-queue")


@verb_required(Verb.REVIEW_DECIDE)
@require_POST
def decide(request: PersonRequest, run_id: UUID, number: int) -> HttpResponse:
    """One cell's class; the answer has the next open cell in hand."""
    run = selectors.run_for(request.user, run_id)
    cell = get_object_or_404(selectors.cells_for(request.user), run=run, number=number)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return _desk(request, run, number, 422, problem=_problem(form))
    label, comment = form.cleaned_data["label"], form.cleaned_data["comment"]
    try:
        word = review.decide(request.user, cell, label, comment)
    except review.ReviewConflict as conflict:
        return _desk(request, run, number, 409, problem=conflict.text)
    return _answer(request, run, None, pages.said(word))


def _problem(form: Form) -> str:
    return " ".join(str(text) for errors in form.errors.values() for text in errors)


@verb_required(Verb.REVIEW_DECIDE)
@require_POST
def skip(request: PersonRequest, run_id: UUID, number: int) -> HttpResponse:
    """Leave one cell open for now; the answer has the next one in hand."""
    run = selectors.run_for(request.user, run_id)
    cell = get_object_or_404(selectors.cells_for(request.user), run=run, number=number)
    form = SkipForm(request.POST)
    if not form.is_valid():
        return _desk(request, run, number, 422, problem=_problem(form))
    try:
        skipped = review.skip(request.user, cell, **form.cleaned_data)
    except review.InvalidDecision as invalid:
        return _desk(request, run, number, 422, problem=invalid.text)
    except review.ReviewConflict as conflict:
        return _desk(request, run, number, 409, problem=conflict.text)
    said = _("Cell %(number)d skipped: %(reason)s.")
    return _answer(request, run, None, said % {"number": number, "reason": skipped.get_reason_display()})


@verb_required(Verb.LAB_AGREEMENT)
@require_GET
def agreement(request: PersonRequest) -> HttpResponse:
    """How far readers agree, for the administrator of their laboratory."""
    context = {
        "found": agreements.lab_agreement(request.user),
        "least": LEAST_PAIRS,
        "nav_section": "laboratory",
    }
    return render(request, "inference/agreement.html", context)


@verb_required(Verb.LAB_AGREEMENT)
@require_GET
def reader_agreement(request: PersonRequest, reader_id: UUID) -> HttpResponse:
    detail = agreements.reader_detail(request.user, reader_id)
    context = {"detail": detail, "least": LEAST_PAIRS, "nav_section": "laboratory"}
    return render(request, "inference/reader_agreement.html", context)


@verb_required(Verb.REVIEW_DECIDE)
@require_POST
def undo(request: PersonRequest, run_id: UUID, number: int) -> HttpResponse:
    """Take back one's own decision; the answer has the cell in hand again."""
    run = selectors.run_for(request.user, run_id)
    cell = get_object_or_404(selectors.cells_for(request.user), run=run, number=number)
    try:
        review.undo(request.user, cell)
    except review.ReviewConflict as conflict:
        return _desk(request, run, number, 409, problem=conflict.text)
    return _answer(request, run, number, _("Cell %(number)d is open again.") % {"number": number})


def _answer(request: PersonRequest, run: AnalysisRun, number: int | None, said: str) -> HttpResponse:
    """For htmx the desk as it is now; without it the browser is sent to the page."""
    if not _by_htmx(request):
        return redirect(_address(run.pk, number))
    return _desk(request, selectors.run_for(request.user, run.pk), number, said=said)


@verb_required(Verb.SLIDE_SIGN_OFF)
@require_POST
def sign_off(request: PersonRequest, run_id: UUID) -> HttpResponse:
    run = selectors.run_for(request.user, run_id)
    try:
        review.sign_off(request.user, run)
    except review.ReviewConflict as conflict:
        return _desk(request, run, None, 409, problem=conflict.text)
    return redirect("inference:run", run_id)
