"""What pathologists answer before a case is signed: that fewer cells do, why a part stays unviewed, who was
told of a critical finding. Nothing is changed afterwards: what was wrong is withdrawn and said again."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from cases import services as cases
from cases.plain_text import plain
from inference import gate, review
from inference.gate import Key
from inference.models import AnalysisRun, CriticalCall, GateAnswer
from inference.review import InvalidDecision, ReviewConflict

SOON = timedelta(minutes=5)
"""So far a clock that goes ahead may be in front of ours."""


@dataclass(frozen=True, slots=True)
class Word:
    """A person's answer to a check; `run_id` names the slide where the check is one slide's."""

    check: str
    answer: str
    reason: str
    run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody was told of a finding: who, by whom, when, how, and whether they read it back."""

    finding: str
    told: str
    told_by: str
    told_at: datetime
    how: str
    read_back: bool
    note: str = ""


def answer(actor: User, case: Any, word: Word) -> GateAnswer:
    """Settle a check that figures leave open; an earlier answer to it stays as a row that no longer stands.

    Raises InvalidDecision for what is no answer, ReviewConflict where there is nothing to answer.
    """
    require(actor, Verb.SLIDE_SIGN_OFF, case)
    reason = _reason(word)
    with transaction.atomic():
        _lock(case)
        check, runs = _open_check(case, word)
        for run in runs:
            if word.check == Key.SEEN and not run.signed_off_at:
                review.hold(actor, run)
        standing = gate.standing_answers(case.pk).filter(check_key=word.check)
        same = [one.pk for one in standing if word.check != Key.SEEN or one.runs == [str(word.run_id)]]
        GateAnswer.objects.filter(pk__in=same).update(withdrawn_at=timezone.now())
        row = GateAnswer.objects.create(
            lab_id=case.lab_id,
            case=case,
            check_key=word.check,
            runs=[str(run.pk) for run in runs],
            answer=word.answer,
            says=check.says,
            reason=reason,
            answered_by=actor,
        )
        audit.record(actor, "sign_off.answer", case, check=word.check, answer=word.answer, runs=row.runs)
    return row


def _reason(word: Word) -> str:
    if word.check not in Key.values or word.answer not in GateAnswer.Answer.values:
        known = ", ".join(Key.values)
        raise InvalidDecision(_("Answers are given to these checks: %(known)s.") % {"known": known})
    reason = plain(word.reason)
    if not reason:
        raise InvalidDecision(_("Give the reason: the report prints it."))
    review.check_comment(reason)
    return reason


def _open_check(case: Any, word: Word) -> tuple[gate.Check, list[AnalysisRun]]:
    """The check as it stands open, and the analyses that it is about."""
    runs = [run for run in gate.newest_runs(case.pk) if run.status == run.Status.DONE]
    if word.check == Key.SEEN:
        runs = [run for run in runs if run.pk == word.run_id]
    about = word.run_id if word.check == Key.SEEN else None
    for check in gate.gate(case.pk).open:
        if runs and check.key == word.check and check.run_id == about:
            return check, runs
    raise ReviewConflict(_("There is nothing to answer here: the check is settled, or about another slide."))


def tell(actor: User, case: Any, told: Told) -> CriticalCall:
    """Keep that somebody was told of a critical finding; a second call is a second row.

    Raises InvalidDecision for what cannot be so, ReviewConflict where the case has no such finding.
    """
    require(actor, Verb.SLIDE_SIGN_OFF, case)
    kept = _plain(told)
    _check_call(case, kept)
    with transaction.atomic():
        _lock(case)
        found = {one.key: one for one in gate.gate(case.pk).findings}
        if told.finding not in found:
            raise ReviewConflict(_("This case has no such critical finding as its cells count now."))
        says = found[told.finding].says
        row = CriticalCall.objects.create(
            lab_id=case.lab_id, case=case, says=says, recorded_by=actor, **asdict(kept)
        )
        audit.record(actor, "critical.told", case, finding=row.finding, how=row.how, read_back=row.read_back)
    return row


def _plain(told: Told) -> Told:
    words = {name: plain(getattr(told, name)) for name in ("told", "told_by", "note")}
    return Told(**{**asdict(told), **words})


def _check_call(case: Any, told: Told) -> None:
    if not told.told or not told.told_by:
        raise InvalidDecision(_("Say who was told, and by whom."))
    if told.how not in CriticalCall.How.values:
        ways = ", ".join(CriticalCall.How.values)
        raise InvalidDecision(_("Say how, as one of: %(ways)s.") % {"ways": ways})
    if max(len(told.told), len(told.told_by)) > 120:
        raise InvalidDecision(_("A name has at most %(n)d characters.") % {"n": 120})
    review.check_comment(told.note)
    if told.told_at > timezone.now() + SOON:
        raise InvalidDecision(_("The time of the call lies in the future."))
    if told.told_at < case.collected_at:
        when = date_format(timezone.localtime(case.collected_at), "DATETIME_FORMAT")
        raise InvalidDecision(_("The call lies before the blood was collected (%(when)s).") % {"when": when})


def withdraw_call(actor: User, call: CriticalCall) -> None:
    """Take back one's own entry of a call, which stays as a row. Raises ReviewConflict."""
    require(actor, Verb.SLIDE_SIGN_OFF, call)
    with transaction.atomic():
        _lock(call.case)
        own = CriticalCall.objects.filter(pk=call.pk, recorded_by=actor, withdrawn_at=None)
        if not own.update(withdrawn_at=timezone.now()):
            raise ReviewConflict(_("Only your own entry that stands can be withdrawn."))
        audit.record(actor, "critical.withdrawn", call, finding=call.finding)


def call_for(user: User, call_id: UUID) -> CriticalCall:
    """One call; Http404 outside the laboratory."""
    return get_object_or_404(CriticalCall.objects.filter(lab=user.lab).select_related("case"), pk=call_id)


def _lock(case: Any) -> None:
    """Raises ReviewConflict once the case has been reported."""
    locked = cases.lock_case(case.pk)
    if locked.status == locked.Status.REPORTED:
        raise ReviewConflict(
            _("This case has been reported. Amend the report to change what it says of the sign-off.")
        )
