"""The verbs about reports: each checks, writes and audits in one transaction."""

import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from celery import current_app
from django.core.files.base import ContentFile
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError as BrokerError

from accounts import audit
from accounts.notifications import Event, Kind
from accounts.permissions import Verb, require
from accounts.services import confirm_password
from accounts.types import User
from cases import services as cases
from cases.plain_text import plain
from inference import review

from . import pdf, selectors
from .assembly import assemble
from .content import ReportContent, Signature, digest, to_json
from .models import Report, pdf_path

logger = logging.getLogger(__name__)
Status = Report.Status
RENDER_TASK = "reports.tasks.render_report"
MAX_COMMENT = 4000


class ReportConflict(Exception):
    """The report or its case is not in the state that was asked for; the text is for the person."""

    code = "report_conflict"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class WrongPassword(ReportConflict):
    """The password typed for a signature was not the signer's."""

    code = "wrong_password"


@dataclass(frozen=True, slots=True)
class Signing:
    """What a person hands in with a signature; `seen` is the sha256 of the content they had before them."""

    request: HttpRequest
    password: str
    meaning: str
    seen: str


# --- writing --------------------------------------------------------------------------------------
def draft(actor: User, case_id: UUID) -> Report:
    """Begin version 1. Raises ReportConflict while a slide is not signed off, or when there is a report."""
    require(actor, Verb.REPORT_DRAFT)
    with transaction.atomic():
        case = cases.lock_case(case_id)
        if Report.objects.filter(case=case_id).exists():
            raise ReportConflict(_("This case has a report already; a signed one is changed by amending it."))
        _must_be_ready(case_id)
        report = Report(lab=actor.lab, case=case, version=1, created_by=actor)
        _freeze(report, assemble(case_id, selectors.heading(report)))
        report.save(force_insert=True)
        audit.record(actor, Verb.REPORT_DRAFT, report, version=1)
    return report


def save_comment(actor: User, report: Report, comment: str) -> None:
    """Change what the pathologist says in a draft. Raises ReportConflict once it is signed."""
    require(actor, Verb.REPORT_DRAFT, report)
    with transaction.atomic():
        cases.lock_case(report.case_id)
        _must_be_draft(report)
        report.comment = _plain(comment)
        _freeze(report, replace(selectors.content_of(report), comment=report.comment))
        report.save(update_fields=["comment", "content", "content_sha256"])
        audit.record(actor, "report.comment", report, version=report.version)


def sign(actor: User, report: Report, signing: Signing) -> Report:
    """draft → final, frozen with the signature; the version it amends becomes superseded.

    Raises WrongPassword, or ReportConflict when the report is not what the signer had before them.
    """
    require(actor, Verb.REPORT_SIGN, report)
    if not confirm_password(signing.request, actor, signing.password):
        audit.record(actor, Verb.REPORT_SIGN, report, audit.FAILED, reason="password")
        raise WrongPassword(_("The password is not yours. The report is not signed."))
    with transaction.atomic():
        case = cases.lock_case(report.case_id)
        _must_be_draft(report)
        _must_be_ready(report.case_id)
        content = selectors.content_of(report)
        if digest(content) != signing.seen:
            raise ReportConflict(_("The report has changed since you opened it. Read it again, then sign."))
        # The document states whole seconds; the report knows better, so that what was said on a cell in the
        # same second is still before or after it.
        now = timezone.now()
        _sign(actor, report, replace(content, signature=_signature(actor, signing.meaning, now)), now)
        cases.set_case_status(report.case_id, case.Status.REPORTED)
        audit.record(actor, Verb.REPORT_SIGN, report, version=report.version, sha256=report.content_sha256)
        _tell_signed(actor, report)
        transaction.on_commit(lambda: send_render(report.pk))
    return report


def _sign(actor: User, report: Report, content: ReportContent, moment: datetime) -> None:
    if content.signature is None:
        raise ValueError("a report is signed with its signature in the content")
    Report.objects.filter(case=report.case_id, status=Status.FINAL).update(status=Status.SUPERSEDED)
    _freeze(report, content)
    report.status, report.signed_by, report.signed_at = Status.FINAL, actor, moment
    columns = ("status", "signed_by", "signed_at", "content", "content_sha256")
    changed = {column: getattr(report, column) for column in columns}
    if not Report.objects.filter(pk=report.pk, status=Status.DRAFT).update(**changed):
        raise ReportConflict(_("Someone else signed this report at the same moment."))


