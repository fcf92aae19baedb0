"""Pages of the worklist, of patients and of cases; the pictures of smears."""

from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.forms import BaseForm, model_to_dict
from django.http import FileResponse, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from accounts.permissions import PersonRequest, Verb, may, verb_required
from accounts.selectors import audit_of

from . import resumable, selectors, services, worklists
from .forms import CaseForm, NewCaseForm, PatientForm, SearchForm, WorklistForm
from .models import Case, Patient, Smear
from .parts import UploadBusy
from .resumable import UploadConflict
from .services import CASE_FIELDS, PATIENT_FIELDS
from .upload_types import FORMATS_TEXT, SUFFIXES

PER_PAGE = 25
TRAIL_LINES = 50


def _page(request: PersonRequest, rows: QuerySet[Any]) -> Page:
    return Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))


@require_safe
@verb_required(Verb.CASE_VIEW)
@never_cache
def worklist(request: PersonRequest) -> HttpResponse:
    form = WorklistForm(request.GET)
    form.is_valid()
    asked = {name: value for name, value in form.cleaned_data.items() if value}
    work = worklists.worklist(request.user, asked)
    page = _page(request, work.cases)
    rows = worklists.rows(request.user, page.object_list)
    context = {
        "form": form,
        "work": work,
        "page": page,
        "rows": rows,
        "filtered": bool(asked.keys() - {"tab"}),
        "busy": any(fact.progress is not None for row in rows for fact in row.facts),
        "nav_section": "worklist",
    }
    return _live(request, context)


def _live(request: PersonRequest, context: dict[str, Any]) -> HttpResponse:
    """The whole page or, for htmx, its list; nothing while the list is what the page shows already."""
    listing = render_to_string("cases/partials/worklist.html", context, request)
    seen = sha256(listing.encode()).hexdigest()
    if request.headers.get("X-Seen") == seen:
        return HttpResponse(status=204)
    part = "cases/partials/live_worklist.html" if request.headers.get("HX-Request") else "cases/worklist.html"
    return render(request, part, {**context, "listing": listing, "seen": seen})


# --- patients -------------------------------------------------------------------------------------
@require_safe
@verb_required(Verb.PATIENT_VIEW)
def patients(request: PersonRequest) -> HttpResponse:
    form = SearchForm(request.GET)
    words = form.cleaned_data["q"] if form.is_valid() else ""
    found = selectors.search_patients(selectors.patients_with_cases(request.user), words)
    context = {"form": form, "words": words, "page": _page(request, found), "nav_section": "patients"}
    return render(request, "cases/patients.html", context)


@require_safe
@verb_required(Verb.PATIENT_VIEW)
def patient(request: PersonRequest, pk: UUID) -> HttpResponse:
    row = _patient(request, pk)
    history = selectors.case_history(request.user, row)
    context = {"patient": row, "page": _page(request, history), "nav_section": "patients"}
    return render(request, "cases/patient.html", context)


@verb_required(Verb.PATIENT_CREATE)
def new_patient(request: PersonRequest) -> HttpResponse:
    form = PatientForm(request.POST or None)
    made = _accepted(form, lambda fields: services.create_patient(request.user, **fields))
    if made is not None:
        return redirect("cases:patient", made.pk)
    context = {"form": form, "nav_section": "patients"}
    return render(request, "cases/patient_form.html", context)


@verb_required(Verb.PATIENT_EDIT)
def edit_patient(request: PersonRequest, pk: UUID) -> HttpResponse:
    row = _patient(request, pk)
    form = PatientForm(request.POST or None, initial=model_to_dict(row, PATIENT_FIELDS))
    if _accepted(form, lambda fields: services.edit_patient(request.user, row, **fields)):
        return redirect("cases:patient", pk)
    context = {"form": form, "patient": _patient(request, pk), "nav_section": "patients"}
    return render(request, "cases/patient_form.html", context)


def _patient(request: PersonRequest, pk: UUID) -> Patient:
    return get_object_or_404(selectors.patients_for(request.user), pk=pk)


def _accepted(form: BaseForm, service: Any) -> Any:
    """What the service made of a valid form; None when there is something to correct, which the form says."""
    if not (form.is_bound and form.is_valid()):
        return None
    try:
        return service(form.cleaned_data)
    except ValidationError as error:
        _explain(form, error)
        return None


def _explain(form: BaseForm, error: ValidationError) -> None:
    """A sentence about a field the form does not show stands above the form."""
    for field, errors in error.update_error_dict({}).items():
        form.add_error(field if field in form.fields else None, errors)


# --- cases ----------------------------------------------------------------------------------------
@verb_required(Verb.CASE_CREATE)
def new_case(request: PersonRequest) -> HttpResponse:
    """The MRN decides: a patient who is known is shown and then taken, one who is not is entered here too."""
    known = _known_patient(request, request.POST.get("mrn") or request.GET.get("mrn", ""))
    now = timezone.localtime().replace(second=0, microsecond=0, tzinfo=None)
    form = NewCaseForm(request.POST or None, initial={"collected_at": now, "priority": Case.Priority.ROUTINE})
    patient_form = _patient_form(request, known)
    if request.method == "POST" and (case := _opened(request, known, patient_form, form)):
        messages.info(request, _("Case %(accession)s is open.") % {"accession": case.accession})
        return redirect("cases:case", case.pk)
    context = {
        "form": form,
        "patient_form": patient_form,
        "known": known,
        "staging_offered": request.user.lab.staging_offered,
        "nav_section": "worklist",
    }
    return render(request, "cases/new_case.html", context)


