"""What the result page and the review page show, gathered from rows."""

from dataclasses import dataclass, replace
from functools import cached_property

from django.utils.translation import gettext as _

from accounts.permissions import Verb, may
from accounts.types import User
from inference import blind, names, results, review, review_queue, selectors
from inference.by_hand import CountedByHand, counted_by_hand, machine_counts
from inference.cell_facts import CellFacts
from inference.double_reading import CALLED_TWICE
from inference.gate import Check, gate, says_open
from inference.identity import Identity, RedChanges, identity, red_changes
from inference.models import AnalysisRun, Cell, CellReview, CellSkip, SecondReview
from inference.pipeline.findings import Aggregate, Kind
from inference.pipeline.red_cell_findings import RedCells, RedClass
from inference.results import Cells, ClassLine, ReviewedCell
from inference.selectors import Waits
from inference.staged import StagedSmear, staged
from inference.what_matters import stakes_of


@dataclass(frozen=True)
class Result:
    """The figures of a finished run as pages show them; what only one page shows is found when it does."""

    run: AnalysisRun
    cells: Cells
    aggregate: Aggregate
    lines: tuple[ClassLine, ...]
    staging: StagedSmear
    identity: Identity
    waits: Waits
    veil: blind.Veil = blind.Veil()

    @cached_property
    def by_hand(self) -> list[CountedByHand]:
        return counted_by_hand(self.run.smear, machine_counts(self.aggregate))

    @cached_property
    def red(self) -> RedCells | None:
        return self.cells.red_cells()

    @cached_property
    def red_changes(self) -> RedChanges:
        return red_changes(self.run, self.identity.earlier)

    @property
    def red_findings(self) -> tuple[RedClass, ...]:
        """The classes of red cells in the order of the taxonomy, and all abnormal shapes together."""
        return (*self.red.classes, self.red.poikilocytosis) if self.red else ()

    @property
    def hidden(self) -> int:
        """How many cells are left out of the figures until their reader has called them."""
        return len(self.veil.machine)

    @property
    def pixel_source(self) -> str:
        return names.source_name(self.run.pixel_um_source)


def result(run: AnalysisRun, user: User | None = None) -> Result:
    """The figures of a finished run; of what its reader may not see yet nothing is counted."""
    veil = blind.veil(user, run) if user else blind.Veil()
    whole = selectors.cells_of([run])
    cells = veil.over_all(whole)
    counted = cells.figures()
    lines = results.lines(counted, selectors.reference_ranges(run.lab))
    return Result(run, cells, counted, lines, staged(run), identity(run), _waits(whole), veil)


def _waits(cells: Cells) -> Waits:
    states = [cell.row.double_reading for cell in cells.classified]
    second, settling = (
        states.count(state) for state in (Cell.DoubleReading.WAITING, Cell.DoubleReading.DIFFERS)
    )
    return Waits(cells.open_count, second, settling)


def number(text: str) -> int | None:
    """The number of a cell as an address gives it; None where it gives none."""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def probabilities(cell: ReviewedCell[Cell]) -> list[tuple[str, float]]:
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

KEYS = {Kind.RBC: names.RED_KEYS}
"""The keys of the classes of a kind of cells; of any other those of white cells."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A slide on the pathologist's desk: the cell in hand, its neighbours in the order of review with the
    place of the first of them, how many there are in all, the checks that its sign-off waits for, whether it
    is the last slide of its case to be signed off, and what stands in the way."""

    result: Result
    cell: ReviewedCell[Cell] | None
    strip: list[ReviewedCell[CellFacts]]
    strip_from: int
    reviewable: int
    before: ReviewedCell[CellFacts] | None
    after: ReviewedCell[CellFacts] | None
    blocked: str
    checks: tuple[Check, ...]
    is_last: bool
    sign_off_blocked: str
    mine: bool
    undoable: int | None
    skips: list[CellSkip]

    @property
    def stakes(self) -> list[str]:
        """What the call of the cell in hand could change, in words."""
        return [names.stake_name(stake) for stake in stakes_of(self.cell.row)] if self.cell else []

    @property
    def run(self) -> AnalysisRun:
        return self.result.run

    @property
    def strip_to(self) -> int:
        return self.strip_from + len(self.strip) - 1

    @property
    def choices(self) -> list[Choice]:
        if self.cell is None:
            return []
        row = self.cell.row
        keys = KEYS.get(Kind(row.kind), names.CLASS_KEYS)
        return [Choice(label, names.class_name(label), keys[label]) for label in review.answers_for(row)]

    @property
    def probabilities(self) -> list[tuple[str, float]]:
        return probabilities(self.cell) if self.cell else []


