"""What pathologists do with the stage of a smear: agree, set another one, say that there is none, undo."""

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from cases import services as cases
from inference import review
from inference.models import AnalysisRun, StageCall, StageReview
from inference.names import NOT_STAGEABLE
from inference.pipeline.config import STAGES_OF_LEUKEMIA
from inference.review import InvalidDecision, ReviewConflict

ANSWERS = (*STAGES_OF_LEUKEMIA, NOT_STAGEABLE)
"""What a person can say of a smear."""


def decide(actor: User, run: AnalysisRun, label: str, comment: str = "") -> StageReview:
    """Put a person's word beside the machine's; an earlier one stays as a row that no longer stands.

    Claims the slide, or renews the claim. Raises InvalidDecision for what cannot be decided,
    ReviewConflict when another person holds the slide or decides at the same time.
    """
    require(actor, Verb.REVIEW_DECIDE, run)
    if label not in ANSWERS:
        raise InvalidDecision(_("“%(label)s” is not a stage.") % {"label": label})
    review.check_comment(comment)
    try:
        with transaction.atomic():
            return _decide(actor, _staged(run), label, comment)
    except IntegrityError as error:
        raise ReviewConflict(_("Someone else answered this staging at the same moment.")) from error


def _staged(run: AnalysisRun) -> StageCall:
    """The machine's word, with the case locked, so that the request is not withdrawn at the same moment."""
    if not cases.lock_case(run.smear.case_id).staging_requested:
        raise InvalidDecision(_("Staging was not requested for this case."))
    call = StageCall.objects.filter(run=run, status=StageCall.Status.DONE).first()
    if call is None:
        raise InvalidDecision(_("The staging of this slide is not finished."))
    return call


def _decide(actor: User, call: StageCall, label: str, comment: str) -> StageReview:
    review.hold(actor, call.run)
    said, is_new = review.put_word(call.reviews, actor, label, comment)
    if is_new:
        audit.record(actor, "staging.decide", call.run, machine=call.label, label=label)
    return said


def undo(actor: User, run: AnalysisRun) -> None:
    """Take back one's own standing answer. Raises ReviewConflict when there is none."""
    require(actor, Verb.REVIEW_DECIDE, run)
    with transaction.atomic():
        review.hold(actor, run)
        own = StageReview.objects.filter(stage_call__run=run, reviewer=actor, undone_at=None)
        if not own.update(undone_at=timezone.now()):
            raise ReviewConflict(_("There is no answer of yours to this staging to undo."))
        audit.record(actor, "staging.undo", run)
