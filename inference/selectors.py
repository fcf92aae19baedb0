"""Reading runs, cells and reviews; a person sees those of their own laboratory only."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.shortcuts import get_object_or_404

from accounts.selectors import red_cell_grades
from accounts.types import Lab, User
from inference import records, results
from inference.cell_facts import CellFacts, facts
from inference.models import AnalysisRun, Cell, CellReview, CellSkip, SecondReview
from inference.pipeline.cell_words import Description
from inference.pipeline.config import RBC_GRADES_PERCENT
from inference.pipeline.findings import Aggregate, Kind
from inference.pipeline.findings import Cell as FoundCell
from inference.pipeline.red_cell_findings import RedCells
from inference.results import AbnormalCell, Cells, ClassLine, Known, Range, ReviewedCell, SmearResult
from inference.staged import StagedSmear, StageShare, staged, stagings

__all__ = ["AbnormalCell", "ClassLine", "ReviewedCell", "SmearResult", "StageShare", "StagedSmear"]


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
    return newest_runs(user, [case_id])


def newest_runs(user: User, case_ids: Collection[UUID]) -> QuerySet[AnalysisRun]:
    """The newest run of each smear of some cases, newest smear first, with counts of its cells."""
    return (
        newest(runs_for(user).filter(smear__case_id__in=case_ids))
        .annotate(
            open_count=Coalesce(Subquery(_OPEN_COUNT), 0), pending_count=Coalesce(Subquery(_PENDING_COUNT), 0)
        )
        .defer("coverage")
        .order_by("-smear__uploaded_at")
    )


def current_runs(case_id: UUID) -> QuerySet[AnalysisRun]:
    """The finished run that counts for each smear of a case, in the order of upload."""
    done = AnalysisRun.objects.filter(smear__case_id=case_id, status=AnalysisRun.Status.DONE)
    return newest(done).order_by("smear__uploaded_at")


def newest(runs: QuerySet[AnalysisRun]) -> QuerySet[AnalysisRun]:
    """Of some runs the latest of each smear."""
    same_smear = runs.order_by().filter(smear=OuterRef("smear")).order_by("-queued_at").values("pk")
    return runs.filter(pk=Subquery(same_smear[:1]))


# --- cells ----------------------------------------------------------------------------------------
LONG = ("polygon", "probabilities", "explanation", "remediation", "reading", "embedding")
"""Columns as long as all others together, which only the panel of a single cell shows."""

STANDING = CellReview.objects.filter(cell=OuterRef("pk"), undone_at=None)
_OF_CELL = tuple(f"cell__{column}" for column in (*LONG, "description"))
SAID = Subquery(STANDING.values("label")[:1])
PENDING = (Cell.DoubleReading.WAITING, Cell.DoubleReading.DIFFERS)
"""Cells that two pathologists have not agreed on yet: they count as called, and are not confirmed."""
COUNTS_AS = Coalesce(SAID, "label")
"""What a cell counts as: a person's word on it, or else the machine's."""
_OPEN_COUNT = (
    Cell.objects.filter(~Exists(STANDING), run=OuterRef("pk"), needs_review=True)
    .order_by()
    .values("run")
    .annotate(count=Count("pk"))
    .values("count")
)
_PENDING_COUNT = (
    Cell.objects.filter(run=OuterRef("pk"), double_reading__in=PENDING)
    .order_by()
    .values("run")
    .annotate(count=Count("pk"))
    .values("count")
)


def cells_for(user: User) -> QuerySet[Cell]:
    return Cell.objects.filter(run__lab=user.lab).select_related("run__smear__case", "run__lab")


def cell_for(user: User, cell_id: int) -> Cell:
    """One cell; Http404 outside the laboratory."""
    return get_object_or_404(cells_for(user), pk=cell_id)


def open_cells(run: AnalysisRun) -> QuerySet[Cell]:
    """The cells of a run that still need a person's word."""
    return open_cells_of([run])


