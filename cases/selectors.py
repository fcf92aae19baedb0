"""What may be read of patients, cases and smears; always of one laboratory."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.db.models import Case as CaseWhen
from django.db.models import Count, Max, Q, QuerySet, Value, When
from django.db.models.functions import Concat
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.types import Role, User

from .models import Case, Patient, Smear, Upload

Status = Case.Status
UNFINISHED = Q(smear=None, refusal_code="")
STAT_FIRST = CaseWhen(When(priority=Case.Priority.STAT, then=0), default=1)


def patients_for(user: User) -> QuerySet[Patient]:
    return Patient.objects.filter(lab=user.lab_id)


def cases_for(user: User) -> QuerySet[Case]:
    return Case.objects.filter(lab=user.lab_id).select_related(
        "patient", "created_by", "staging_requested_by"
    )


def cases_with_smears(user: User) -> QuerySet[Case]:
    return cases_for(user).prefetch_related("smears")


def smears_for(user: User) -> QuerySet[Smear]:
    return Smear.objects.filter(lab=user.lab_id).select_related("case", "uploaded_by")


def uploads_for(user: User) -> QuerySet[Upload]:
    """Files on their way and what became of them; one that has expired is gone, swept or not."""
    there = Q(expires_at__gt=timezone.now()) | Q(smear__isnull=False)
    return Upload.objects.filter(there, lab=user.lab_id).select_related("case", "uploaded_by", "smear")


def unfinished_uploads(user: User, case: Case) -> QuerySet[Upload]:
    return uploads_for(user).filter(UNFINISHED, case=case)


def search_patients(patients: QuerySet[Patient], words: str) -> QuerySet[Patient]:
    """Every word is found in the MRN or the name."""
    return patients.annotate(_full=_text("mrn", "family_name", "given_name")).filter(_every(words))


def search_cases(cases: QuerySet[Case], words: str) -> QuerySet[Case]:
    """Every word is found in the accession number, the MRN or the patient's name."""
    fields = ("accession", "patient__mrn", "patient__family_name", "patient__given_name")
    return cases.annotate(_full=_text(*fields)).filter(_every(words))


def _text(*fields: str) -> Concat:
    parts = [part for field in fields for part in (field, Value(" "))]
    return Concat(*parts)


def _every(words: str) -> Q:
    wanted = Q()
    for word in words.replace(",", " ").split():
        wanted &= Q(_full__icontains=word)
    return wanted


def patients_with_cases(user: User) -> QuerySet[Patient]:
    """By name, with `case_count` and `last_collected_at` of each."""
    counted = patients_for(user).annotate(
        case_count=Count("cases"), last_collected_at=Max("cases__collected_at")
    )
    return counted.order_by("family_name", "given_name", "mrn")


def case_history(user: User, patient: Patient) -> QuerySet[Case]:
    """The patient's cases over time, the latest first, with `smear_count`."""
    return with_smears(cases_for(user)).filter(patient=patient).order_by("-collected_at")


def with_smears(cases: QuerySet[Case]) -> QuerySet[Case]:
    return cases.annotate(smear_count=Count("smears"))


# --- worklists ------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Tab:
    """One list of a role's work: the cases in `statuses`; `own`: only one's own; `done`: the newest first."""

    key: str
    title: Any
    statuses: tuple[str, ...]
    empty: Any
    own: bool = False
    done: bool = False

    def condition(self, user: User) -> Q:
        chosen = Q(status__in=self.statuses)
        return chosen & Q(created_by=user) if self.own else chosen


OPEN = tuple(status for status in Status.values if status != Status.REPORTED)
MINE = Tab("mine", _("My open cases"), OPEN, _("You have no open case."), own=True)
ALL_OPEN = Tab("open", _("All open"), OPEN, _("The laboratory has no open case."))
WAITING = Tab(
    "waiting", _("Waiting"), (Status.NEW, Status.ANALYSING), _("No case waits for smears or analysis.")
)
FAILED = Tab("failed", _("Failed"), (Status.ATTENTION,), _("No analysis has failed."))
REVIEW = Tab("review", _("In review"), (Status.REVIEW,), _("No case is in review."))
READY = Tab("ready", _("Ready to report"), (Status.READY,), _("No case waits for its report."))
REPORTED = Tab("reported", _("Reported"), (Status.REPORTED,), _("No case has been reported yet."), done=True)
TABS: dict[str, tuple[Tab, ...]] = {
    Role.CLINICIAN: (MINE, ALL_OPEN, WAITING, FAILED, REPORTED),
    Role.PATHOLOGIST: (REVIEW, READY, ALL_OPEN, FAILED, REPORTED),
    Role.ADMINISTRATOR: (ALL_OPEN, FAILED, REPORTED),
}


