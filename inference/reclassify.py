"""Many cells of one slide called in one transaction, and put back as they were, by the verbs of the desk.

What cannot be done to one cell is said of that cell; the others are done.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.permissions import Verb, require
from accounts.types import User
from cases import services as cases
from inference import blind, names, review, selectors, what_matters
from inference.models import AnalysisRun, Cell, CellReview, SecondReview
from inference.review import InvalidDecision, ReviewConflict

MOST = 500
"""So many cells are called at a time: the case is locked meanwhile."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A cell by its number, and the id of the person's word that was seen standing on it; None: none was."""

    number: int
    seen: int | None


@dataclass(frozen=True, slots=True)
class Wanted(Asked):
    """A cell that is to be called `label`."""

    label: str


@dataclass(frozen=True, slots=True)
class Back(Asked):
    """A cell that is to be as it was when the word `back_to` stood; None: no person's word. Where that is the
    first pathologist's, which stands still, it is the second one's call that is taken back."""

    back_to: int | None


@dataclass(frozen=True, slots=True)
class Changed:
    """A cell that was done: the ids of the words that stood before and stand after, what it counts as,
    whether that corrects the machine, and whether the `second` pathologist's call came or went."""

    number: int
    before: int | None
    after: int | None
    label: str
    corrected: bool
    second: bool = False


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A cell that was left as it is; the text is for the person."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the cells that were asked for, in the order in which they were."""

    changed: list[Changed]
    unchanged: list[Unchanged]


One = TypeVar("One", bound=Asked)


@dataclass(frozen=True, slots=True)
class Held(Generic[One]):
    """A cell under the lock: what is asked of it, its row, the word that stands, and whether that one is
    hidden from the actor."""

    asked: One
    cell: Cell
    standing: CellReview | None
    hidden: bool


def decide_many(actor: User, run: AnalysisRun, wanted: Sequence[Wanted]) -> Outcome:
    """Call cells; one's own comment stays with a cell, as it does on the desk.

    Claims the slide, or renews the claim. Raises InvalidDecision for too many cells or the same one twice,
    ReviewConflict when the slide cannot be worked on.
    """

    def call(held: Held[Wanted]) -> None:
        own = held.standing if held.standing and held.standing.reviewer_id == actor.pk else None
        review.decide(actor, held.cell, held.asked.label, own.comment if own else "", alone=False)

    return _each(actor, run, wanted, call)


def put_back(actor: User, run: AnalysisRun, backs: Sequence[Back]) -> Outcome:
    """Take one's own calls back so that cells count as they did before, or do so again.

    Nothing in the history changes: an earlier word is said anew, by the actor. Raises as `decide_many` does.
    """
    asked_for = [back.back_to for back in backs if back.back_to]
    words = CellReview.objects.filter(cell__run=run).select_related("reviewer").in_bulk(asked_for)

    def back(held: Held[Back]) -> None:
        if _is_undone(actor, held):
            review.undo(actor, held.cell, alone=False)
            return
        if held.standing and held.standing.reviewer_id != actor.pk:
            raise ReviewConflict(_of_another(held.standing, held.hidden))
        word = words.get(held.asked.back_to or 0)
        if word is None or word.cell_id != held.cell.pk:
            raise InvalidDecision(_("There never was such a call on this cell."))
        review.decide(actor, held.cell, word.label, _comment(actor, word), alone=False)

    return _each(actor, run, backs, back)


def _is_undone(actor: User, held: Held[Back]) -> bool:
    """Whether the desk's undo leads back: from no earlier word; for a second pathologist, whose call left the
    first one standing; and for who settled a cell on which two differ."""
    standing, back_to = held.standing, held.asked.back_to
    if standing and standing.reviewer_id != actor.pk:
        return back_to == standing.pk
    settled = standing.settles.first_id if standing and standing.settles else None
    return back_to in (None, settled)


