"""What pathologists do with a slide: claim it, decide cell by cell, undo, sign it off, open it again."""

from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db import IntegrityError, transaction
from django.db.models import Manager, Q
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from cases import services as cases
from inference import selectors, staged
from inference.models import AnalysisRun, Cell, CellReview, PersonsWord
from inference.pipeline.config import WBC_CLASSES
from inference.runs import settle_case

MAX_COMMENT = CellReview._meta.get_field("comment").max_length or 0

Word = TypeVar("Word", bound=PersonsWord)


class ReviewConflict(Exception):
    """The slide or cell is not in the state that was asked for; the text is for the person."""

    code = "review_conflict"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


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


def decide(actor: User, cell: Cell, label: str, comment: str = "") -> CellReview:
    """Put a person's word beside the machine's; an earlier one stays as a row that no longer stands.

    Claims the slide, or renews the claim. Raises InvalidDecision for what cannot be decided,
    ReviewConflict when another person holds the slide or decides at the same time.
    """
    require(actor, Verb.REVIEW_DECIDE, cell)
    _check_decision(cell, label, comment)
    try:
        with transaction.atomic():
            return _decide(actor, cell, label, comment)
    except IntegrityError as error:
        raise ReviewConflict(_("Someone else decided on this cell at the same moment.")) from error


def _check_decision(cell: Cell, label: str, comment: str) -> None:
    if not cell.label:
        raise InvalidDecision(_("Only cells that were classified can be reviewed."))
    if label not in WBC_CLASSES:
        raise InvalidDecision(_("“%(label)s” is not a cell class.") % {"label": label})
    check_comment(comment)


def check_comment(comment: str) -> None:
    """Raises InvalidDecision for a comment that is too long."""
    if len(comment) > MAX_COMMENT:
        raise InvalidDecision(_("A comment has at most %(n)d characters.") % {"n": MAX_COMMENT})


def _decide(actor: User, cell: Cell, label: str, comment: str) -> CellReview:
    hold(actor, cell.run)
    said, is_new = put_word(cell.reviews, actor, label, comment)
    if is_new:
        audit.record(actor, Verb.REVIEW_DECIDE, cell, number=cell.number, machine=cell.label, label=label)
    return said


def put_word(reviews: Manager[Word], actor: User, label: str, comment: str) -> tuple[Word, bool]:
    """Let a person's word stand among the reviews of one cell or staging, inside a transaction.

    Returns its row, and whether it is a new one: the same word said again stays the same row.
    """
    standing = reviews.filter(undone_at=None).first()
    if standing and (standing.reviewer_id, standing.label, standing.comment) == (actor.pk, label, comment):
        return standing, False
    reviews.filter(undone_at=None).update(undone_at=timezone.now())
    return reviews.create(reviewer=actor, label=label, comment=comment), True


def undo(actor: User, cell: Cell) -> None:
    """Take back one's own standing decision. Raises ReviewConflict when there is none."""
    require(actor, Verb.REVIEW_DECIDE, cell)
    with transaction.atomic():
        hold(actor, cell.run)
        own = CellReview.objects.filter(cell=cell, reviewer=actor, undone_at=None)
        if not own.update(undone_at=timezone.now()):
            raise ReviewConflict(_("There is no decision of yours on this cell to undo."))
        audit.record(actor, "review.undo", cell, number=cell.number)


def sign_off(actor: User, run: AnalysisRun) -> None:
    """Say that a slide has been reviewed. Raises ReviewConflict while a cell or its staging is open, or
    another holds it."""
    require(actor, Verb.SLIDE_SIGN_OFF, run)
    case_id = run.smear.case_id
    with transaction.atomic():
        cases.lock_case(case_id)
        hold(actor, run)
        if still_open := selectors.open_cells(run).count():
            raise ReviewConflict(sign_off_blocked(still_open))
        if reason := staged.staged(selectors.run_for(actor, run.pk)).blocks_sign_off:
            raise ReviewConflict(reason)
        AnalysisRun.objects.filter(pk=run.pk).update(
            signed_off_by=actor,
            signed_off_at=timezone.now(),
            review_claimed_by=None,
            review_claimed_until=None,
        )
        audit.record(actor, Verb.SLIDE_SIGN_OFF, run)
        settle_case(case_id)
    run.refresh_from_db()


def sign_off_blocked(still_open: int) -> str:
    """Why a slide with open cells cannot be signed off."""
    return ngettext("%(n)s cell still needs review.", "%(n)s cells still need review.", still_open) % {
        "n": intcomma(still_open)
    }


def reopen(actor: User, case_id: UUID) -> None:
    """Open the slides of a case for review again, because its report is being amended."""
    require(actor, Verb.REPORT_AMEND)
    with transaction.atomic():
        cases.lock_case(case_id)
        for run in selectors.current_runs(case_id).exclude(signed_off_at=None):
            AnalysisRun.objects.filter(pk=run.pk).update(signed_off_by=None, signed_off_at=None)
            audit.record(actor, "review.reopen", run)
        settle_case(case_id)