def open_cells_of(runs: QuerySet[AnalysisRun] | Collection[AnalysisRun]) -> QuerySet[Cell]:
    """The cells of some runs that still need a person's word."""
    return Cell.objects.filter(~Exists(STANDING), needs_review=True, run__in=runs)


@dataclass(frozen=True, slots=True)
class Waits:
    """How many cells of a run wait for a person: for the first call, for a second pathologist's, and for
    somebody to settle what two called differently."""

    first: int = 0
    second: int = 0
    settling: int = 0

    def __bool__(self) -> bool:
        return bool(self.first or self.second or self.settling)


def cells_of(runs: Iterable[AnalysisRun]) -> Cells:
    """The classified cells of some runs, each with the review that stands, and counts of the others."""
    apart = list(cells_by_run(runs).values())
    red = [cell for cells in apart for cell in cells.red]
    return Cells(
        [cell for cells in apart for cell in cells.called],
        sum((Counter(cells.uncalled) for cells in apart), Counter()),
        red,
        apart[0].grades if apart else RBC_GRADES_PERCENT,
    )


def cells_by_run(runs: Iterable[AnalysisRun]) -> dict[UUID, Cells]:
    """The same of each run apart, by its key, with as many questions as of one."""
    which = list(runs)
    reviews = CellReview.objects.filter(cell__run__in=which, undone_at=None).select_related("reviewer")
    standing = {review.cell_id: review for review in reviews}
    rows = Cell.objects.filter(run__in=which)
    called: dict[UUID, list[ReviewedCell[CellFacts]]] = defaultdict(list)
    red: dict[UUID, list[ReviewedCell[CellFacts]]] = defaultdict(list)
    for row in facts(rows.exclude(label="").order_by("run_id", "number")):
        (red if row.kind == Kind.RBC else called)[row.run_id].append(ReviewedCell(row, standing.get(row.pk)))
    uncalled: dict[UUID, dict[Kind, int]] = defaultdict(dict)
    kinds = rows.filter(label="").order_by().values_list("run_id", "kind").annotate(Count("pk"))
    for run_id, kind, count in kinds:
        uncalled[run_id][Kind(kind)] = count
    grades = red_cell_grades(which[0].lab_id) if red else RBC_GRADES_PERCENT
    return {run.pk: Cells(called[run.pk], uncalled[run.pk], red[run.pk], grades) for run in which}


def uncalled_cells(run: AnalysisRun) -> QuerySet[Cell]:
    """The cells of a run that were counted and not classified."""
    return run.cells.filter(label="").order_by("number")


def _uncalled(run: AnalysisRun) -> Iterator[FoundCell]:
    rows = uncalled_cells(run).values_list(*records.UNCALLED_COLUMNS)
    return map(records.uncalled_cell, rows.iterator())


def second_reviews(run: AnalysisRun) -> dict[int, SecondReview]:
    """The second pathologists' calls on the cells of a run that stand beside the first one's, by cell."""
    State = Cell.DoubleReading
    words = SecondReview.objects.filter(
        cell__run=run,
        cell__double_reading__in=(State.AGREED, State.DIFFERS, State.SETTLED),
        undone_at=None,
    )
    return {word.cell_id: word for word in words.select_related("reviewer", "first__reviewer")}


def skips(cell_id: int) -> list[CellSkip]:
    """Who skipped a cell and why, the latest first."""
    return list(CellSkip.objects.filter(cell=cell_id).select_related("reader").order_by("-skipped_at"))


def numbered_cell(run: AnalysisRun, number: int) -> ReviewedCell[Cell] | None:
    """A cell of a run by its number, if there is one."""
    cell = run.cells.filter(number=number).first()
    return reviewed_cell(cell) if cell else None


def reviewed_cell(cell: Cell) -> ReviewedCell[Cell]:
    standing = cell.reviews.filter(undone_at=None).select_related("reviewer")
    return ReviewedCell(cell, standing.first())


