"""How many cells of each kind count as what, run by run, in one question."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Count, Q

from inference import selectors
from inference.models import AnalysisRun, Cell
from inference.pipeline.config import DIFFERENTIAL_CLASSES, RBC_CLASSES
from inference.pipeline.findings import Kind


@dataclass(slots=True)
class Totals:
    """Cells by kind and by what they count as, "" for those that were counted and not classified; `open` of
    them wait for a person, `second` for a second pathologist, and on `differing` two pathologists differ."""

    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    open: int = 0
    second: int = 0
    differing: int = 0

    @property
    def leukocytes(self) -> int:
        return sum(map(self.white, DIFFERENTIAL_CLASSES))

    @property
    def red_classified(self) -> int:
        return sum(self.cells[Kind.RBC, label] for label in RBC_CLASSES)

    @property
    def red_cells(self) -> int:
        return self.red_classified + self.cells[Kind.RBC, ""]

    @property
    def platelets(self) -> int:
        return self.cells[Kind.PLATELET, ""] + self.white("platelet")

    def white(self, label: str) -> int:
        """Cells of the white stream that count as a class."""
        return sum(count for (kind, said), count in self.cells.items() if kind != Kind.RBC and said == label)

    def red(self, label: str) -> int:
        return self.cells[Kind.RBC, label]


def totals(runs: Sequence[AnalysisRun]) -> dict[UUID, Totals]:
    """The cells of some finished runs, people's words included."""
    found = {run.pk: Totals() for run in runs}
    State = Cell.DoubleReading
    waits = Count("pk", filter=Q(needs_review=True, said=None))
    second = Count("pk", filter=Q(double_reading=State.WAITING))
    differing = Count("pk", filter=Q(double_reading=State.DIFFERS))
    cells = Cell.objects.filter(run__in=list(found)).annotate(said=selectors.SAID)
    counted = (
        cells.annotate(counts_as=selectors.COUNTS_AS)
        .order_by()
        .values_list("run", "kind", "counts_as")
        .annotate(n=Count("pk"), waiting=waits, second=second, differing=differing)
    )
    for run_id, kind, label, count, waiting, seconds, differ in counted:
        of = found[run_id]
        of.cells[kind, label] += count
        of.open, of.second, of.differing = of.open + waiting, of.second + seconds, of.differing + differ
    return found


def together(some: Iterable[Totals]) -> Totals:
    """The cells of all images of a case."""
    whole = Totals()
    for one in some:
        whole.cells.update(one.cells)
        whole.open += one.open
        whole.second += one.second
        whole.differing += one.differing
    return whole
