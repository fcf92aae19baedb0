"""What may be read of patients, cases and smears; always of one laboratory."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db.models import Case as CaseWhen
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Concat
from django.utils import timezone

from accounts.types import User

from .models import Answer, Case, Patient, Question, Smear, Upload


def stat_first(case: str = "") -> CaseWhen:
    """Orders STAT before routine; `case` leads from the rows to their case, such as "run__smear__case__"."""
    return CaseWhen(When(**{f"{case}priority": Case.Priority.STAT}, then=0), default=1)


UNFINISHED = Q(smear=None, refusal_code="")


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


# --- questions ------------------------------------------------------------------------------------
UNANSWERED = ~Exists(Answer.objects.filter(question=OuterRef("pk")))


def questions_for(user: User) -> QuerySet[Question]:
    """Questions with their answers, the oldest first."""
    rows = Question.objects.filter(lab=user.lab_id).select_related("case", "asked_by")
    return rows.prefetch_related("answers__answered_by")


def open_questions(user: User) -> QuerySet[Question]:
    """Those without an answer: of STAT cases first, then the oldest."""
    return questions_for(user).filter(UNANSWERED).order_by(stat_first("case__"), "asked_at", "pk")


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
