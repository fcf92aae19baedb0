"""The verbs about patients, cases and smears: each checks, writes and audits in one transaction."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.files.base import ContentFile
from django.db import IntegrityError, transaction
from django.db.models import Model
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from accounts import audit, notifications
from accounts.notifications import Event
from accounts.permissions import Verb, require
from accounts.selectors import staging_is_offered
from accounts.types import User

from . import uploads
from .models import Case, CaseLook, Patient, Smear
from .parts import ReceivedFile
from .uploads import UploadRefused

PATIENT_FIELDS = ("mrn", "family_name", "given_name", "birth_date", "sex")
CASE_FIELDS = ("accession", "indication", "priority", "collected_at", "stain", "scanner", "pixel_um")


class CaseReported(Exception):
    """The report of the case is signed: its smears are what was reported."""

    code = "case_reported"

    def __init__(self) -> None:
        self.text = _(
            "This case has been reported. Smears are added once a pathologist has begun to amend the report,"
            " or to a new case."
        )
        super().__init__(self.text)


class StagingRefused(Exception):
    """Leukemia staging cannot be requested, or no longer be withdrawn; the text is for the person."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@transaction.atomic
def create_patient(actor: User, **fields: Any) -> Patient:
    """Raises ValidationError, by field, when the entries are not accepted."""
    require(actor, Verb.PATIENT_CREATE)
    patient = Patient(lab=actor.lab, **fields)
    _save(patient, "mrn", _("A patient with this medical record number is already entered."))
    audit.record(actor, Verb.PATIENT_CREATE, patient)
    return patient


@transaction.atomic
def edit_patient(actor: User, patient: Patient, **changes: Any) -> Patient:
    """Raises ValidationError, by field, when the entries are not accepted."""
    require(actor, Verb.PATIENT_EDIT, patient)
    changed = _apply(patient, changes, PATIENT_FIELDS)
    _save(patient, "mrn", _("Another patient has this medical record number."))
    audit.record(actor, Verb.PATIENT_EDIT, patient, fields=changed)
    return patient


@transaction.atomic
def create_case(actor: User, patient: Patient, *, staging_requested: bool = False, **fields: Any) -> Case:
    """Raises ValidationError, by field, when the entries are not accepted."""
    require(actor, Verb.CASE_CREATE, patient)
    if patient.lab_id != actor.lab_id:
        raise ValidationError({"patient": _("There is no such patient in your laboratory.")})
    case = Case(lab=actor.lab, patient=patient, created_by=actor, **fields)
    _save(case, "accession", _("A case with this accession number is already open or reported."))
    audit.record(actor, Verb.CASE_CREATE, case, priority=case.priority)
    note_look(actor, case)
    if staging_requested:
        _request_at_opening(actor, case)
    return case


def _request_at_opening(actor: User, case: Case) -> None:
    try:
        request_staging(actor, case)
    except StagingRefused as refused:
        raise ValidationError({"staging_requested": refused.text}) from refused


@transaction.atomic
def create_case_for_new_patient(actor: User, patient: dict[str, Any], case: dict[str, Any]) -> Case:
    """Both or neither. Raises ValidationError, by field, when the entries are not accepted."""
    return create_case(actor, create_patient(actor, **patient), **case)


@transaction.atomic
def edit_case(actor: User, case: Case, **changes: Any) -> Case:
    """Raises ValidationError, by field, when the entries are not accepted."""
    require(actor, Verb.CASE_EDIT, case)
    changed = _apply(case, changes, CASE_FIELDS)
    _save(case, "accession", _("Another case has this accession number."), CASE_FIELDS)
    audit.record(actor, Verb.CASE_EDIT, case, fields=changed)
    return case


def _apply(row: Model, changes: dict[str, Any], allowed: Collection[str]) -> list[str]:
    """Sets what differs and returns its names."""
    if unknown := changes.keys() - set(allowed):
        raise TypeError(f"{sorted(unknown)} cannot be changed here")
    changed = sorted(name for name, value in changes.items() if getattr(row, name) != value)
    for name in changed:
        setattr(row, name, changes[name])
    return changed


def _save(row: Model, unique: str, taken: str, columns: Collection[str] | None = None) -> None:
    """Validates and saves; the column that is unique within the laboratory answers with a sentence."""
    row.full_clean(validate_constraints=False)
    same = type(row)._default_manager.filter(**{"lab": row.lab, unique: getattr(row, unique)})  # type: ignore[attr-defined]
    if same.exclude(pk=row.pk).exists():
        raise ValidationError({unique: taken})
    try:
        with transaction.atomic():
            row.validate_constraints(exclude={unique})
            row.save(update_fields=columns)
    except IntegrityError as error:
        raise ValidationError({unique: taken}) from error


# --- leukemia staging -----------------------------------------------------------------------------
@transaction.atomic
def request_staging(actor: User, case: Case) -> bool:
    """Ask for leukemia staging of a case; whether that is news.

    Raises StagingRefused where the laboratory does not offer it, or when the case has been reported.
    """
    require(actor, Verb.STAGING_REQUEST, case)
    _refuse_staging_of_reported(lock_case(case.pk))
    if not staging_is_offered(case.lab_id):
        text = _("This laboratory does not offer leukemia staging. An administrator can change that.")
        raise StagingRefused("staging_not_offered", text)
    return _note_request(actor, case, True)


