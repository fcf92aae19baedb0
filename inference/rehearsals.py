"""What can happen to the rehearsal of a network on signed cases; nothing of the cases is changed by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from inference import candidates, selectors
from inference.candidates import NetworkConflict
from inference.claims import Queue
from inference.models import AnalysisRun, CandidateNetwork, CellReview, Rehearsal, RehearsedCase
from inference.pipeline.findings import Kind
from inference.pseudonyms import VAL, part_of, pseudonym
from inference.rehearsal_figures import Agreement
from inference.results import ReviewedCell

Status = Rehearsal.Status

REHEARSE_TASK = "inference.tasks.rehearse_network"
QUEUE = Queue(Rehearsal, REHEARSE_TASK, "candidate", {"progress": 0.0})

MOST_CASES = 200
USUAL_CASES = 20
SIGNED = ("ready", "reported")
"""The states of a case all of whose smears are signed off."""

UNREAD = ("probabilities", "explanation", "remediation", "reading", "description", "embedding")


# --- what is rehearsed on -------------------------------------------------------------------------
def signed_cases(lab_id: UUID, wanted: int) -> list[UUID]:
    """The signed cases of a laboratory whose smears were analysed, last signed first, at most so many."""
    signed = AnalysisRun.objects.filter(
        lab_id=lab_id, status=AnalysisRun.Status.DONE, smear__case__status__in=SIGNED
    ).exclude(signed_off_at=None)
    by_case = signed.order_by().values("smear__case_id").annotate(last=Max("signed_off_at"))
    return list(by_case.order_by("-last").values_list("smear__case_id", flat=True)[:wanted])


def signed_cells(case_id: UUID) -> list[ReviewedCell]:
    """The white cells that the machine called in the smears of a case, each with the review that stands."""
    runs = list(selectors.current_runs(case_id).exclude(signed_off_at=None))
    reviews = CellReview.objects.filter(cell__run__in=runs, undone_at=None)
    standing = {review.cell_id: review for review in reviews}
    return [
        ReviewedCell(row, standing.get(row.pk))
        for run in runs
        for row in run.cells.exclude(label="").exclude(kind=Kind.RBC).defer(*UNREAD).order_by("number")
    ]


# --- what happens to one --------------------------------------------------------------------------
def request(actor: User, candidate: CandidateNetwork, cases: int) -> Rehearsal:
    """Queue a rehearsal. Raises NetworkConflict while another one of the candidate is at work or for a number
    of cases out of bounds, NetworkUnavailable for damaged files."""
    require(actor, Verb.LAB_NETWORKS, candidate)
    if not 1 <= cases <= MOST_CASES:
        raise NetworkConflict(_("A network is rehearsed on 1 to %(n)d cases.") % {"n": MOST_CASES})
    candidates.folder(candidate)
    try:
        with transaction.atomic():
            rehearsal = Rehearsal.objects.create(
                lab=candidate.lab, candidate=candidate, requested_by=actor, cases_wanted=cases
            )
            audit.record(actor, "network.rehearse", rehearsal, version=candidate.version, cases=cases)
            QUEUE.send_on_commit(str(rehearsal.pk))
    except IntegrityError as error:
        raise NetworkConflict(_("This network is being rehearsed already.")) from error
    return rehearsal


def begin(key: UUID, token: UUID) -> None:
    """Forget what a rehearsal that was cut off had found. Raises HoldLost when the hold is over."""
    with transaction.atomic():
        QUEUE.beat(key, token)
        RehearsedCase.objects.filter(rehearsal=key).delete()


def save_case(key: UUID, token: UUID, found: tuple[int, UUID, dict[str, Any]], progress: float) -> None:
    """Keep what would change in one case: its place, its id, the figures. Raises HoldLost."""
    place, case_id, result = found
    with transaction.atomic():
        QUEUE.update_held(key, token, progress=progress, heartbeat_at=timezone.now())
        RehearsedCase.objects.create(rehearsal_id=key, place=place, case_id=case_id, result=result)


def save(key: UUID, token: UUID) -> None:
    """running → done. Raises HoldLost when the hold is over."""
    rehearsal = QUEUE.held(key, token)
    with transaction.atomic():
        QUEUE.update_held(key, token, status=Status.DONE, progress=1.0, finished_at=timezone.now())
        audit.record(None, "network.rehearsed", rehearsal, cases=rehearsal.cases.count())


def fail(key: UUID | str, token: UUID, code: str, message: str) -> None:
    """running → failed with a sentence for the user. Raises HoldLost when the hold is over."""
    rehearsal = QUEUE.held(key, token)
    with transaction.atomic():
        QUEUE.fail(key, token, code, message)
        audit.record(None, "network.rehearsal_failed", rehearsal, audit.FAILED, code=code)


def sweep() -> None:
    """Take up what a dead worker or a broker that was down left behind."""
    QUEUE.sweep(_take_up)


def _take_up(rehearsal: Rehearsal) -> None:
    text = _("The rehearsal was interrupted %(n)d times and was given up. Rehearse on fewer cases.")
    with transaction.atomic():
        if became := QUEUE.take_up(rehearsal, text % {"n": rehearsal.attempts}):
            outcome = audit.FAILED if became == Status.FAILED else audit.DONE
            audit.record(None, f"network.rehearsal_{became}", rehearsal, outcome, code="worker_lost")


# --- what is read of one --------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Totals:
    """The figures of all cases of a rehearsal: sums, and the agreement with people on all their cells and on
    those of patients that an export of labels leaves for validation."""

    cases: int
    cells: int
    left_out: int
    changed: int
    to_review: int
    from_review: int
    flagged: int
    agreement: Agreement
    held_out: Agreement


def rehearsals_for(user: User) -> QuerySet[Rehearsal]:
    return Rehearsal.objects.filter(lab=user.lab_id).select_related("candidate", "requested_by", "lab")


def rehearsal_for(user: User, rehearsal_id: UUID) -> Rehearsal:
    """One rehearsal; Http404 outside the laboratory."""
    return get_object_or_404(rehearsals_for(user), pk=rehearsal_id)


def cases_of(rehearsal: Rehearsal) -> QuerySet[RehearsedCase]:
    """What would change, case by case, in the order in which they were rehearsed."""
    return rehearsal.cases.select_related("case").order_by("place")


def totals(rehearsal: Rehearsal) -> Totals:
    """The figures of all cases."""
    rows = list(rehearsal.cases.values_list("result", "case__patient_id"))
    found = [result for result, _patient in rows]
    kept = [result for result, patient in rows if part_of(pseudonym("patient", patient)) == VAL]
    counted = ("cells", "left_out", "changed", "to_review", "from_review")
    return Totals(
        cases=len(found),
        flagged=sum(bool(result["appeared"] or result["vanished"]) for result in found),
        agreement=_agreed(found),
        held_out=_agreed(kept),
        **{name: sum(result[name] for result in found) for name in counted},
    )


def _agreed(found: Sequence[dict[str, Any]]) -> Agreement:
    whole = Agreement()
    for result in found:
        whole = whole.plus(Agreement(**result["agreement"]))
    return whole
