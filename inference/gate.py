"""The completeness gate: what has to be settled before a slide is signed off and its case reported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.selectors import sign_off_limits
from accounts.sign_off import CriticalFinding, SignOffLimits
from inference import critical, names, selectors
from inference.critical import Found
from inference.identity import Identity, identity
from inference.models import AnalysisRun, CriticalCall, GateAnswer
from inference.pipeline.config import RBC_UNTRAINED
from inference.seen import Seen, seen
from inference.staged import StagedSmear, stagings
from inference.totals import Totals, together, totals

Key = GateAnswer.Check


class State(StrEnum):
    """Where a check stands: by the figures, by a person's word, or not yet."""

    PASSED = "passed"
    ANSWERED = "answered"
    OPEN = "open"


class Scope(StrEnum):
    """What an open check holds up: the sign-off of one slide; that of every slide of the case; that of the
    last slide, and the report; the report alone."""

    SLIDE = "slide"
    SAMPLE = "sample"
    CASE = "case"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to be settled: how it stands, and for an open one what would settle it, and where.

    `answer_id` names the answer that settles it, where one does.
    """

    key: str
    name: str
    scope: Scope
    state: State
    says: str
    settle: str = ""
    url: str = ""
    run_id: UUID | None = None
    smear: str = ""
    answer_id: UUID | None = None

    @property
    def is_open(self) -> bool:
        return self.state is State.OPEN


@dataclass(frozen=True, slots=True)
class Gate:
    """The checks of a case in the order of work; `unsigned` are its slides that are not signed off."""

    case_id: UUID
    checks: tuple[Check, ...]
    unsigned: frozenset[UUID]
    findings: tuple[Found, ...]
    answers: tuple[GateAnswer, ...]

    @property
    def open(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.is_open)

    @property
    def of_report(self) -> tuple[Check, ...]:
        """What holds up, or could, the report; what a slide waits for was settled when it was signed off."""
        return tuple(check for check in self.checks if check.scope in (Scope.CASE, Scope.REPORT))

    @property
    def is_complete(self) -> bool:
        """Whether the case can be reported."""
        return not any(check.is_open for check in self.of_report)

    def of_slide(self, run_id: UUID) -> tuple[Check, ...]:
        """What holds up, or could, the sign-off of one slide; the last one waits for the whole case."""
        last = self.unsigned <= {run_id}
        scopes = {Scope.SAMPLE, Scope.CASE} if last else {Scope.SAMPLE}
        return tuple(
            check
            for check in self.checks
            if check.run_id == run_id and check.scope is Scope.SLIDE or check.scope in scopes
        )


def says_open(checks: Iterable[Check]) -> str:
    """What is open, in one sentence for each; empty where nothing is."""
    return " ".join(check.says for check in checks if check.is_open)


def newest_runs(case_id: UUID) -> QuerySet[AnalysisRun]:
    """The newest analysis of each smear of a case, in the order of upload."""
    runs = selectors.newest(AnalysisRun.objects.filter(smear__case=case_id))
    return runs.select_related("smear__case", "lab", "signed_off_by").order_by("smear__uploaded_at")


def gate(case_id: UUID) -> Gate:
    """The gate of a case; a fixed number of questions, however many smears and cells it has."""
    runs = list(newest_runs(case_id))
    done = [run for run in runs if run.status == AnalysisRun.Status.DONE]
    answers = tuple(standing_answers(case_id))
    first = _analysed(case_id, runs)
    checks, findings = _checks(done, answers) if done else ([], ())
    unsigned = frozenset(run.pk for run in runs if not run.signed_off_at)
    return Gate(case_id, (first, *checks), unsigned, findings, answers)


def _checks(
    done: Sequence[AnalysisRun], answers: Sequence[GateAnswer]
) -> tuple[list[Check], tuple[Found, ...]]:
    """The checks of the analysed smears of a case, and its critical findings."""
    case = done[0].smear.case
    limits, cells = sign_off_limits(case.lab_id), totals(done)
    whole = together(cells.values())
    findings = tuple(critical.found(case, whole, limits.critical))
    slides = _Slides(case, limits, answers)
    checks = [
        *slides.checks(done, cells),
        _identity(identity(done[0]), done[0]),
        *slides.counted(whole, done),
        *_critical(case, findings, limits),
        *(_of(run, _signed_off(run)) for run in done),
    ]
    return checks, findings


@dataclass(frozen=True, slots=True)
class Settled:
    """What people did for a case's sign-off: the calls that stand, each with whether its finding does, and
    the answers that settle a check."""

    calls: tuple[tuple[CriticalCall, bool], ...]
    answers: tuple[GateAnswer, ...]


def settled(case_id: UUID) -> Settled:
    """What the report of a case says of its sign-off."""
    whole = gate(case_id)
    present = {one.key for one in whole.findings}
    calls = tuple((call, call.finding in present) for call in critical.standing_calls(case_id))
    used = {check.answer_id for check in whole.checks}
    return Settled(calls, tuple(one for one in whole.answers if one.pk in used))


def standing_answers(case_id: UUID) -> QuerySet[GateAnswer]:
    return GateAnswer.objects.filter(case=case_id, withdrawn_at=None).select_related("answered_by")


def page(case_id: UUID, anchor: str = "") -> str:
    """The page on which what is open is answered."""
    return reverse("inference:sign-off-page", args=[case_id]) + (f"#{anchor}" if anchor else "")


# --- the analysis and the slides ------------------------------------------------------------------
def _analysed(case_id: UUID, runs: Sequence[AnalysisRun]) -> Check:
    check = ("analysed", _("Smears analysed"), Scope.REPORT)
    where = reverse("cases:case", args=[case_id])
    if not runs:
        says = _("No smear of this case has been analysed.")
        return Check(*check, State.OPEN, says, _("Hand in an image of the smear."), where)
    if any(run.status != AnalysisRun.Status.DONE for run in runs):
        says = _("The analysis of a smear of this case is not finished.")
        return Check(*check, State.OPEN, says, _("Wait for it, or repeat it where it failed."), where)
    says = ngettext("%(n)d image analysed.", "%(n)d images analysed.", len(runs)) % {"n": len(runs)}
    return Check(*check, State.PASSED, says)


@dataclass(frozen=True, slots=True)
class _Slides:
    """What is asked of the slides of a case, and what people have answered."""

    case: Any
    limits: SignOffLimits
    answers: Sequence[GateAnswer]

    def checks(self, runs: Sequence[AnalysisRun], cells: dict[UUID, Totals]) -> Iterable[Check]:
        stages, looked = stagings(runs), seen(runs)
        for run in runs:
            yield _of(run, _open_cells(run, cells[run.pk]))
            if stages[run].requested:
                yield _of(run, _staging(run, stages[run]))
            yield _of(run, self._seen(run, looked[run.pk]))

    def _seen(self, run: AnalysisRun, looked: Seen) -> Check:
        about = (Key.SEEN.value, str(Key.SEEN.label), Scope.SLIDE)
        left, limit = looked.unseen_percent, self.limits.unseen_percent
        says = _("%(left).0f %% of the field has not been looked at (%(limit)g %% may stay so).") % {
            "left": left,
            "limit": limit,
        }
        if left <= limit:
            return Check(*about, State.PASSED, says)
        if answer := self._answer(Key.SEEN, [run]):
            return Check(*about, State.ANSWERED, answered(answer), answer_id=answer.pk)
        settle = _("Look at the rest in the viewer, or say why it may stay unviewed.")
        url = reverse("inference:viewer", args=[run.pk]) + "?unseen"
        return Check(*about, State.OPEN, says, settle, url)

    def counted(self, cells: Totals, runs: Sequence[AnalysisRun]) -> Iterable[Check]:
        """Whether enough cells of each kind were counted, in all images of the case together."""
        limits = self.limits
        white = ngettext("%(n)s leukocyte counted", "%(n)s leukocytes counted", cells.leukocytes)
        yield self._enough(Key.WHITE_CELLS, (white, cells.leukocytes, limits.least_wbc), runs)
        red = ngettext("%(n)s red cell counted", "%(n)s red cells counted", cells.red_cells)
        yield self._enough(Key.RED_CELLS, (red, cells.red_cells, limits.least_rbc), runs)
        platelets = ngettext(
            "%(p)s platelet beside %%(n)s red cells",
            "%(p)s platelets beside %%(n)s red cells",
            cells.platelets,
        )
        beside = platelets % {"p": intcomma(cells.platelets)}
        yield self._enough(Key.PLATELETS, (beside, cells.red_cells, limits.least_rbc_for_platelets), runs)

    def _enough(self, key: Key, count: tuple[str, int, int], runs: Sequence[AnalysisRun]) -> Check:
        words, n, least = count
        about = (key.value, str(key.label), Scope.CASE)
        facts = {"words": words % {"n": intcomma(n)}, "least": intcomma(least)}
        if n >= least:
            return Check(*about, State.PASSED, _("%(words)s (at least %(least)s).") % facts)
        if answer := self._answer(key, runs):
            return Check(*about, State.ANSWERED, answered(answer), answer_id=answer.pk)
        says = _("%(words)s, fewer than %(least)s.") % facts
        settle = _("Hand in more images, or say that they are enough or not assessable, and why.")
        return Check(*about, State.OPEN, says, settle, page(self.case.pk, key.value))

    def _answer(self, key: Key, runs: Sequence[AnalysisRun]) -> GateAnswer | None:
        """The word on a check that knew of just these analyses."""
        known = {str(run.pk) for run in runs}
        return next((a for a in self.answers if a.check_key == key and set(a.runs) == known), None)


def _of(run: AnalysisRun, check: Check) -> Check:
    """The check as one of a slide."""
    return replace(check, run_id=run.pk, smear=run.smear.original_name)


def answered(answer: GateAnswer) -> str:
    """A person's word on a check, with what it was about."""
    return _("%(says)s %(answer)s: %(reason)s (%(name)s)") % {
        "says": answer.says,
        "answer": str(answer.get_answer_display()).capitalize(),
        "reason": answer.reason,
        "name": answer.answered_by,
    }


