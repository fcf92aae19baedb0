"""What a pathologist does about an alarm of mixed-up samples: say that the identity was checked."""

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from cases import services as cases
from inference import review
from inference.identity import identity
from inference.models import AnalysisRun, IdentityCheck
from inference.review import InvalidDecision, ReviewConflict


def acknowledge(actor: User, run: AnalysisRun, comment: str) -> IdentityCheck:
    """Say of a case that its blood is this patient's, and how that was checked.

    Claims the slide, or renews the claim. Raises InvalidDecision without a word on how, ReviewConflict when
    there is nothing to check or another person holds the slide.
    """
    require(actor, Verb.SLIDE_SIGN_OFF, run)
    review.check_comment(comment)
    if not comment.strip():
        raise InvalidDecision(_("Say how the identity of the sample was checked."))
    with transaction.atomic():
        cases.lock_case(run.smear.case_id)
        review.hold(actor, run)
        found = identity(run)
        if not found.is_open or found.earlier is None:
            raise ReviewConflict(_("There is no doubt about the identity of this sample to answer."))
        check = IdentityCheck.objects.create(
            lab=run.lab,
            case_id=run.smear.case_id,
            earlier_id=found.earlier.case_id,
            classes=[change.key for change in found.alarming],
            checked_by=actor,
            comment=comment.strip(),
        )
        earlier, days = found.earlier.accession, round(found.days, 1)
        audit.record(actor, "identity.check", run, classes=check.classes, earlier=earlier, days=days)
    return check