@transaction.atomic
def withdraw_staging(actor: User, case: Case) -> bool:
    """Take the request back; whether there was one. Raises StagingRefused when the case has been reported.

    For `inference`, which knows whether anything has been signed that rests on it.
    """
    require(actor, Verb.STAGING_REQUEST, case)
    _refuse_staging_of_reported(lock_case(case.pk))
    return _note_request(actor, case, False)


def _note_request(actor: User, case: Case, requested: bool) -> bool:
    by, at = (actor, timezone.now()) if requested else (None, None)
    others = Case.objects.filter(pk=case.pk, staging_requested_at__isnull=requested)
    changed = others.update(staging_requested_by=by, staging_requested_at=at)
    if changed:
        audit.record(actor, Verb.STAGING_REQUEST if requested else "staging.withdraw", case)
    case.refresh_from_db(fields=["staging_requested_by", "staging_requested_at"])
    return bool(changed)


def _refuse_staging_of_reported(case: Case) -> None:
    if case.status == Case.Status.REPORTED:
        text = _(
            "This case has been reported. Staging is requested or withdrawn once a pathologist has begun to"
            " amend the report."
        )
        raise StagingRefused("case_reported", text)


# --- smears ---------------------------------------------------------------------------------------
def store_smear(actor: User, case: Case, file: File) -> Smear:
    """Examines the file, keeps it unchanged, and adds it to the case. Raises UploadRefused, CaseReported."""
    with smear_files(actor, case, file) as smear:
        return add_smear(actor, smear)


@contextmanager
def smear_files(actor: User, case: Case, file: File) -> Iterator[Smear]:
    """A smear whose files are stored and whose row is not; the files go again when the block fails.

    For use around a transaction: decoding and storing a large image must not hold its locks.
    The original comes last: a storage may move the file away.
    """
    require(actor, Verb.SMEAR_UPLOAD, case)
    require_unreported(case)
    smear = _examined(actor, case, file)
    _refuse_duplicate(smear)
    try:
        smear.preview.save("preview.jpg", ContentFile(uploads.preview(file)), save=False)
        smear.original.save(smear.original_name, file, save=False)
        yield smear
    except BaseException:
        _discard(smear.original, Smear.objects.filter(original=smear.original.name).exists())
        _discard(smear.preview, Smear.objects.filter(preview=smear.preview.name).exists())
        raise


@transaction.atomic
def add_smear(actor: User, smear: Smear) -> Smear:
    """Adds the row of a smear whose files are stored, which ends its upload, if it came in parts.

    Raises UploadRefused when the case has the file, CaseReported when the report was signed meanwhile.
    """
    require_unreported(lock_case(smear.case_id))
    _refuse_duplicate(smear)
    smear.save(force_insert=True)
    audit.record(
        actor,
        Verb.SMEAR_UPLOAD,
        smear,
        sha256=smear.sha256,
        size_bytes=smear.size_bytes,
        upload=str(smear.upload_id) if smear.upload_id else None,
    )
    return smear


def require_unreported(case: Case) -> None:
    """Raises CaseReported."""
    if case.status == Case.Status.REPORTED:
        raise CaseReported


def _examined(actor: User, case: Case, file: File) -> Smear:
    seen = uploads.examine(file)
    return Smear(
        lab=case.lab,
        case=case,
        upload_id=file.upload_id if isinstance(file, ReceivedFile) else None,
        uploaded_by=actor,
        sha256=seen.sha256,
        original_name=PurePath(file.name or "smear").name[-200:],
        format=seen.format,
        suffix=seen.suffix,
        size_bytes=seen.size_bytes,
        width=seen.width,
        height=seen.height,
    )


def _refuse_duplicate(smear: Smear) -> None:
    same = Smear.objects.select_related("uploaded_by").filter(case=smear.case_id, sha256=smear.sha256).first()
    if same is None:
        return
    text = _("This file is already in the case: “%(name)s”, uploaded by %(person)s on %(time)s.")
    when = date_format(localtime(same.uploaded_at), "DATETIME_FORMAT")
    facts = {"name": same.original_name, "person": same.uploaded_by, "time": when}
    raise UploadRefused("duplicate", text % facts)


def _discard(file: Any, in_use: bool) -> None:
    """Another upload of the same bytes may own a file of this name by now; then it stays."""
    if file and not in_use:
        file.storage.delete(file.name)


@transaction.atomic
def download_original(actor: User, smear: Smear) -> File:
    """The file exactly as it was handed in, open for reading."""
    require(actor, Verb.CASE_VIEW, smear)
    audit.record(actor, "smear.download", smear)
    return smear.original.open("rb")


# --- the status of a case -------------------------------------------------------------------------
def lock_case(case_id: UUID) -> Case:
    """The case, locked until the present transaction ends."""
    return Case.objects.select_for_update().get(pk=case_id)


def set_case_status(case_id: UUID, status: str) -> None:
    """For the caller that holds `lock_case` and has derived the status from what the case holds."""
    others = Case.objects.filter(pk=case_id).exclude(status=status)
    others.update(status=status, status_since=timezone.now())


def tell_author(event: Event, *others: User) -> None:
    """Tell the person who opened the case, and others it concerns, inside the transaction of the event."""
    notifications.notify([event.case.created_by, *others], event)


def note_look(person: User, case: Any) -> None:
    """The person has the case before them as it stands; the worklist tells what changes from here on."""
    seen = {"status": case.status, "looked_at": timezone.now()}
    CaseLook.objects.update_or_create(case=case, person=person, defaults=seen)
    notifications.read_about(person, case.pk)