def _open_cells(run: AnalysisRun, cells: Totals) -> Check:
    about = ("open_cells", _("Cells for review"), Scope.SLIDE)
    says = cells_open(cells)
    if not says:
        return Check(*about, State.PASSED, _("No cell is open."))
    url = reverse("inference:review-slide", args=[run.pk])
    return Check(*about, State.OPEN, says, " ".join(_settle_cells(cells)), url)


def cells_open(cells: Totals) -> str:
    """Which cells hold up the sign-off of their slide, a sentence for each kind; empty where none does."""
    said = (
        (
            cells.open,
            ngettext("%(n)s cell still needs review.", "%(n)s cells still need review.", cells.open),
        ),
        (
            cells.second,
            ngettext(
                "%(n)s cell waits for a second pathologist.",
                "%(n)s cells wait for a second pathologist.",
                cells.second,
            ),
        ),
        (
            cells.differing,
            ngettext(
                "On %(n)s cell two pathologists differ.",
                "On %(n)s cells two pathologists differ.",
                cells.differing,
            ),
        ),
    )
    return " ".join(text % {"n": intcomma(count)} for count, text in said if count)


def _settle_cells(cells: Totals) -> Iterable[str]:
    if cells.open:
        yield _("Confirm or correct them in the review.")
    if cells.second:
        yield _("A colleague of the first reader calls them.")
    if cells.differing:
        yield _("A third pathologist settles what two called differently.")


