"""Reading runs, cells and reviews; a person sees those of their own laboratory only."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import (
    Case,
    Count,
    Exists,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
    When,
    Window,
)
from django.db.models.functions import Coalesce, RowNumber
from django.shortcuts import get_object_or_404
from django.utils import timezone

from accounts.types import Lab, User
from inference import records, results
from inference.models import AnalysisRun, Cell, CellReview
from inference.pipeline.findings import Aggregate, Kind
from inference.pipeline.findings import Cell as FoundCell
from inference.results import AbnormalCell, Cells, ClassLine, Range, ReviewedCell, SmearResult
from inference.staged import StagedSmear, StageShare, staged, stagings

__all__ = ["AbnormalCell", "ClassLine", "ReviewedCell", "SmearResult", "StageShare", "StagedSmear"]

STAT_FIRST = Case(When(run__smear__case__priority="stat", then=Value(0)), default=Value(1))


# --- runs -----------------------------------------------------------------------------------------
def runs_for(user: User) -> QuerySet[AnalysisRun]:
    """The runs of a person's laboratory, with what a page says about them."""
    return AnalysisRun.objects.filter(lab=user.lab).select_related(
        "smear__case__patient", "submitted_by", "signed_off_by", "review_claimed_by", "lab"
    )


def run_for(user: User, run_id: UUID) -> AnalysisRun:
    """One run; Http404 outside the laboratory."""
    return get_object_or_404(runs_for(user), pk=run_id)


def case_runs(user: User, case_id: UUID) -> QuerySet[AnalysisRun]:
    """The newest run of each smear of a case, newest smear first, with counts of its cells."""
    return (
        _newest(runs_for(user).filter(smear__case_id=case_id))
        .annotate(open_count=Coalesce(Subquery(_OPEN_COUNT), 0))
        .defer("coverage")
        .order_by("-smear__uploaded_at")
    )


def current_runs(case_id: UUID) -> QuerySet[AnalysisRun]:
    """The finished run that counts for each smear of a case, in the order of upload."""
    done = AnalysisRun.objects.filter(smear__case_id=case_id, status=AnalysisRun.Status.DONE)
    return _newest(done).order_by("smear__uploaded_at")


def _newest(runs: QuerySet[AnalysisRun]) -> QuerySet[AnalysisRun]:
    same_smear = runs.order_by().filter(smear=OuterRef("smear")).order_by("-queued_at").values("pk")
    return runs.filter(pk=Subquery(same_smear[:1]))


# --- cells ----------------------------------------------------------------------------------------
_LONG = ("polygon", "probabilities", "explanation", "remediation", "reading", "embedding")
"""Columns as long as all others together, which only the panel of a single cell shows."""

_STANDING = CellReview.objects.filter(cell=OuterRef("pk"), undone_at=None)
_OPEN_COUNT = (
    Cell.objects.filter(~Exists(_STANDING), run=OuterRef("pk"), needs_review=True)
    .order_by()
    .values("run")
    .annotate(count=Count("pk"))
    .values("count")
)


def cells_for(user: User) -> QuerySet[Cell]:
    return Cell.objects.filter(run__lab=user.lab).select_related("run__smear__case")


def cell_for(user: User, cell_id: int) -> Cell:
    """One cell; Http404 outside the laboratory."""
    return get_object_or_404(cells_for(user), pk=cell_id)


def open_cells(run: AnalysisRun) -> QuerySet[Cell]:
    """The cells of a run that still need a person's word."""
    return run.cells.filter(~Exists(_STANDING), needs_review=True)


def cells_of(runs: Iterable[AnalysisRun]) -> Cells:
    """The classified cells of some runs, each with the review that stands, and counts of the others."""
    which = list(runs)
    reviews = CellReview.objects.filter(cell__run__in=which, undone_at=None).select_related("reviewer")
    standing = {review.cell_id: review for review in reviews}
    rows = Cell.objects.filter(run__in=which)
    called = rows.exclude(label="").defer(*_LONG, "description").order_by("run_id", "number")
    kinds = rows.filter(label="").order_by().values_list("kind").annotate(Count("pk"))
    return Cells(
        [ReviewedCell(row, standing.get(row.pk)) for row in called],
        {Kind(kind): count for kind, count in kinds},
    )


