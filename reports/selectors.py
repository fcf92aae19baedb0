"""Reading reports; a person sees those of their own laboratory only."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from accounts.types import User
from inference import gate
from inference import selectors as inference

from . import assembly
from .assembly import Heading
from .content import Amendment, ReportContent, Superseded, from_json
from .models import Report

Status = Report.Status


def reports_for(user: User) -> QuerySet[Report]:
    return Report.objects.filter(lab=user.lab_id).select_related("created_by", "signed_by")


def versions(user: User, case_id: UUID) -> QuerySet[Report]:
    """Every version of a case's report, the newest first, without their content."""
    return reports_for(user).filter(case=case_id).defer("content").order_by("-version")


def report_for(user: User, case_id: UUID, version: int | None = None) -> Report:
    """The version asked for; without one the signed report that counts, or else the draft. Http404."""
    reports = reports_for(user).filter(case=case_id)
    if version is not None:
        chosen = reports.filter(version=version).first()
    else:
        chosen = reports.filter(status=Status.FINAL).first() or reports.order_by("-version").first()
    if chosen is None:
        raise Http404
    return chosen


def not_ready(case_id: UUID) -> str:
    """Why a case cannot be reported now, in words; empty when the completeness gate lets it pass."""
    return unsigned(case_id) or gate.says_open(gate.gate(case_id).of_report)


def unsigned(case_id: UUID) -> str:
    """Why a case has nothing to report yet; empty once all its slides are signed off."""
    runs = list(inference.unfinished_runs(case_id))
    if not runs and not inference.current_runs(case_id).exists():
        return _("No smear of this case has been analysed.")
    if any(run.status != run.Status.DONE for run in runs):
        return _("The analysis of a smear of this case is not finished.")
    if runs:
        return _("Slides of this case still wait for review and sign-off.")
    return ""


def content_of(report: Report) -> ReportContent:
    """What a report says: frozen once signed; while a draft, as the case stands, or last stood signed off."""
    if report.status == Status.DRAFT and not unsigned(report.case_id):
        return assembly.assemble(report.case_id, heading(report))
    return from_json(report.content)


def heading(report: Report) -> Heading:
    return Heading(report.pk, report.version, report.created_at, report.comment, _amendment(report))


def _amendment(report: Report) -> Amendment | None:
    before = report.supersedes
    if before is None or before.signed_at is None:
        return None
    return Amendment(before.version, before.signed_at, str(before.signed_by), report.amendment_reason)


def superseded(report: Report) -> Superseded | None:
    """By which signed version this one was replaced, if it was."""
    if report.status != Status.SUPERSEDED:
        return None
    after = Report.objects.only("version", "signed_at").get(supersedes=report)
    if after.signed_at is None:
        raise ValueError(f"report {report.pk} is superseded by an unsigned version")
    return Superseded(after.version, after.signed_at)


def outdated(report: Report, content: ReportContent) -> bool:
    """Whether the case now holds analyses that the signed report does not cover, or lacks some it does."""
    if report.status != Status.FINAL:
        return False
    present = {str(pk) for pk in inference.current_runs(report.case_id).values_list("pk", flat=True)}
    return present != {image.run_id for image in content.images}


def known_before(case: Any) -> frozenset[str]:
    """The classes of leukocytes that signed reports of the patient's earlier cases hold; one question."""
    earlier = Report.objects.filter(
        lab=case.lab_id,
        case__patient=case.patient_id,
        case__collected_at__lt=case.collected_at,
        status=Status.FINAL,
    )
    tables = earlier.values_list("content__aggregate__differential", flat=True)
    return frozenset(key for table in tables for key, part in (table or {}).items() if part["count"])


def unrendered() -> QuerySet[Report]:
    """Signed reports that have no PDF yet."""
    return Report.objects.exclude(status=Status.DRAFT).filter(pdf="")