def _staging(run: AnalysisRun, staging: StagedSmear) -> Check:
    about = ("staging", _("Leukemia staging"), Scope.SLIDE)
    if reason := staging.blocks_sign_off:
        url = reverse("inference:review-slide", args=[run.pk]) + "#staging"
        return Check(*about, State.OPEN, reason, _("Answer it in the review."), url)
    label = names.leukemia_name(staging.label) if staging.label else names.staging_status_name(staging.status)
    if staging.review:
        says = _("%(label)s (%(name)s).") % {"label": label, "name": staging.review.reviewer}
        return Check(*about, State.ANSWERED, says)
    return Check(*about, State.PASSED, f"{label}.")


def _identity(found: Identity, run: AnalysisRun) -> Check:
    about = ("identity", _("Identity of the sample"), Scope.SAMPLE)
    if reason := found.blocks_sign_off:
        settle = _("Check labels or a second sample, and say how in the review.")
        url = reverse("inference:review-slide", args=[run.pk]) + "#identity"
        return Check(*about, State.OPEN, reason, settle, url)
    if found.check:
        words = {"comment": found.check.comment, "name": found.check.checked_by}
        return Check(*about, State.ANSWERED, _("Checked: %(comment)s (%(name)s)") % words)
    says = _("No implausible change since the last smear.") if found.earlier else _("No earlier smear.")
    return Check(*about, State.PASSED, says)


def _critical(case: Any, findings: Sequence[Found], limits: SignOffLimits) -> Iterable[Check]:
    """A check for each finding, which somebody has to be told of; or one that says that there is none."""
    if not findings and limits.critical:
        says = " ".join(_none_found(limits.critical.values()))
        yield Check("critical", _("Critical findings"), Scope.CASE, State.PASSED, says)
    for one in findings:
        about = (f"critical.{one.key}", one.name, Scope.CASE)
        if one.calls:
            yield Check(*about, State.ANSWERED, f"{one.says} {told(one.calls[-1])}")
            continue
        says = _("%(says)s Nobody has been told.") % {"says": one.says}
        settle = _("Tell who treats the patient, and write down whom and when.")
        yield Check(*about, State.OPEN, says, settle, page(case.pk, f"critical-{one.key}"))


def _none_found(critical: Iterable[CriticalFinding]) -> Iterable[str]:
    """That there is none, and of which a network could not have said so: only a person finds those."""
    looked_for, by_eye = list[str](), list[str]()
    for one in critical:
        found_by = by_eye if one.cell_class in RBC_UNTRAINED else looked_for
        found_by.append(str(one.name).lower())
    if looked_for:
        yield _("None of: %(names)s.") % {"names": ", ".join(looked_for)}
    if by_eye:
        yield _("No network looks for %(names)s, and nobody has called any.") % {"names": ", ".join(by_eye)}


def told(call: CriticalCall) -> str:
    return _("Told: %(told)s, %(how)s, by %(by)s.") % {
        "told": call.told,
        "how": call.get_how_display(),
        "by": call.told_by,
    }


def _signed_off(run: AnalysisRun) -> Check:
    about = ("signed_off", _("Slide signed off"), Scope.REPORT)
    if run.signed_off_at:
        says = _("Signed off by %(name)s.") % {"name": run.signed_off_by}
        return Check(*about, State.PASSED, says)
    url = reverse("inference:review-slide", args=[run.pk])
    says = _("This slide is not signed off.")
    return Check(*about, State.OPEN, says, _("Sign it off in the review."), url)
