"""Asking for the leukemia staging of a case, and taking that back."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from cases import services as cases
from cases.services import StagingRefused
from inference import selectors, stage_calls
from inference.models import AnalysisRun, StageReview
from inference.runs import settle_case


def request(actor: User, case: Any) -> None:
    """Ask for staging. What is analysed already is staged on its own, so that no decision of a reviewer is
    lost; a slide that was signed off is open again, because the staging belongs to what is signed off.

    Raises StagingRefused where the laboratory does not offer it, or when the case has been reported.
    """
    with transaction.atomic():
        if not cases.request_staging(actor, case):
            return
        for run in selectors.current_runs(case.pk):
            stage_calls.queue(run)
            _open_again(actor, run)


def _open_again(actor: User, run: AnalysisRun) -> None:
    signed = AnalysisRun.objects.filter(pk=run.pk).exclude(signed_off_at=None)
    if signed.update(signed_off_by=None, signed_off_at=None):
        audit.record(actor, "review.reopen", run, reason="staging")
        settle_case(run.smear.case_id)


def withdraw(actor: User, case: Any) -> None:
    """Take the request back. Raises StagingRefused once a person has answered for the staging."""
    require(actor, Verb.STAGING_REQUEST, case)
    with transaction.atomic():
        if not cases.lock_case(case.pk).staging_requested:
            return
        if reason := _answered(case.pk):
            raise StagingRefused("staging_answered", reason)
        cases.withdraw_staging(actor, case)
        stage_calls.discard_unfinished(case.pk)


def _answered(case_id: UUID) -> str:
    """Why a request cannot be taken back any more; empty when it can."""
    if selectors.current_runs(case_id).exclude(signed_off_at=None).exists():
        return _("A slide of this case is signed off with its staging, which cannot be withdrawn any more.")
    said = StageReview.objects.filter(stage_call__run__smear__case_id=case_id, undone_at=None)
    if answer := said.select_related("reviewer").first():
        text = _("%(name)s has answered the staging of this case, which cannot be withdrawn any more.")
        return text % {"name": answer.reviewer}
    return ""
