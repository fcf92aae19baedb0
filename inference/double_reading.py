"""Double reading: a second pathologist, never the first, calls a cell without seeing the first one's call;
where the two differ, a third person's call stands.

All of it happens inside the transaction of `inference.review` that has locked the case.
"""

from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from accounts import audit
from accounts.permissions import Verb
from accounts.selectors import double_reading_of, people_with
from accounts.types import DoubleReading, User
from inference import blind, what_matters
from inference.models import AnalysisRun, Cell, CellReview, SecondReview

State = Cell.DoubleReading
CALLED_TWICE = (State.AGREED, State.DIFFERS)
"""A second pathologist has called the cell, and nobody has settled it."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a person is about to say of a cell."""

    actor: User
    cell: Cell
    label: str
    comment: str

    @property
    def said(self) -> tuple[UUID, str, str]:
        return self.actor.pk, self.label, self.comment


def asked_for(word: Word, standing: CellReview | None) -> str:
    """Whether a second pathologist's call is asked for with a first one, as the state of the cell.

    Near a decision limit the two networks disagree on a cell whose call could change a flag, a threshold or
    the side of a reference limit, by what it could be or by what the first pathologist says that it is.
    """
    cell, wanted = word.cell, double_reading_of(word.actor.lab_id)
    now = standing.label if standing else cell.label
    near = (
        wanted == DoubleReading.NEAR
        and "networks_disagree" in cell.review_reasons
        and _has_two_readers(word.actor.lab_id)
        and what_matters.bears(cell, now, word.label)
    )
    return State.WAITING if near or wanted == DoubleReading.ALL else ""


def _has_two_readers(lab_id: UUID) -> bool:
    """Whether somebody is there beside the first reader; a cell would wait for ever for nobody."""
    return people_with(Verb.REVIEW_DECIDE, lab_id)[1:2].exists()


def second(word: Word, first: CellReview) -> SecondReview:
    """The second pathologist's call beside the first one, which goes on to count."""
    actor, cell = word.actor, word.cell
    said = SecondReview.objects.create(
        cell=cell,
        first=first,
        reviewer=actor,
        label=word.label,
        comment=word.comment,
        blind=cell.pk in blind.veil(actor, cell.run, cell).machine,
        informed=Cell.objects.filter(blind.called_by(actor), pk=cell.pk).exists(),
    )
    agrees = said.label == first.label
    _move(cell, State.AGREED if agrees else State.DIFFERS)
    audit.record(actor, "review.second", cell, number=cell.number, label=said.label, agrees=agrees)
    return said


def settle(word: Word, first: CellReview) -> CellReview:
    """A third person's call between two that differ: it counts from now on; both stay as rows."""
    actor, cell = word.actor, word.cell
    other = SecondReview.objects.get(first=first, undone_at=None)
    CellReview.objects.filter(pk=first.pk).update(undone_at=timezone.now())
    said = CellReview.objects.create(
        cell=cell, reviewer=actor, label=word.label, comment=word.comment, settles=other
    )
    _move(cell, State.SETTLED)
    between = [first.label, other.label]
    audit.record(actor, "review.settle", cell, number=cell.number, label=said.label, between=between)
    return said


def differ_again(other: SecondReview) -> str:
    """The call that settled a cell was taken back: the first one counts again, and the two differ."""
    CellReview.objects.filter(pk=other.first_id).update(undone_at=None)
    return State.DIFFERS


def take_back_second(actor: User, cell: Cell) -> bool:
    """Take back one's own call as the second pathologist as long as nobody has built on it; false if there is
    none."""
    if cell.double_reading not in CALLED_TWICE:
        return False
    own = SecondReview.objects.filter(cell=cell, reviewer=actor, undone_at=None, first__undone_at=None)
    if not own.update(undone_at=timezone.now()):
        return False
    _move(cell, State.WAITING)
    return True


def follow_settings(lab_id: UUID) -> None:
    """Where a laboratory asks for no second pathologist any more, or for none but near a limit and has nobody
    left who could be the second one, cells that wait for one do so no longer."""
    wanted = double_reading_of(lab_id)
    if wanted == DoubleReading.OFF or (wanted == DoubleReading.NEAR and not _has_two_readers(lab_id)):
        unsigned = AnalysisRun.objects.filter(lab=lab_id, signed_off_at=None).order_by()
        Cell.objects.filter(run__in=unsigned, double_reading=State.WAITING).update(double_reading="")


def _move(cell: Cell, state: str) -> None:
    Cell.objects.filter(pk=cell.pk).update(double_reading=state)
    cell.double_reading = state
