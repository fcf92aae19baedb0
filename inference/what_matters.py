"""Which open cells matter to the report of their case: what their calls could change, kept with the cells."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from uuid import UUID

from django.db import transaction
from django.db.models import Count

from accounts.selectors import ranges_of, red_cell_grades
from cases import services as cases
from inference import records, selectors
from inference.models import AnalysisRun, Cell
from inference.pipeline.config import RBC_CLASSES, WBC_CLASSES
from inference.pipeline.findings import Kind
from inference.pipeline.stakes import OpenCall, Stake, StakeKind, open_stakes, options

CASES_AT_ONCE = 20
"""So many cases a round of the sweeper looks at."""

COLUMNS = ("pk", "kind", "label", "probabilities", "prediction_sets", "second_call", "stakes", "matters")


NOTHING: Mapping[int, tuple[str, str]] = {}


def refresh(case_id: UUID) -> None:
    """Say of each open cell of a case anew what its call could change.

    Inside the transaction that changed a count, with the case locked. A cell that is decided keeps what was
    said of it last.
    """
    runs = list(selectors.current_runs(case_id).only("pk", "lab"))
    rows = list(selectors.open_cells_of(runs).only(*COLUMNS)) if runs else []
    if not rows:
        return
    changed = []
    for row, found in zip(rows, _stakes(runs, rows), strict=True):
        kept = [asdict(stake) for stake in found]
        if row.stakes != kept:
            row.stakes, row.matters = kept, bool(kept)
            changed.append(row)
    Cell.objects.bulk_update(changed, ["stakes", "matters"], batch_size=200)


def bears(cell: Cell, now: str, label: str) -> bool:
    """Whether something hangs on the call of a cell that counts as `now` and that a person is about to call
    `label`, the other cells of its case as they count now; with the case locked."""
    runs = list(selectors.current_runs(cell.run.smear.case_id).only("pk", "lab"))
    others = list(selectors.open_cells_of(runs).exclude(pk=cell.pk).only(*COLUMNS))
    return bool(_stakes(runs, [*others, cell], {cell.pk: (now, label)})[-1])


def stakes_of(cell: Cell) -> tuple[Stake, ...]:
    """What the call of a cell could change, as it was looked at last."""
    return tuple(
        Stake(StakeKind(kept["kind"]), kept["key"], kept["up"], kept["limit"]) for kept in cell.stakes or ()
    )


def look_again(lab_id: UUID) -> None:
    """Limits have changed: the sweeper looks at all open cells of the laboratory anew."""
    waiting = AnalysisRun.objects.filter(lab=lab_id, status=AnalysisRun.Status.DONE, signed_off_at=None)
    Cell.objects.filter(run__in=waiting, needs_review=True).update(stakes=None)


def catch_up() -> None:
    """Look at open cells that nobody has looked at since they came or since limits changed."""
    done = AnalysisRun.objects.filter(status=AnalysisRun.Status.DONE)
    unseen = selectors.open_cells_of(selectors.newest(done).filter(signed_off_at=None))
    found = (
        unseen.filter(stakes__isnull=True).order_by().values_list("run__smear__case", flat=True).distinct()
    )
    for case_id in list(found[:CASES_AT_ONCE]):
        with transaction.atomic():
            cases.lock_case(case_id)
            refresh(case_id)


def _stakes(
    runs: Sequence[AnalysisRun], rows: Sequence[Cell], said: Mapping[int, tuple[str, str]] = NOTHING
) -> list[tuple[Stake, ...]]:
    """The stakes of some cells, in their order; white and red ones have no class in common but the artifact,
    and are counted apart. `said`: of some, by key, what they count as and are about to be called."""
    lab_id, counts = runs[0].lab_id, _counts(runs)
    is_red = [row.kind == Kind.RBC for row in rows]
    calls = [_open_call(row, *said.get(row.pk, (row.label, row.label))) for row in rows]
    white = [call for call, red in zip(calls, is_red, strict=True) if not red]
    reds = [call for call, red in zip(calls, is_red, strict=True) if red]
    grades = red_cell_grades(lab_id) if reds else {}
    of_white = iter(open_stakes(counts[False], white, ranges_of(lab_id), {}))
    of_red = iter(open_stakes(counts[True], reds, {}, grades))
    return [next(of_red if red else of_white) for red in is_red]


def _counts(runs: Iterable[AnalysisRun]) -> dict[bool, Counter[str]]:
    """The classified cells of some runs by class, as they count now, of the white stream and of red cells."""
    classified = Cell.objects.filter(run__in=list(runs), label__in={*WBC_CLASSES, *RBC_CLASSES})
    named = classified.annotate(counts_as=selectors.COUNTS_AS).order_by()
    found: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    for kind, label, count in named.values_list("kind", "counts_as").annotate(Count("pk")):
        found[kind == Kind.RBC][label] += count
    return found


def _open_call(row: Cell, now: str, said: str) -> OpenCall:
    widest = list(records.prediction_sets(row).values())[-1:]
    second = records.second_call(row)
    named = [row.label, said, *(label for labels in widest for label in labels)]
    return OpenCall(now, options(now, row.probabilities, [*named, second.label] if second else named))
