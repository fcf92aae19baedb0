"""What waits for one reader, in the order of work: what matters to the report first, then STAT, then age."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Value, When, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from accounts.permissions import Verb
from accounts.selectors import people_with
from accounts.types import User
from cases.selectors import stat_first
from inference import blind, selectors
from inference.models import AnalysisRun, Cell, CellSkip, SecondReview
from inference.selectors import LONG, PENDING, STANDING
from inference.staged import StagedSmear, stagings

State = Cell.DoubleReading


class Task(StrEnum):
    """What a cell waits for from a reader: the first call, a second one, or to settle two that differ."""

    FIRST = "first"
    SECOND = "second"
    SETTLE = "settle"


TASK = Case(
    When(double_reading=State.WAITING, then=Value(Task.SECOND)),
    When(double_reading=State.DIFFERS, then=Value(Task.SETTLE)),
    default=Value(Task.FIRST),
)
_SECOND = SecondReview.objects.filter(cell=OuterRef("pk"), undone_at=None)


def open_to(user: User, runs: QuerySet[AnalysisRun]) -> QuerySet[Cell]:
    """The cells of some runs that wait for this reader: open ones, those that another called first and a
    second pathologist has to call, and those on which two differ."""
    first = selectors.open_cells_of(runs).order_by()
    pending = Cell.objects.filter(run__in=runs).order_by()
    second = pending.filter(~Exists(STANDING.filter(reviewer=user)), double_reading=State.WAITING)
    settle = pending.filter(_may_settle(user), double_reading=State.DIFFERS)
    # Each part has an index of its own, which one condition with "or" over all cells would not use.
    keys = [part.values("pk") for part in (first, second, settle)]
    return Cell.objects.filter(pk__in=keys[0].union(*keys[1:]))


def _may_settle(user: User) -> Q:
    """Somebody other than the two settles; one of them where the laboratory has nobody else who signs."""
    neither = ~Exists(STANDING.filter(reviewer=user)) & ~Exists(_SECOND.filter(reviewer=user))
    third = people_with(Verb.SLIDE_SIGN_OFF, user.lab_id).order_by("pk")[2:3]
    return Q(neither) | Q(~Exists(third))


def waiting_runs(user: User) -> QuerySet[AnalysisRun]:
    """The finished slides of a person's laboratory that are not signed off."""
    done = AnalysisRun.objects.filter(lab=user.lab_id, status=AnalysisRun.Status.DONE)
    return done.filter(signed_off_at=None).order_by()


def queue(user: User) -> QuerySet[Cell]:
    """The cells that wait for this reader, each with its `task`: what matters to the report first, then STAT,
    then the oldest slide; what the reader `skipped` behind all others."""
    ordered = (
        "skipped",
        "-matters",
        stat_first("run__smear__case__"),
        "run__finished_at",
        "run_id",
        "number",
    )
    return (
        with_marks(user, open_to(user, waiting_runs(user)))
        .select_related("run__smear__case", "run__lab", "run__review_claimed_by")
        .prefetch_related("skips__reader")
        .defer(*LONG, "run__coverage")
        .order_by(*ordered)
    )


def with_marks(user: User, cells: QuerySet[Cell]) -> QuerySet[Any]:
    """Cells with what they wait for, whether this reader skipped them, and called them before."""
    skips = CellSkip.objects.filter(cell=OuterRef("pk"), reader=user)
    return cells.annotate(task=TASK, skipped=Exists(skips), called_before=blind.called_by(user))


def queue_count(user: User) -> int:
    """How many cells wait for this reader."""
    return open_to(user, waiting_runs(user)).order_by().count()


def tasks(user: User, run: AnalysisRun) -> dict[int, tuple[str, bool]]:
    """The cells of a run that wait for this reader, by key: for what, and whether they were skipped."""
    if run.signed_off_at:
        return {}
    mine = with_marks(user, open_to(user, AnalysisRun.objects.filter(pk=run.pk)))
    return {key: (task, skipped) for key, task, skipped in mine.values_list("pk", "task", "skipped")}


@dataclass(frozen=True, slots=True)
class WaitingSlide:
    """A finished slide that is not signed off: its staging, how many cells wait for the reader, how many for
    a colleague, and the first of the reader's."""

    run: AnalysisRun
    staging: StagedSmear
    open_count: int
    colleagues: int
    cells: list[Cell]

    @property
    def unseen(self) -> int:
        """How many open cells there are beyond the first ones."""
        return self.open_count - len(self.cells)

    @property
    def held_until(self) -> datetime | None:
        """Until when someone holds it; None when it is free."""
        until = self.run.review_claimed_until
        return until if until and until > timezone.now() else None


def waiting_slides(user: User, first: int) -> list[WaitingSlide]:
    """Every slide that waits for sign-off with its `first` cells for this reader: slides with a cell that
    matters to the report first, then STAT, then the oldest."""
    order = [F("skipped").asc(), F("matters").desc(), F("number").asc()]
    place = Window(RowNumber(), partition_by="run_id", order_by=order)
    shown: dict[UUID, list[Cell]] = {}
    if first:
        for cell in queue(user).annotate(place=place).filter(place__lte=first):
            shown.setdefault(cell.run_id, []).append(blind.for_reader(cell))
    mine = _by_run(open_to(user, waiting_runs(user)))
    pending = _by_run(Cell.objects.filter(run__in=waiting_runs(user), double_reading__in=PENDING))
    matters = Exists(open_to(user, waiting_runs(user)).filter(run=OuterRef("pk"), matters=True))
    waiting = selectors.runs_for(user).filter(pk__in=waiting_runs(user)).defer("coverage")
    found = stagings(
        waiting.annotate(matters=matters).order_by("-matters", stat_first("smear__case__"), "finished_at")
    )
    return [
        WaitingSlide(
            run,
            staging,
            sum(mine[run.pk].values()),
            (pending[run.pk] - mine[run.pk]).total(),
            shown.get(run.pk, []),
        )
        for run, staging in found.items()
    ]


def _by_run(cells: QuerySet[Cell]) -> dict[UUID, Counter[str]]:
    """How many of some cells there are in each run, by the state of their double reading."""
    found: dict[UUID, Counter[str]] = defaultdict(Counter)
    for run_id, state, count in (
        cells.order_by().values_list("run_id", "double_reading").annotate(Count("pk"))
    ):
        found[run_id][state] += count
    return found