@dataclass(frozen=True, slots=True)
class Worklist:
    """The chosen tab with its cases in the order of work, and every tab of the role with its count."""

    tab: Tab
    tabs: tuple[tuple[Tab, int], ...]
    cases: QuerySet[Case]


def worklist(user: User, filters: Mapping[str, Any]) -> Worklist:
    """`filters`: tab, q, priority, collected_from, collected_to. No tab: the first that holds a case."""
    found = _filtered(cases_for(user), filters)
    tabs = TABS[user.role]
    counts = found.aggregate(**{tab.key: Count("pk", filter=tab.condition(user)) for tab in tabs})
    counted = tuple((tab, counts[tab.key]) for tab in tabs)
    first = next((tab for tab, count in counted if count), tabs[0])
    tab = next((tab for tab in tabs if tab.key == filters.get("tab")), first)
    order = "-created_at" if tab.done else "created_at"
    cases = with_smears(found.filter(tab.condition(user))).order_by(STAT_FIRST, order, "pk")
    return Worklist(tab, counted, cases)


def _filtered(cases: QuerySet[Case], filters: Mapping[str, Any]) -> QuerySet[Case]:
    columns = {
        "priority": "priority",
        "status": "status",
        "collected_from": "collected_at__date__gte",
        "collected_to": "collected_at__date__lte",
    }
    wanted = {column: filters[name] for name, column in columns.items() if filters.get(name)}
    return search_cases(cases.filter(**wanted), filters.get("q") or "")


# --- facts for reports ----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PatientFacts:
    patient_id: UUID
    mrn: str
    family_name: str
    given_name: str
    birth_date: date | None
    sex: str


@dataclass(frozen=True, slots=True)
class SmearFacts:
    smear_id: UUID
    original_name: str
    sha256: str
    format: str
    width: int
    height: int
    uploaded_by: str
    uploaded_at: datetime


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """A case as it stands, copied: later changes of its rows do not show."""

    case_id: UUID
    lab_id: UUID
    lab_name: str
    lab_address: str
    accession: str
    indication: str
    priority: str
    status: str
    collected_at: datetime
    stain: str
    scanner: str
    pixel_um: float | None
    staging_requested_by: str
    staging_requested_at: datetime | None
    created_by: str
    created_at: datetime
    patient: PatientFacts
    smears: tuple[SmearFacts, ...]


def case_facts(case_id: UUID) -> CaseFacts:
    people = ("created_by", "staging_requested_by")
    case = Case.objects.select_related("lab", "patient", *people).get(pk=case_id)
    return CaseFacts(
        case_id=case.pk,
        lab_id=case.lab_id,
        lab_name=case.lab.name,
        lab_address=case.lab.address,
        accession=case.accession,
        indication=case.indication,
        priority=case.priority,
        status=case.status,
        collected_at=case.collected_at,
        stain=case.stain,
        scanner=case.scanner,
        pixel_um=case.pixel_um,
        staging_requested_by=str(case.staging_requested_by or ""),
        staging_requested_at=case.staging_requested_at,
        created_by=str(case.created_by),
        created_at=case.created_at,
        patient=_patient_facts(case.patient),
        smears=tuple(_smear_facts(smear) for smear in case.smears.select_related("uploaded_by")),
    )


def _patient_facts(patient: Patient) -> PatientFacts:
    return PatientFacts(
        patient.pk,
        patient.mrn,
        patient.family_name,
        patient.given_name,
        patient.birth_date,
        patient.sex,
    )


def _smear_facts(smear: Smear) -> SmearFacts:
    return SmearFacts(
        smear.pk,
        smear.original_name,
        smear.sha256,
        smear.format,
        smear.width,
        smear.height,
        str(smear.uploaded_by),
        smear.uploaded_at,
    )