def uncalled_cells(run: AnalysisRun) -> QuerySet[Cell]:
    """The cells of a run that were counted and not classified."""
    return run.cells.filter(label="").defer(*_LONG).order_by("number")


def _uncalled(run: AnalysisRun) -> Iterator[FoundCell]:
    rows = uncalled_cells(run).values_list(*records.UNCALLED_COLUMNS)
    return map(records.uncalled_cell, rows.iterator())


def numbered_cell(run: AnalysisRun, number: int) -> ReviewedCell | None:
    """A cell of a run by its number, if there is one."""
    cell = run.cells.filter(number=number).first()
    return reviewed_cell(cell) if cell else None


def reviewed_cell(cell: Cell) -> ReviewedCell:
    standing = cell.reviews.filter(undone_at=None).select_related("reviewer")
    return ReviewedCell(cell, standing.first())


def current_label(cell: Cell) -> str:
    """What a cell counts as: a person's standing word, or else the machine's."""
    return reviewed_cell(cell).label


# --- the review queue -----------------------------------------------------------------------------
def queue(user: User) -> QuerySet[Cell]:
    """The open cells of all finished slides that are not signed off: STAT first, then the oldest slide."""
    return (
        Cell.objects.filter(
            ~Exists(_STANDING),
            needs_review=True,
            run__lab=user.lab,
            run__status=AnalysisRun.Status.DONE,
            run__signed_off_at=None,
        )
        .select_related("run__smear__case", "run__review_claimed_by")
        .defer(*_LONG, "run__coverage")
        .order_by(STAT_FIRST, "run__finished_at", "run_id", "number")
    )


def queue_count(user: User) -> int:
    """How many cells wait for review."""
    return queue(user).order_by().count()


@dataclass(frozen=True, slots=True)
class WaitingSlide:
    """A finished slide that is not signed off, its staging, how many cells are open, and the first ones."""

    run: AnalysisRun
    staging: StagedSmear
    open_count: int
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
    """Every slide that waits for sign-off, STAT first, then the oldest, with its `first` open cells."""
    place = Window(RowNumber(), partition_by="run_id", order_by="number")
    shown: dict[UUID, list[Cell]] = {}
    for cell in queue(user).annotate(place=place).filter(place__lte=first):
        shown.setdefault(cell.run_id, []).append(cell)
    counts = dict(queue(user).order_by().values_list("run_id").annotate(Count("pk")))
    stat_first = Case(When(smear__case__priority="stat", then=Value(0)), default=Value(1))
    waiting = runs_for(user).filter(status=AnalysisRun.Status.DONE, signed_off_at=None).defer("coverage")
    found = stagings(waiting.order_by(stat_first, "finished_at"))
    return [
        WaitingSlide(run, staging, counts.get(run.pk, 0), shown.get(run.pk, []))
        for run, staging in found.items()
    ]


# --- results --------------------------------------------------------------------------------------
def reference_ranges(lab: Lab) -> dict[str, Range]:
    """A laboratory's reference ranges in % of leukocytes, by class."""
    rows = lab.reference_ranges.all()
    return {row.cell_class: (row.low_percent, row.high_percent) for row in rows}


def result_payload(run: AnalysisRun) -> dict[str, object]:
    """The JSON payload of a finished run, with people's corrections."""
    return results.payload(run, cells_of([run]), staged(run), _uncalled(run))


def smear_results(case_id: UUID) -> list[SmearResult]:
    """What a report says about each analysed smear of a case, in the order of upload."""
    runs = current_runs(case_id).select_related("smear__case", "signed_off_by", "lab")
    return [
        results.smear_result(run, cells_of([run]), staging, reference_ranges(run.lab))
        for run, staging in stagings(runs).items()
    ]


def case_aggregate(case_id: UUID) -> tuple[Aggregate, tuple[ClassLine, ...]]:
    """The figures of all analysed smears of a case taken together."""
    runs = list(current_runs(case_id).select_related("lab"))
    pooled = cells_of(runs).figures()
    return pooled, results.lines(pooled, reference_ranges(runs[0].lab) if runs else {})


def unfinished_runs(case_id: UUID) -> QuerySet[AnalysisRun]:
    """The newest runs of a case's smears that are not signed off: why it cannot be reported yet."""
    newest = _newest(AnalysisRun.objects.filter(smear__case_id=case_id))
    return newest.filter(signed_off_at=None)