def desk(user: User, run: AnalysisRun, number: int | None = None) -> Desk:
    """The slide with the asked cell in hand or, without a number, the first one that is open."""
    shown = result(run, user)
    called = [*shown.cells.called, *_red_on_desk(shown.cells, number)]
    order = sorted(_with_marks(user, run, called), key=_review_order)
    place = _place(order, number)
    first = max(0, min(place - STRIP // 2, len(order) - STRIP))
    blocked = review.blocked(user, run)
    whole = gate(run.smear.case_id)
    checks = whole.of_slide(run.pk)
    return Desk(
        result=shown,
        cell=_in_hand(order[place]) if order else None,
        strip=order[first : first + STRIP],
        strip_from=first + 1,
        reviewable=len(order),
        before=order[place - 1] if place > 0 else None,
        after=order[place + 1] if place + 1 < len(order) else None,
        blocked=blocked,
        checks=checks,
        is_last=whole.unsigned <= {run.pk},
        sign_off_blocked=blocked or says_open(checks) or _may_not_sign(user),
        mine=not blocked and run.review_claimed_by_id == user.pk and review.is_held(run),
        undoable=None if blocked else _undoable(user, order, place),
        skips=selectors.skips(order[place].row.pk) if order else [],
    )


def _in_hand(cell: ReviewedCell[CellFacts]) -> ReviewedCell[Cell]:
    """The cell with its whole row, as its reader may see it."""
    row = Cell.objects.get(pk=cell.row.pk)
    seen = blind.stripped(row) if cell.row.is_veiled else row
    return ReviewedCell(seen, cell.review, cell.second, cell.task, cell.skipped)


def _with_marks(
    user: User, run: AnalysisRun, cells: list[ReviewedCell[CellFacts]]
) -> list[ReviewedCell[CellFacts]]:
    """Each cell with what it waits for from this reader, and with the second pathologist's call where the
    reader may see it."""
    tasks, seconds = review_queue.tasks(user, run), selectors.second_reviews(run)
    return [
        replace(
            cell,
            task=tasks[cell.row.pk][0] if cell.row.pk in tasks else "",
            skipped=cell.row.pk in tasks and tasks[cell.row.pk][1],
            second=seconds.get(cell.row.pk),
        )
        for cell in cells
    ]


def _red_on_desk(cells: Cells, number: int | None) -> list[ReviewedCell[CellFacts]]:
    """Of the red cells those that a person was asked about or spoke on, and the one that was asked for; the
    others, which may be thousands, stay in their gallery."""
    return [cell for cell in cells.red if cell.row.needs_review or cell.review or cell.row.number == number]


def _undoable(user: User, cells: list[ReviewedCell[CellFacts]], place: int) -> int | None:
    """The cell whose decision "undo" takes back: the one in hand, or else the latest one decided."""
    said = [(cell, word) for cell in cells if (word := _own_word(user, cell))]
    if not said:
        return None
    in_hand = cells[place]
    latest = max(said, key=lambda one: one[1].decided_at)[0]
    return (in_hand if _own_word(user, in_hand) else latest).row.number


def _own_word(user: User, cell: ReviewedCell[CellFacts]) -> CellReview | SecondReview | None:
    """What this reader said of a cell and can take back."""
    if cell.second and cell.second.reviewer_id == user.pk and cell.row.double_reading in CALLED_TWICE:
        return cell.second
    mine = cell.review is not None and cell.review.reviewer_id == user.pk
    return cell.review if mine and cell.row.double_reading not in CALLED_TWICE else None


def _review_order(cell: ReviewedCell[CellFacts]) -> tuple[bool, bool, bool, int]:
    """Those the machine was unsure of come first, whether decided by now or not: among them those that matter
    to the report, and those the reader skipped last."""
    return not (cell.row.needs_review or cell.task), cell.skipped, not cell.row.matters, cell.row.number


def _place(cells: list[ReviewedCell[CellFacts]], number: int | None) -> int:
    """Where the asked cell lies or, without a number, the first that waits for the reader."""
    for place, cell in enumerate(cells):
        if cell.row.number == number if number is not None else cell.task:
            return place
    return 0


def said(word: CellReview | SecondReview) -> str:
    """What a reader's call came to: its class and, of calls that were hidden, what they were."""
    facts = {"number": word.cell.number, "name": names.class_name(word.label)}
    text = _("Cell %(number)d: %(name)s.") % facts
    if word.blind:
        text = f"{text} {_agreement(_('The machine'), word.cell.label, word.label)}"
    if isinstance(word, SecondReview):
        text = f"{text} {_agreement(word.first.reviewer, word.first.label, word.label)}"
    return text


def _agreement(who: object, label: str, mine: str) -> str:
    facts = {"who": who, "name": names.class_name(label)}
    agree, differ = _("%(who)s agrees."), _("%(who)s called it %(name)s: you differ.")
    return (agree if label == mine else differ) % facts


def _may_not_sign(user: User) -> str:
    return "" if may(user, Verb.SLIDE_SIGN_OFF) else _("Your role cannot sign off slides.")
