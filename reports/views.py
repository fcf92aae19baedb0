"""The page of a case's report, its box on the case page, and the downloads."""

from typing import Any
from uuid import UUID

from django.db.models import Model
from django.forms import Form
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import PersonRequest, Verb, may, verb_required
from cases.selectors import cases_for
from cases.services import note_look

from . import documents, pdf, selectors, services
from .content import digest
from .documents import Format
from .forms import AmendForm, CommentForm, SignForm
from .models import Report
from .services import ReportConflict, Signing, WrongPassword


@verb_required(Verb.REPORT_VIEW)
@require_safe
@never_cache
def report(request: PersonRequest, case_id: UUID) -> HttpResponse:
    """One version of the report, and what can be done with it; a case without one says what it waits for."""
    case = _case(request, case_id)
    note_look(request.user, case)
    return _page(request, case)


@verb_required(Verb.REPORT_VIEW)
@require_safe
@never_cache
def case_report(request: PersonRequest, case_id: UUID) -> HttpResponse:
    """The box on the case page."""
    case = _case(request, case_id)
    context = {
        "case": case,
        "versions": selectors.versions(request.user, case_id),
        "not_ready": selectors.not_ready(case_id),
    }
    return render(request, "reports/partials/case_report.html", context)


@verb_required(Verb.REPORT_DRAFT)
@require_POST
def draft(request: PersonRequest, case_id: UUID) -> HttpResponse:
    case = _case(request, case_id)
    try:
        services.draft(request.user, case.pk)
    except ReportConflict as conflict:
        return _page(request, case, 409, problem=conflict.text)
    return redirect("reports:report", case_id)


@verb_required(Verb.REPORT_DRAFT)
@require_POST
def comment(request: PersonRequest, case_id: UUID) -> HttpResponse:
    case, chosen = _case(request, case_id), _draft(request, case_id)
    form = CommentForm(request.POST)
    if not form.is_valid():
        return _page(request, case, 422, comment_form=form)
    try:
        services.save_comment(request.user, chosen, form.cleaned_data["comment"])
    except ReportConflict as conflict:
        return _page(request, case, 409, problem=conflict.text)
    return redirect("reports:report", case_id)


@verb_required(Verb.REPORT_SIGN)
@require_POST
def sign(request: PersonRequest, case_id: UUID) -> HttpResponse:
    case, chosen = _case(request, case_id), _draft(request, case_id)
    form = SignForm(request.POST)
    if not form.is_valid():
        return _page(request, case, 422, sign_form=form)
    wish = form.cleaned_data
    try:
        services.sign(request.user, chosen, Signing(request, wish["password"], wish["meaning"], wish["seen"]))
    except WrongPassword as wrong:
        form.add_error("password", wrong.text)
        return _page(request, case, 422, sign_form=form)
    except ReportConflict as conflict:
        return _page(request, case, 409, problem=conflict.text)
    return redirect("reports:report", case_id)


@verb_required(Verb.REPORT_AMEND)
@require_POST
def amend(request: PersonRequest, case_id: UUID) -> HttpResponse:
    case, chosen = _case(request, case_id), selectors.report_for(request.user, case_id)
    form = AmendForm(request.POST)
    if not form.is_valid():
        return _page(request, case, 422, amend_form=form)
    wish = form.cleaned_data
    try:
        services.amend(request.user, chosen, wish["reason"], reopen_slides=wish["reopen_slides"])
    except ReportConflict as conflict:
        return _page(request, case, 409, problem=conflict.text)
    return redirect("reports:report", case_id)


@verb_required(Verb.REPORT_DOWNLOAD)
@require_safe
@never_cache
def download(request: PersonRequest, case_id: UUID, version: int, form: str) -> HttpResponse:
    """One version in one format; `?as_signed` gives the PDF of a superseded version as it was signed."""
    if form not in list(Format):
        raise Http404
    chosen = selectors.report_for(request.user, case_id, version)
    as_signed = "as_signed" in request.GET
    return documents.attachment(documents.download(request.user, chosen, Format(form), as_signed=as_signed))


# --- small parts ----------------------------------------------------------------------------------
def _case(request: PersonRequest, case_id: UUID) -> Model:
    return get_object_or_404(cases_for(request.user), pk=case_id)


def _draft(request: PersonRequest, case_id: UUID) -> Report:
    drafts = selectors.reports_for(request.user).filter(case=case_id, status=Report.Status.DRAFT)
    return drafts.first() or selectors.report_for(request.user, case_id)


def _page(request: PersonRequest, case: Model, status: int = 200, **said: Any) -> HttpResponse:
    """`said` may hold a problem in words, and the form it is about."""
    versions = list(selectors.versions(request.user, case.pk))
    context: dict[str, Any] = {
        "case": case,
        "versions": versions,
        "formats": list(Format),
        "not_ready": selectors.not_ready(case.pk),
        "amendment": next((one for one in versions if one.status == Report.Status.DRAFT), None),
        "counts": next((one for one in versions if one.status == Report.Status.FINAL), None),
    }
    if versions:
        context |= _chosen(request, case.pk, said)
    return render(request, "reports/report.html", {**context, **said}, status=status)


def _chosen(request: PersonRequest, case_id: UUID, said: dict[str, Any]) -> dict[str, Any]:
    """The version shown, its content, and the forms for what may be done with it."""
    chosen = _wanted(request, case_id)
    content = selectors.content_of(chosen)
    forms: dict[str, Form] = {
        "comment_form": CommentForm(initial={"comment": chosen.comment}),
        "sign_form": SignForm(initial={"seen": digest(content)}),
        "amend_form": AmendForm(),
    }
    return {
        **pdf.context(content, selectors.superseded(chosen)),
        **{name: form for name, form in forms.items() if name not in said},
        "report": chosen,
        "outdated": selectors.outdated(chosen, content),
    }


def _wanted(request: PersonRequest, case_id: UUID) -> Report:
    """`?version=`, or else what the person works with: a draft for who drafts, else the signed one."""
    asked = request.GET.get("version", "")
    if asked:
        if not asked.isascii() or not asked.isdigit() or len(asked) > 6:
            raise Http404
        return selectors.report_for(request.user, case_id, int(asked))
    if may(request.user, Verb.REPORT_DRAFT):
        return _draft(request, case_id)
    return selectors.report_for(request.user, case_id)
