"""What was counted of a patient's blood over time: cells by class and case, in few questions."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, F, FloatField, QuerySet, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from accounts.types import User
from inference import selectors
from inference.models import AnalysisRun, Cell
from inference.pipeline.config import RBC_CLASSES, WBC_CLASSES
from inference.pipeline.findings import Kind
from inference.pipeline.red_cell_findings import Diameters
from inference.pipeline.red_cell_grading import variation

Counts = Counter[str]

ESTIMATED = "estimated"
"""Where a pixel size comes from that tells nothing of micrometres: the red cells themselves."""

DIAMETER = Cast(KT("measures__relative_diameter"), FloatField())
"""The diameter of a classified red cell over the median of its smear."""


@dataclass(frozen=True, slots=True)
class EarlierCase:
    """The patient's last case before another one with a slide that a pathologist signed off."""

    case_id: UUID
    accession: str
    collected_at: datetime


def case_counts(user: User, case_ids: Collection[UUID]) -> dict[UUID, Counts]:
    """The cells of the white-cell stream of some cases as they count now, by case and class; one question.

    The images of a case are taken together, as its report takes them; those not analysed are left out.
    """
    mine = AnalysisRun.objects.filter(lab=user.lab, smear__case__in=case_ids)
    return _counts(_newest_done(mine))


def _newest_done(runs: QuerySet[AnalysisRun]) -> QuerySet[AnalysisRun]:
    return selectors.newest(runs.filter(status=AnalysisRun.Status.DONE))


def _counts(runs: QuerySet[AnalysisRun]) -> dict[UUID, Counts]:
    cells = Cell.objects.filter(run__in=runs.order_by().values("pk"), label__in=WBC_CLASSES)
    counted = (
        cells.annotate(counts_as=selectors.COUNTS_AS)
        .order_by()
        .values_list("run__smear__case", "counts_as")
        .annotate(Count("pk"))
    )
    found: dict[UUID, Counts] = {}
    for case_id, label, count in counted:
        found.setdefault(case_id, Counter())[label] += count
    return found


@dataclass(slots=True)
class RedCounts:
    """The classified red cells of a case as they count now; `is_measured` where a pixel size is known. Of the
    diameters of `sized` of them, relative to the median of their smear, the sum and that of the squares."""

    counts: Counts
    is_measured: bool = False
    sized: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def diameters(self) -> Diameters | None:
        return variation(self.sized, self.total, self.squares)


def case_red_counts(user: User, case_ids: Collection[UUID]) -> dict[UUID, RedCounts]:
    """The classified red cells of some cases, all images together; one question."""
    return _red_counts(_newest_done(AnalysisRun.objects.filter(lab=user.lab, smear__case__in=case_ids)))


def _red_counts(runs: QuerySet[AnalysisRun]) -> dict[UUID, RedCounts]:
    named = Cell.objects.filter(run__in=runs.order_by().values("pk"), kind=Kind.RBC).exclude(label="")
    counted = (
        named.annotate(counts_as=selectors.COUNTS_AS, across=DIAMETER)
        .order_by()
        .values_list("run__smear__case", "counts_as", "run__pixel_um_source")
        .annotate(
            n=Count("pk"), sized=Count("across"), total=Sum("across"), squares=Sum(F("across") * F("across"))
        )
    )
    found: dict[UUID, RedCounts] = {}
    for case_id, label, source, count, *sums in counted:
        red = found.setdefault(case_id, RedCounts(Counter()))
        red.is_measured |= source != ESTIMATED
        if label in RBC_CLASSES:
            red.counts[label] += count
            sized, total, squares = (value or 0 for value in sums)
            red.sized, red.total, red.squares = red.sized + sized, red.total + total, red.squares + squares
    return found


def earlier_case(run: AnalysisRun) -> EarlierCase | None:
    """The last case of the same patient, collected before, that has a slide signed off."""
    case = run.smear.case
    signed = AnalysisRun.objects.filter(
        lab=run.lab_id,
        smear__case__patient=case.patient_id,
        smear__case__collected_at__lt=case.collected_at,
        signed_off_at__isnull=False,
    )
    columns = ("smear__case", "smear__case__accession", "smear__case__collected_at")
    last = signed.order_by("-smear__case__collected_at").values_list(*columns).first()
    return EarlierCase(*last) if last else None


def both_counts(run: AnalysisRun, earlier: EarlierCase) -> tuple[Counts, Counts]:
    """The counts of an earlier case, of its signed slides, and of the case that a run belongs to."""
    found = _counts(_both_runs(run, earlier))
    return found.get(earlier.case_id, Counter()), found.get(run.smear.case_id, Counter())


def both_red_counts(run: AnalysisRun, earlier: EarlierCase) -> tuple[Counts, Counts]:
    """The same for the classified red cells; one question."""
    found = _red_counts(_both_runs(run, earlier))
    before, after = found.get(earlier.case_id), found.get(run.smear.case_id)
    return (before.counts if before else Counter()), (after.counts if after else Counter())


def _both_runs(run: AnalysisRun, earlier: EarlierCase) -> QuerySet[AnalysisRun]:
    ours = AnalysisRun.objects.filter(lab=run.lab_id, smear__case=run.smear.case_id)
    theirs = AnalysisRun.objects.filter(lab=run.lab_id, smear__case=earlier.case_id)
    signed = _newest_done(theirs).filter(signed_off_at__isnull=False)
    return _newest_done(ours) | signed
