"""What pathologists do with a slide: claim it, decide cell by cell, skip, undo, sign off, open it again."""

from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Manager, Q
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from cases import services as cases
from inference import blind, double_reading, gate, review_queue, selectors, what_matters
from inference.models import AnalysisRun, Cell, CellReview, CellSkip, PersonsWord, SecondReview
from inference.pipeline.config import RBC_CLASSES, WBC_CLASSES
from inference.pipeline.findings import Kind
from inference.runs import settle_case

RBC_ANSWERS = (*RBC_CLASSES, "artifact")

MAX_COMMENT = CellReview._meta.get_field("comment").max_length or 0

Word = TypeVar("Word", bound=PersonsWord)


class ReviewConflict(Exception):
    """The slide or cell is not in the state that was asked for; the text is for the person."""

    code = "review_conflict"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class NotComplete(ReviewConflict):
    """The slide or its case waits for something; the text names everything that is open."""

    code = "not_complete"


class InvalidDecision(ReviewConflict):
    """The decision itself cannot be taken: an unknown class, or a cell that nobody classifies."""

    code = "invalid_decision"


def claim_slide(actor: User, run: AnalysisRun) -> AnalysisRun:
    """Hold a slide for some minutes (more). Raises ReviewConflict when another person holds it."""
    require(actor, Verb.REVIEW_CLAIM, run)
    with transaction.atomic():
        if hold(actor, run):
            audit.record(actor, Verb.REVIEW_CLAIM, run)
    run.refresh_from_db(fields=["review_claimed_by", "review_claimed_until"])
    return run


def hold(actor: User, run: AnalysisRun) -> bool:
    """Take or renew the claim, inside a transaction; true when it is a new one."""
    now = timezone.now()
    until = now + timedelta(minutes=settings.REVIEW_CLAIM_MINUTES)
    slide = AnalysisRun.objects.filter(pk=run.pk, status=AnalysisRun.Status.DONE, signed_off_at=None)
    renewed = slide.filter(review_claimed_by=actor, review_claimed_until__gte=now)
    if renewed.update(review_claimed_until=until):
        return False
    free = slide.filter(
        Q(review_claimed_by=None) | Q(review_claimed_by=actor) | Q(review_claimed_until__lt=now)
    )
    if not free.update(review_claimed_by=actor, review_claimed_until=until):
        raise ReviewConflict(_why_not(run))
    return True


def _why_not(run: AnalysisRun) -> str:
    """Why this slide cannot be worked on just now."""
    run.refresh_from_db()
    if run.status != AnalysisRun.Status.DONE:
        return _("The analysis of this slide is not finished.")
    if run.signed_off_at:
        return _("This slide was signed off by %(name)s on %(when)s.") % {
            "name": run.signed_off_by,
            "when": formats.localize(timezone.localtime(run.signed_off_at)),
        }
    return _("This slide is held by %(name)s until %(when)s.") % {
        "name": run.review_claimed_by,
        "when": formats.time_format(timezone.localtime(run.review_claimed_until), "TIME_FORMAT"),
    }


def is_held(run: AnalysisRun) -> bool:
    """Whether anybody's claim on the slide still runs."""
    return run.review_claimed_until is not None and run.review_claimed_until > timezone.now()


def blocked(actor: User, run: AnalysisRun) -> str:
    """Why this person cannot work on the slide just now; empty when they can."""
    free = not is_held(run) or run.review_claimed_by_id == actor.pk
    if run.status == AnalysisRun.Status.DONE and not run.signed_off_at and free:
        return ""
    return _why_not(run)


def release_slide(actor: User, run: AnalysisRun) -> None:
    """Give the slide back before the claim runs out. Raises ReviewConflict when it is not held."""
    require(actor, Verb.REVIEW_CLAIM, run)
    with transaction.atomic():
        mine = AnalysisRun.objects.filter(pk=run.pk, review_claimed_by=actor)
        if not mine.update(review_claimed_by=None, review_claimed_until=None):
            raise ReviewConflict(_("You do not hold this slide."))
        audit.record(actor, "review.release", run)