def current_label(cell: Cell) -> str:
    """What a cell counts as: a person's standing word, or else the machine's."""
    return reviewed_cell(cell).label


@dataclass(frozen=True, slots=True)
class Spoken:
    """The word of a person that last changed what a cell counts as; `undone` where it was taken back."""

    reviewer: str
    at: datetime
    comment: str
    undone: bool


def last_words(
    run_ids: Collection[UUID], numbers: Collection[int], until: datetime | None
) -> dict[tuple[UUID, int], Spoken]:
    """The last word on some cells up to a time, by run and number; one question."""
    said = CellReview.objects.filter(cell__run__in=run_ids, cell__number__in=numbers)
    if until:
        said = said.filter(decided_at__lte=until)
    last: dict[tuple[UUID, int], Spoken] = {}
    for row in said.select_related("reviewer", "cell").defer(*_OF_CELL).order_by("decided_at", "pk"):
        undone = row.undone_at is not None and (until is None or row.undone_at <= until)
        at = row.undone_at if undone and row.undone_at else row.decided_at
        key = row.cell.run_id, row.cell.number
        if key not in last or at >= last[key].at:
            last[key] = Spoken(str(row.reviewer), at, row.comment, undone)
    return last


# --- results --------------------------------------------------------------------------------------
def reference_ranges(lab: Lab) -> dict[str, Range]:
    """A laboratory's reference ranges in % of leukocytes, by class."""
    rows = lab.reference_ranges.all()
    return {row.cell_class: (row.low_percent, row.high_percent) for row in rows}


def result_payload(
    run: AnalysisRun, veiled: Callable[[Cells], Cells] = lambda cells: cells
) -> dict[str, object]:
    """The JSON payload of a finished run, with people's corrections; `veiled` takes out what its reader may
    not see yet."""
    cells = veiled(cells_of([run]))
    red = (records.cell(cell.row) for cell in cells.red)
    others = merge(red, _uncalled(run), key=lambda cell: cell.cell_id)
    return results.payload(Known(run, cells, staged(run), _descriptions([run])[run.pk]), others)


def smear_results(case_id: UUID) -> list[SmearResult]:
    """What a report says about each analysed smear of a case, in the order of upload."""
    runs = list(current_runs(case_id).select_related("smear__case", "signed_off_by", "lab"))
    ranges = reference_ranges(runs[0].lab) if runs else {}
    cells, words = cells_by_run(runs), _descriptions(runs)
    return [
        results.smear_result(Known(run, cells[run.pk], staging, words[run.pk]), ranges)
        for run, staging in stagings(runs).items()
    ]


def _descriptions(runs: Collection[AnalysisRun]) -> dict[UUID, dict[int, Description]]:
    """The cells that are described, of each run by number."""
    kept = Cell.objects.filter(run__in=runs).exclude(description={})
    found: dict[UUID, dict[int, Description]] = {run.pk: {} for run in runs}
    for run_id, number, column in kept.order_by("number").values_list("run_id", "number", "description"):
        if words := records.description(column):
            found[run_id][number] = words
    return found


def case_aggregate(case_id: UUID) -> tuple[Aggregate, tuple[ClassLine, ...], RedCells | None]:
    """The figures of all analysed smears of a case taken together; None for its red cells where none were
    classified."""
    runs = list(current_runs(case_id).select_related("lab"))
    cells = cells_of(runs)
    pooled = cells.figures()
    lines = results.lines(pooled, reference_ranges(runs[0].lab) if runs else {})
    return pooled, lines, cells.red_cells()


def unfinished_runs(case_id: UUID) -> QuerySet[AnalysisRun]:
    """The newest runs of a case's smears that are not signed off: why it cannot be reported yet."""
    runs = newest(AnalysisRun.objects.filter(smear__case_id=case_id))
    return runs.filter(signed_off_at=None)
