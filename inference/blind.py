"""What a reader does not see before calling a cell: the machine's call where the cell is called blind, and
the first pathologist's call where a second one is asked for."""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from accounts.permissions import Verb, may
from accounts.types import User
from inference.cell_facts import CellFacts
from inference.models import AnalysisRun, Cell, CellReview, SecondReview
from inference.results import Cells, ReviewedCell, Row
from inference.selectors import STANDING

MACHINES: dict[str, object] = {
    "label": "",
    "confidence": None,
    "probabilities": {},
    "abstained": False,
    "prediction_sets": {},
    "ood_score": None,
    "out_of_distribution": False,
    "second_call": {},
    "review_reasons": [],
    "focus_ratio": None,
    "heatmap_strength": None,
    "explanation": {},
    "remediation": {},
    "reading": {},
    "description": {},
    "stakes": None,
    "heatmap": "",
    "is_veiled": True,
}
"""The columns that tell the machine's call, or that follow from it, and what stands in them while hidden."""

_HIDDEN_FACTS: dict[str, Any] = {
    name: nothing for name, nothing in MACHINES.items() if name in CellFacts._fields
}


class Hidden(Exception):
    """What was asked for would tell the reader a call that is hidden; the text is for the person."""

    code = "hidden_until_called"

    def __init__(self) -> None:
        self.text = _("The machine's call is hidden until you have called the cell.")
        super().__init__(self.text)


def is_drawn(run_id: UUID, number: int, percent: int) -> bool:
    """Whether a cell is among the `percent` of cells that are called blind: by a hash, so that it is the same
    for every reader and at every look, and a greater share takes cells in and drops none."""
    digest = sha256(f"{run_id}:{number}".encode()).digest()
    return int.from_bytes(digest[:8]) % 100 < percent


def called_by(user: User) -> Any:
    """An expression on cells: whether this reader has ever called them, taken back or not."""
    first = CellReview.objects.filter(cell=OuterRef("pk"), reviewer=user)
    second = SecondReview.objects.filter(cell=OuterRef("pk"), reviewer=user)
    return Exists(first) | Exists(second)


@dataclass(frozen=True, slots=True)
class Veil:
    """The keys of the cells whose `machine`'s call, and of those whose first pathologist's call is hidden
    from one reader."""

    machine: frozenset[int] = frozenset()
    persons: frozenset[int] = frozenset()

    def over(self, cells: Sequence[ReviewedCell[CellFacts]]) -> list[ReviewedCell[CellFacts]]:
        return [self.over_one(cell) for cell in cells]

    def over_one(self, cell: ReviewedCell[Row]) -> ReviewedCell[Row]:
        """The cell as the reader may see it."""
        row = stripped(cell.row) if cell.row.pk in self.machine else cell.row
        review = None if cell.row.pk in self.persons else cell.review
        return replace(cell, row=row, review=review)

    def over_all(self, cells: Cells) -> Cells:
        """The cells of a slide as the reader may see them: what is hidden is counted as not classified."""
        if not self.machine and not self.persons:
            return cells
        return replace(cells, called=self.over(cells.called), red=self.over(cells.red))

    def label(self, key: int, machine: str, said: str | None) -> str:
        """What a cell counts as for the reader, from the machine's call and the word that stands; empty where
        that is hidden."""
        if said is not None and key not in self.persons:
            return said
        return "" if key in self.machine else machine

    @property
    def either(self) -> frozenset[int]:
        return self.machine | self.persons


def veil(user: User, run: AnalysisRun, only: Cell | None = None) -> Veil:
    """What of a slide, or of one of its cells, is hidden from a person; nothing from those who review no
    cells, nor of a slide that is signed off."""
    if run.signed_off_at or not may(user, Verb.REVIEW_DECIDE):
        return Veil()
    percent, waiting = run.lab.blind_percent, Cell.DoubleReading.WAITING
    asked = Q(double_reading=waiting) | Q(needs_review=True) if percent else Q(double_reading=waiting)
    cells = run.cells.filter(asked).exclude(label="").order_by()
    if only is not None:
        cells = cells.filter(pk=only.pk)
    seconds = SecondReview.objects.filter(cell=OuterRef("pk"), reviewer=user)
    marked = cells.annotate(
        called_before=called_by(user),
        is_called=Exists(STANDING),
        knows_first=Exists(STANDING.filter(reviewer=user)) | Exists(seconds),
    )
    columns = ("pk", "number", "double_reading", "called_before", "is_called", "knows_first")
    return _veil(run, percent, marked.values_list(*columns))


def _veil(run: AnalysisRun, percent: int, rows: Iterable[tuple[Any, ...]]) -> Veil:
    machine, persons = [], []
    for key, number, state, called_before, is_called, knows_first in rows:
        waits = state == Cell.DoubleReading.WAITING
        if waits and not knows_first:
            persons.append(key)
        if (waits or not is_called) and not called_before and is_drawn(run.pk, number, percent):
            machine.append(key)
    return Veil(frozenset(machine), frozenset(persons))


def stripped(row: Row) -> Row:
    """A cell without the machine's call; of a row it is a copy, which is shown and never saved."""
    if isinstance(row, CellFacts):
        return row._replace(**_HIDDEN_FACTS)
    bare = copy(row)
    for column, nothing in MACHINES.items():
        setattr(bare, column, nothing)
    return bare


def for_reader(cell: Cell) -> Cell:
    """A cell of the queue, marked with `called_before`, as its reader may see it; its run comes with the
    laboratory. Who settles what two called differently sees all calls."""
    called_before: bool = cell.called_before  # type: ignore[attr-defined]
    settles = cell.double_reading == Cell.DoubleReading.DIFFERS
    drawn = is_drawn(cell.run_id, cell.number, cell.run.lab.blind_percent)
    return stripped(cell) if drawn and not called_before and not settles else cell


def refuse_hidden(user: User, cell: Cell) -> None:
    """Raises Hidden where the machine's call on a cell is hidden from a person."""
    if veil(user, cell.run, cell).machine:
        raise Hidden