def decide(
    actor: User, cell: Cell, label: str, comment: str = "", *, alone: bool = True
) -> CellReview | SecondReview:
    """Put a person's word beside the machine's; an earlier one stays as a row that no longer stands.

    Where a second pathologist's call is asked for, another person's word than the first one's is that call,
    and does not change what the cell counts as; where two differ, a third one's word settles it. Claims the
    slide, or renews the claim. Of a cell that is not decided `alone` the caller has read the row with the
    case locked and the slide held, and looks afterwards at what open cells could change. Raises
    InvalidDecision for what cannot be decided, ReviewConflict when another person holds the slide or decides
    at the same time, or when this person cannot settle the cell.
    """
    require(actor, Verb.REVIEW_DECIDE, cell)
    _check_decision(cell, label, comment)
    try:
        with transaction.atomic():
            if alone:
                _hold_cell(actor, cell)
            said = _decide(actor, cell, label, comment)
            if alone:
                what_matters.refresh(cell.run.smear.case_id)
            return said
    except IntegrityError as error:
        raise ReviewConflict(_("Someone else decided on this cell at the same moment.")) from error


def _hold_cell(actor: User, cell: Cell) -> None:
    """With the case locked no two words on its cells are put at once, and who is second is certain."""
    cases.lock_case(cell.run.smear.case_id)
    hold(actor, cell.run)
    cell.refresh_from_db(fields=["double_reading"])


def _check_decision(cell: Cell, label: str, comment: str) -> None:
    if not cell.label:
        raise InvalidDecision(_("Only cells that were classified can be reviewed."))
    if label not in answers_for(cell):
        raise InvalidDecision(_("“%(label)s” is not a cell class.") % {"label": label})
    check_comment(comment)


def answers_for(cell: Cell) -> tuple[str, ...]:
    """What a person can call a cell: a class of its stream, or of a red cell also that it is none."""
    return RBC_ANSWERS if cell.kind == Kind.RBC else WBC_CLASSES


def check_comment(comment: str) -> None:
    """Raises InvalidDecision for a comment that is too long."""
    if len(comment) > MAX_COMMENT:
        raise InvalidDecision(_("A comment has at most %(n)d characters.") % {"n": MAX_COMMENT})


def _decide(actor: User, cell: Cell, label: str, comment: str) -> CellReview | SecondReview:
    standing = cell.reviews.filter(undone_at=None).first()
    word = double_reading.Word(actor, cell, label, comment)
    if standing and standing.reviewer_id != actor.pk and cell.double_reading == double_reading.State.WAITING:
        return double_reading.second(word, standing)
    if standing and cell.double_reading == double_reading.State.DIFFERS:
        if not review_queue.tasks(actor, cell.run).get(cell.pk):
            raise ReviewConflict(_("Two pathologists differ on this cell; a third one settles it."))
        return double_reading.settle(word, standing)
    return _first(word, standing)


def _first(word: double_reading.Word, standing: CellReview | None) -> CellReview:
    """The word that counts, until it is changed; said anew by its settler it still settles the cell."""
    actor, cell = word.actor, word.cell
    if standing and (standing.reviewer_id, standing.label, standing.comment) == word.said:
        return standing
    settles = standing.settles if standing and standing.reviewer_id == actor.pk else None
    state = double_reading.State.SETTLED if settles else double_reading.asked_for(word, standing)
    hidden = cell.pk in blind.veil(actor, cell.run, cell).machine
    said, _new = put_word(cell.reviews, actor, word.label, word.comment, blind=hidden, settles=settles)
    if state != cell.double_reading:
        Cell.objects.filter(pk=cell.pk).update(double_reading=state)
    detail: dict[str, Any] = {"machine": cell.label, "label": word.label}
    if hidden:
        detail["blind"] = True
    audit.record(actor, Verb.REVIEW_DECIDE, cell, number=cell.number, **detail)
    return said


def put_word(
    reviews: Manager[Word], actor: User, label: str, comment: str, **known: object
) -> tuple[Word, bool]:
    """Let a person's word stand among the reviews of one cell or staging, inside a transaction; `known` are
    further columns of its row.

    Returns its row, and whether it is a new one: the same word said again stays the same row.
    """
    standing = reviews.filter(undone_at=None).first()
    if standing and (standing.reviewer_id, standing.label, standing.comment) == (actor.pk, label, comment):
        return standing, False
    reviews.filter(undone_at=None).update(undone_at=timezone.now())
    return reviews.create(reviewer=actor, label=label, comment=comment, **known), True


