"""Where the analyses and the review of cases stand, for worklists."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.types import User
from cases.standings import Fact
from inference import selectors
from inference.models import AnalysisRun

Status = AnalysisRun.Status


def facts(user: User, cases: Sequence[Any]) -> dict[UUID, list[Fact]]:
    """Progress, failures and open cells of the cases that are at work; one query for all of them."""
    wanted = [case.pk for case in cases if case.status in (case.Status.ANALYSING, case.Status.ATTENTION)]
    wanted += [case.pk for case in cases if case.status == case.Status.REVIEW]
    by_case: dict[UUID, list[AnalysisRun]] = {}
    for run in selectors.newest_runs(user, wanted) if wanted else ():
        by_case.setdefault(run.smear.case_id, []).append(run)
    return {case_id: _facts(runs) for case_id, runs in by_case.items()}


def _facts(runs: list[AnalysisRun]) -> list[Fact]:
    failed = [_failed(run) for run in runs if run.status == Status.FAILED]
    if any(run.status in (Status.QUEUED, Status.RUNNING) for run in runs):
        return [_progress(runs), *failed]
    return failed or [_review(runs)]


def _progress(runs: list[AnalysisRun]) -> Fact:
    """The share of all images together: one that has failed has no more to come."""
    ended = sum(run.status in (Status.DONE, Status.FAILED) for run in runs)
    if not ended and all(run.status == Status.QUEUED for run in runs):
        return Fact(_("queued"), 0.0)
    running = sum(run.progress for run in runs if run.status == Status.RUNNING)
    share = (ended + running) / len(runs)
    text = ngettext(
        "%(percent)d %%, %(ended)d of %(all)d image", "%(percent)d %%, %(ended)d of %(all)d images", len(runs)
    )
    return Fact(text % {"percent": int(100 * share), "ended": ended, "all": len(runs)}, share)


def _failed(run: AnalysisRun) -> Fact:
    return Fact(f"{run.smear.original_name}: {run.error_message}", is_bad=True)


def _review(runs: list[AnalysisRun]) -> Fact:
    unsigned = [run for run in runs if not run.signed_off_at]
    count = sum(run.open_count for run in unsigned)  # type: ignore[attr-defined]
    pending = sum(run.pending_count for run in unsigned)  # type: ignore[attr-defined]
    if count:
        return Fact(ngettext("%(n)s cell open", "%(n)s cells open", count) % {"n": intcomma(count)})
    if pending:
        text = ngettext("second reading of %(n)s cell open", "second reading of %(n)s cells open", pending)
        return Fact(text % {"n": intcomma(pending)})
    return Fact(_("no cell open, waits for sign-off"))