def _known_patient(request: PersonRequest, mrn: str) -> Patient | None:
    wanted = mrn.strip().replace("\x00", "")
    return selectors.patients_for(request.user).filter(mrn=wanted).first() if wanted else None


def _patient_form(request: PersonRequest, known: Patient | None) -> PatientForm:
    if known is not None:
        return PatientForm(initial=model_to_dict(known, PATIENT_FIELDS))
    return PatientForm(request.POST or None, initial={"mrn": request.GET.get("mrn", "")})


def _opened(
    request: PersonRequest, known: Patient | None, patient_form: PatientForm, form: CaseForm
) -> Case | None:
    if known is not None:
        if request.POST.get("known") != str(known.pk):
            form.add_error(None, _("This MRN is known. Check that the patient below is the right one."))
            return None
        return _accepted(form, lambda fields: services.create_case(request.user, known, **fields))
    if not (patient_form.is_valid() and form.is_valid()):
        return None
    person = patient_form.cleaned_data
    return _accepted(form, lambda fields: services.create_case_for_new_patient(request.user, person, fields))


@require_GET
@verb_required(Verb.CASE_CREATE)
def patient_choice(request: PersonRequest) -> HttpResponse:
    """The patient part of the new case form, once the MRN has been typed.

    Nothing is sent when it shows no known patient and still would not: what is being typed stays.
    """
    known = _known_patient(request, request.GET.get("mrn", ""))
    if known is None and not request.GET.get("known"):
        return HttpResponse(status=204)
    context = {"known": known, "patient_form": _patient_form(request, known)}
    return render(request, "cases/partials/patient_choice.html", context)


@require_safe
@verb_required(Verb.CASE_VIEW)
def case(request: PersonRequest, pk: UUID) -> HttpResponse:
    row = _case(request, pk)
    services.note_look(request.user, row)
    context = {"case": row, "nav_section": "worklist", **_uploading(request, row)}
    if may(request.user, Verb.LAB_AUDIT):
        context["trail"] = audit_of(request.user, row, row.accession)[:TRAIL_LINES]
    return render(request, "cases/case.html", context)


def _uploading(request: PersonRequest, row: Case) -> dict[str, Any]:
    """What the case page says about files: which are accepted, and which have not arrived whole."""
    return {
        "unfinished": selectors.unfinished_uploads(request.user, row),
        "formats": FORMATS_TEXT,
        "suffixes": sorted({suffix for suffixes in SUFFIXES.values() for suffix in suffixes}),
        "photograph_bytes": settings.UPLOAD_MAX_BYTES,
        "slide_bytes": settings.SLIDE_MAX_BYTES,
        "chunk_bytes": settings.UPLOAD_CHUNK_BYTES,
    }


@require_POST
@verb_required(Verb.SMEAR_UPLOAD)
def discard_upload(request: PersonRequest, pk: UUID) -> HttpResponse:
    """Gives an unfinished upload up; what is left of the list is answered, and why not where it cannot be."""
    upload = get_object_or_404(selectors.uploads_for(request.user), pk=pk)
    problem = None
    try:
        resumable.discard(request.user, upload)
    except (UploadConflict, UploadBusy) as refusal:
        problem = refusal.text
    unfinished = selectors.unfinished_uploads(request.user, upload.case)
    context = {"unfinished": unfinished, "problem": problem}
    return render(request, "cases/partials/unfinished.html", context, status=409 if problem else 200)


@require_GET
@verb_required(Verb.CASE_VIEW)
def case_status(request: PersonRequest, pk: UUID) -> HttpResponse:
    """The live state of a case; when it is no longer what the page shows, the page's other parts reload."""
    row = _case(request, pk)
    answer = render(request, "cases/partials/status.html", {"case": row})
    if request.GET.get("was") not in (None, row.status):
        answer["HX-Trigger"] = "case-changed"
    return answer


@verb_required(Verb.CASE_EDIT)
def edit_case(request: PersonRequest, pk: UUID) -> HttpResponse:
    row = _case(request, pk)
    form = CaseForm(request.POST or None, initial=model_to_dict(row, CASE_FIELDS))
    if _accepted(form, lambda fields: services.edit_case(request.user, row, **fields)):
        return redirect("cases:case", pk)
    context = {"form": form, "case": _case(request, pk), "nav_section": "worklist"}
    return render(request, "cases/case_form.html", context)


def _case(request: PersonRequest, pk: UUID) -> Case:
    return get_object_or_404(selectors.cases_for(request.user), pk=pk)


# --- smears ---------------------------------------------------------------------------------------
@require_safe
@verb_required(Verb.CASE_VIEW)
def preview(request: PersonRequest, pk: UUID) -> FileResponse:
    """The smear for the browser, pixel for pixel. It never changes, but is only for those who may see it."""
    answer = FileResponse(_smear(request, pk).preview.open(), content_type="image/jpeg")
    answer["Cache-Control"] = "private, max-age=86400, immutable"
    return answer


@require_safe
@verb_required(Verb.CASE_VIEW)
def original(request: PersonRequest, pk: UUID) -> FileResponse:
    smear = _smear(request, pk)
    file = services.download_original(request.user, smear)
    return FileResponse(
        file, as_attachment=True, filename=smear.original_name, content_type="application/octet-stream"
    )


def _smear(request: PersonRequest, pk: UUID) -> Smear:
    return get_object_or_404(selectors.smears_for(request.user), pk=pk)