def _of_another(word: CellReview, hidden: bool) -> str:
    if hidden:
        return _("A colleague called it; only they can take that back.")
    return _("%(name)s called it %(label)s; only they can take that back.") % _told(word)


def _comment(actor: User, word: CellReview) -> str:
    """The comment of an earlier word said anew: one's own as it was, another person's under their name."""
    if word.reviewer_id == actor.pk:
        return word.comment
    text = _("as %(name)s had called it") % {"name": word.reviewer}
    return (f"{text}: {word.comment}" if word.comment else text)[: review.MAX_COMMENT]


def _each(actor: User, run: AnalysisRun, asked: Sequence[One], act: Callable[[Held[One]], None]) -> Outcome:
    require(actor, Verb.REVIEW_DECIDE, run)
    _check(asked)
    by_number = {one.number: one for one in asked}
    with transaction.atomic():
        cases.lock_case(run.smear.case_id)
        review.hold(actor, run)
        cells = {
            cell.number: cell for cell in selectors.cells_for(actor).filter(run=run, number__in=by_number)
        }
        before, seconds = _standing(cells.values()), _seconds(actor, cells.values())
        hidden = blind.veil(actor, run).persons
        found = {
            number: Held(one, cell, before.get(number), cell.pk in hidden)
            for number, one in by_number.items()
            if (cell := cells.get(number))
        }
        refused = {number: _refused(found.get(number), act) for number in by_number}
        what_matters.refresh(run.smear.case_id)
        after, moved = _standing(cells.values()), seconds ^ _seconds(actor, cells.values())
    return Outcome(
        [
            _changed(cells[n], before.get(n), after.get(n), cells[n].pk in moved)
            for n, why in refused.items()
            if not why
        ],
        [Unchanged(n, why) for n, why in refused.items() if why],
    )


def _check(asked: Sequence[Asked]) -> None:
    if not 0 < len(asked) <= MOST:
        text = _("Call 1 to %(most)d cells at a time, not %(n)d.")
        raise InvalidDecision(text % {"most": MOST, "n": len(asked)})
    twice = [number for number, times in Counter(one.number for one in asked).items() if times > 1]
    if twice:
        raise InvalidDecision(_("Cell %(number)d was named twice.") % {"number": twice[0]})


def _standing(cells: Iterable[Cell]) -> dict[int, CellReview]:
    """The words that stand on some cells, by the number of the cell."""
    said = CellReview.objects.filter(cell__in=[cell.pk for cell in cells], undone_at=None)
    return {word.cell.number: word for word in said.select_related("reviewer", "cell", "settles")}


def _seconds(actor: User, cells: Iterable[Cell]) -> set[int]:
    """The cells, by key, that the actor called as the second pathologist."""
    own = SecondReview.objects.filter(cell__in=[cell.pk for cell in cells], reviewer=actor, undone_at=None)
    return set(own.values_list("cell_id", flat=True))


def _refused(held: Held[One] | None, act: Callable[[Held[One]], None]) -> str:
    """Why a cell was left as it is; empty when it was done."""
    if held is None:
        return _("There is no cell of this number on the smear.")
    if (held.standing.pk if held.standing else None) != held.asked.seen:
        return _meanwhile(held.standing, held.hidden)
    try:
        act(held)
    except ReviewConflict as conflict:
        return conflict.text
    return ""


def _meanwhile(standing: CellReview | None, hidden: bool) -> str:
    if standing is None:
        return _("The call that stood on it was taken back meanwhile.")
    if hidden:
        return _("A colleague called it meanwhile.")
    return _("%(name)s called it %(label)s meanwhile.") % _told(standing)


def _told(word: CellReview) -> dict[str, str]:
    return {"name": str(word.reviewer), "label": names.class_name(word.label)}


def _changed(cell: Cell, before: CellReview | None, after: CellReview | None, second: bool) -> Changed:
    label = after.label if after else cell.label
    ids = (before.pk if before else None, after.pk if after else None)
    return Changed(cell.number, *ids, label, after is not None and label != cell.label, second)