def undo(actor: User, cell: Cell, *, alone: bool = True) -> None:
    """Take back one's own standing decision, or one's call as the second pathologist.

    `alone` as with `decide`. Raises ReviewConflict when there is none, or when a second pathologist has
    called the cell meanwhile.
    """
    require(actor, Verb.REVIEW_DECIDE, cell)
    with transaction.atomic():
        if alone:
            _hold_cell(actor, cell)
        if not double_reading.take_back_second(actor, cell):
            _undo_first(actor, cell)
        audit.record(actor, "review.undo", cell, number=cell.number)
        if alone:
            what_matters.refresh(cell.run.smear.case_id)


def _undo_first(actor: User, cell: Cell) -> None:
    own = cell.reviews.filter(reviewer=actor, undone_at=None).first()
    if own is None:
        raise ReviewConflict(_("There is no decision of yours on this cell to undo."))
    if cell.double_reading in double_reading.CALLED_TWICE:
        raise ReviewConflict(_("A second pathologist has called this cell; your call cannot be taken back."))
    cell.reviews.filter(pk=own.pk).update(undone_at=timezone.now())
    state = double_reading.differ_again(own.settles) if own.settles else ""
    Cell.objects.filter(pk=cell.pk).update(double_reading=state)


def skip(actor: User, cell: Cell, reason: str, comment: str = "") -> CellSkip:
    """Leave a cell open for now: it moves behind the others for this reader, and the next one is told why.

    Claims the slide, or renews the claim. Raises InvalidDecision for a reason that is none, ReviewConflict
    for a cell that does not wait for this reader or while another person holds the slide.
    """
    require(actor, Verb.REVIEW_DECIDE, cell)
    if reason not in CellSkip.Reason.values:
        known = ", ".join(CellSkip.Reason.values)
        text = _("“%(reason)s” is no reason to skip a cell. There are %(known)s.")
        raise InvalidDecision(text % {"reason": reason, "known": known})
    check_comment(comment)
    if reason == CellSkip.Reason.OTHER and not comment.strip():
        raise InvalidDecision(_("Say why you skip this cell."))
    with transaction.atomic():
        hold(actor, cell.run)
        if cell.pk not in review_queue.tasks(actor, cell.run):
            raise ReviewConflict(_("This cell does not wait for your call."))
        skipped = CellSkip.objects.create(cell=cell, reader=actor, reason=reason, comment=comment.strip())
        audit.record(actor, "review.skip", cell, number=cell.number, reason=reason)
    return skipped


def sign_off(actor: User, run: AnalysisRun) -> None:
    """Say that a slide has been reviewed. Raises NotComplete while a check of the gate is open that holds it
    up, ReviewConflict while another holds it."""
    require(actor, Verb.SLIDE_SIGN_OFF, run)
    case_id = run.smear.case_id
    with transaction.atomic():
        cases.lock_case(case_id)
        hold(actor, run)
        if reason := gate.says_open(gate.gate(case_id).of_slide(run.pk)):
            raise NotComplete(reason)
        AnalysisRun.objects.filter(pk=run.pk).update(
            signed_off_by=actor,
            signed_off_at=timezone.now(),
            review_claimed_by=None,
            review_claimed_until=None,
        )
        audit.record(actor, Verb.SLIDE_SIGN_OFF, run)
        settle_case(case_id)
    run.refresh_from_db()


def reopen(actor: User, case_id: UUID) -> None:
    """Open the slides of a case for review again, because its report is being amended."""
    require(actor, Verb.REPORT_AMEND)
    with transaction.atomic():
        cases.lock_case(case_id)
        for run in selectors.current_runs(case_id).exclude(signed_off_at=None):
            AnalysisRun.objects.filter(pk=run.pk).update(signed_off_by=None, signed_off_at=None)
            audit.record(actor, "review.reopen", run)
        settle_case(case_id)
