"""Two versions of a report beside each other, and who changed each cell, when and why."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.types import User
from inference.selectors import Spoken, last_words

from . import selectors
from .difference import CellChange, Difference, difference
from .models import Report


@dataclass(frozen=True, slots=True)
class ToldChange:
    """A cell that changed, and the word of a person that changed it; None where none is known."""

    cell: CellChange
    word: Spoken | None


@dataclass(frozen=True, slots=True)
class Compared:
    """What changed from one version to another; `reason` is why the later one was begun."""

    difference: Difference
    reason: str
    cells: tuple[ToldChange, ...]


def compared(user: User, case_id: UUID, before: int, after: int) -> Compared:
    """Two versions of a case's report; Http404 where there is no such version, or no right to it."""
    first, second = (selectors.report_for(user, case_id, version) for version in (before, after))
    found = difference(selectors.content_of(first), selectors.content_of(second))
    runs = {UUID(change.run_id) for change in found.cells}
    numbers = {change.number for change in found.cells}
    words = last_words(runs, numbers, _until(first, second)) if found.cells else {}
    cells = tuple(
        ToldChange(change, words.get((UUID(change.run_id), change.number))) for change in found.cells
    )
    return Compared(found, second.amendment_reason, cells)


def _until(*reports: Report) -> datetime | None:
    """Until when words went into the later version; None while it is a draft."""
    signed = [report.signed_at for report in reports]
    return None if None in signed else max(moment for moment in signed if moment)
