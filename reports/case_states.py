"""Where the reports of cases stand, for worklists."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from accounts.types import User
from cases.standings import Fact

from . import selectors
from .models import Report

Status = Report.Status


def facts(user: User, cases: Sequence[Any]) -> dict[UUID, list[Fact]]:
    """The version that counts and the draft of each case; one query for all of them."""
    reports = selectors.reports_for(user).filter(case__in=cases).exclude(status=Status.SUPERSEDED)
    said: dict[UUID, list[Fact]] = {}
    for report in reports.defer("content").order_by("version"):
        said.setdefault(report.case_id, []).append(Fact(_words(report)))
    return said


def _words(report: Report) -> str:
    if report.status == Status.DRAFT:
        return _("amendment drafted, not signed") if report.supersedes_id else _("drafted, not signed")
    who = {"name": report.signed_by, "when": _when(report), "version": report.version}
    if report.supersedes_id:
        return _("amended: version %(version)s, signed by %(name)s, %(when)s") % who
    return _("signed by %(name)s, %(when)s") % who


def _when(report: Report) -> str:
    return date_format(localtime(report.signed_at), "DATETIME_FORMAT") if report.signed_at else ""