def amend(actor: User, report: Report, reason: str, *, reopen_slides: bool = True) -> Report:
    """Begin the next version of a signed report; the signed one stands until the new one is signed.

    Raises ReportConflict when the report is not the one that counts, or is being amended already.
    """
    require(actor, Verb.REPORT_AMEND, report)
    with transaction.atomic():
        case = cases.lock_case(report.case_id)
        report.refresh_from_db()
        if report.status != Status.FINAL:
            raise ReportConflict(_("Only the signed report that counts can be amended."))
        if Report.objects.filter(case=report.case_id, status=Status.DRAFT).exists():
            raise ReportConflict(_("This report is being amended already."))
        amended = _next_version(actor, report, _plain(reason))
        audit.record(actor, Verb.REPORT_AMEND, amended, version=amended.version, reopened=reopen_slides)
        cases.set_case_status(report.case_id, case.Status.READY)
        if reopen_slides:
            review.reopen(actor, report.case_id)
    return amended


def _next_version(actor: User, before: Report, reason: str) -> Report:
    report = Report(
        lab=before.lab,
        case_id=before.case_id,
        version=before.version + 1,
        comment=before.comment,
        amendment_reason=reason,
        supersedes=before,
        created_by=actor,
    )
    _freeze(report, assemble(before.case_id, selectors.heading(report)))
    report.save(force_insert=True)
    return report


# --- rendering ------------------------------------------------------------------------------------
def send_render(report_id: UUID) -> None:
    """Ask the worker for the PDF. A broker that is down is logged: the sweeper renders it later."""
    try:
        current_app.send_task(RENDER_TASK, args=[str(report_id)])
    except BrokerError as error:
        logger.warning("The broker does not answer; report %s waits for the sweeper: %s", report_id, error)


def render(report_id: UUID | str) -> bytes:
    """The signed report's own PDF: made once and kept; made again only where the file was lost."""
    report = Report.objects.exclude(status=Status.DRAFT).get(pk=report_id)
    if report.pdf.name and report.pdf.storage.exists(report.pdf.name):
        with report.pdf.open() as file:
            kept: bytes = file.read()
            return kept
    return _store(report, pdf.write(selectors.content_of(report)))


def _store(report: Report, data: bytes) -> bytes:
    """Keep the PDF unless another process kept one meanwhile: then that one is the report's."""
    lost, sha256 = report.pdf.name or "", hashlib.sha256(data).hexdigest()
    name = report.pdf.storage.save(pdf_path(report, "report.pdf"), ContentFile(data))
    with transaction.atomic():
        if Report.objects.filter(pk=report.pk, pdf=lost).update(pdf=name, pdf_sha256=sha256):
            audit.record(None, "report.render", report, sha256=sha256, before=report.pdf_sha256)
            return data
    report.pdf.storage.delete(name)
    return render(report.pk)


def sweep() -> int:
    """Render every signed report that has no PDF yet; how many there were."""
    waiting = list(selectors.unrendered().values_list("pk", flat=True))
    for report_id in waiting:
        render(report_id)
    return len(waiting)


def _tell_signed(actor: User, report: Report) -> None:
    """Whoever opened the case hears of it; who signs a report of their own case knows."""
    if report.case.created_by != actor:
        kind = Kind.REPORT_AMENDED if report.supersedes_id else Kind.REPORT_SIGNED
        cases.tell_author(Event(kind, report.case, str(report.pk)))


# --- small parts ----------------------------------------------------------------------------------
def _must_be_draft(report: Report) -> None:
    report.refresh_from_db()
    if report.status != Status.DRAFT:
        raise ReportConflict(_("This report is signed; a signed report is changed by amending it."))


def _must_be_ready(case_id: UUID) -> None:
    if reason := selectors.not_ready(case_id):
        raise ReportConflict(reason)


def _freeze(report: Report, content: ReportContent) -> None:
    report.content, report.content_sha256 = to_json(content), digest(content)


def _signature(actor: User, meaning: str, moment: datetime) -> Signature:
    at = moment.replace(microsecond=0)
    return Signature(str(actor.pk), str(actor), str(actor.get_role_display()), at, _plain(meaning))


def _plain(text: str) -> str:
    return plain(text.strip()[:MAX_COMMENT])
