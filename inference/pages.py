"""What the result page and the review page show, gathered from rows."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from accounts.permissions import Verb, may
from accounts.types import User
from inference import names, results, review, selectors
from inference.models import AnalysisRun
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.findings import Aggregate
from inference.results import Cells, ClassLine, ReviewedCell
from inference.staged import StagedSmear, staged


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of a finished run as pages show them."""

    run: AnalysisRun
    cells: Cells
    aggregate: Aggregate
    lines: tuple[ClassLine, ...]
    staging: StagedSmear

    @property
    def open_count(self) -> int:
        return self.cells.open_count

    @property
    def pixel_source(self) -> str:
        return names.source_name(self.run.pixel_um_source)


def result(run: AnalysisRun) -> Result:
    cells = selectors.cells_of([run])
    counted = cells.figures()
    ranges = selectors.reference_ranges(run.lab)
    return Result(run, cells, counted, results.lines(counted, ranges), staged(run))


def number(text: str) -> int | None:
    """The number of a cell as an address gives it; None where it gives none."""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def probabilities(cell: ReviewedCell) -> list[tuple[str, float]]:
    """The machine's probabilities, most likely class first."""
    return sorted(cell.row.probabilities.items(), key=lambda item: -item[1])


@dataclass(frozen=True, slots=True)
class Choice:
    """A class that a cell can be given, and the key that gives it."""

    label: str
    name: str
    key: str


STRIP = 48
"""So many cells lie beside the one in hand."""

CHOICES = [(label, names.CLASS_KEYS[label]) for label in WBC_CLASSES]


@dataclass(frozen=True, slots=True)
class Desk:
    """A slide on the pathologist's desk: the cell in hand, its neighbours in the order of review with the
    place of the first of them, how many there are in all, and what stands in the way."""

    result: Result
    cell: ReviewedCell | None
    strip: list[ReviewedCell]
    strip_from: int
    reviewable: int
    before: ReviewedCell | None
    after: ReviewedCell | None
    blocked: str
    sign_off_blocked: str
    mine: bool
    undoable: int | None

    @property
    def run(self) -> AnalysisRun:
        return self.result.run

    @property
    def strip_to(self) -> int:
        return self.strip_from + len(self.strip) - 1

    @property
    def choices(self) -> list[Choice]:
        return [Choice(label, names.class_name(label), key) for label, key in CHOICES]

    @property
    def probabilities(self) -> list[tuple[str, float]]:
        return probabilities(self.cell) if self.cell else []


def desk(user: User, run: AnalysisRun, number: int | None = None) -> Desk:
    """The slide with the asked cell in hand or, without a number, the first one that is open."""
    shown = result(run)
    order = sorted(shown.cells.called, key=_review_order)
    place = _place(order, number)
    first = max(0, min(place - STRIP // 2, len(order) - STRIP))
    blocked = review.blocked(user, run)
    waiting = review.sign_off_blocked(shown.open_count) if shown.open_count else ""
    return Desk(
        result=shown,
        cell=order[place] if order else None,
        strip=order[first : first + STRIP],
        strip_from=first + 1,
        reviewable=len(order),
        before=order[place - 1] if place > 0 else None,
        after=order[place + 1] if place + 1 < len(order) else None,
        blocked=blocked,
        sign_off_blocked=blocked or waiting or shown.staging.blocks_sign_off or _may_not_sign(user),
        mine=not blocked and run.review_claimed_by_id == user.pk and review.is_held(run),
        undoable=None if blocked else _undoable(user, order, place),
    )


def _undoable(user: User, cells: list[ReviewedCell], place: int) -> int | None:
    """The cell whose decision "undo" takes back: the one in hand, or else the latest one decided."""
    own = [cell for cell in cells if cell.review and cell.review.reviewer_id == user.pk]
    if not own:
        return None
    in_hand = cells[place]
    latest = max(own, key=lambda cell: cell.review.decided_at if cell.review else datetime.min)
    return (in_hand if in_hand in own else latest).row.number


def _review_order(cell: ReviewedCell) -> tuple[bool, int]:
    """Those the machine was unsure of come first, whether decided by now or not."""
    return not cell.row.needs_review, cell.row.number


def _place(cells: list[ReviewedCell], number: int | None) -> int:
    for place, cell in enumerate(cells):
        if cell.row.number == number if number is not None else cell.is_open:
            return place
    return 0


def _may_not_sign(user: User) -> str:
    return "" if may(user, Verb.SLIDE_SIGN_OFF) else _("Your role cannot sign off slides.")
