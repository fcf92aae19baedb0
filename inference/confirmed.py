"""The white or red cells of a laboratory that a person confirmed, without anything of a patient."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import QuerySet
from django.db.models.fields.files import FieldFile
from django.utils import timezone

from accounts.types import Lab
from inference import records, selectors
from inference.models import AnalysisRun, CellReview
from inference.pipeline.findings import Instance, Kind, NetworkUsed
from inference.pseudonyms import part_of, pseudonym


@dataclass(frozen=True, slots=True)
class ConfirmedCell:
    """A cell with the standing word of a person and the machine's call at the time; people and things by
    pseudonym. `pixel_um` is that of the smear, None where nobody knows."""

    number: int
    label: str
    part: str
    patient: str
    case: str
    smear: str
    reader: str
    confirmed_on: date
    signed_off: bool
    machine_label: str
    machine_confidence: float
    network: NetworkUsed
    instance: Instance
    pixel_um: float | None
    crop: FieldFile

    @property
    def name(self) -> str:
        """What its picture is called outside."""
        return f"{self.smear}_{self.number}"


def confirmed(
    lab: Lab, since: date | None = None, signed_only: bool = False, stream: Kind = Kind.WBC
) -> Iterator[ConfirmedCell]:
    """The confirmed cells of a stream, white or red ones, of the newest analysis of each smear of a
    laboratory: those a person said a class of, whether the machine had said it or not, and no second
    pathologist still has to. With `since` those confirmed on that day or later."""
    done = AnalysisRun.objects.filter(lab=lab, status=AnalysisRun.Status.DONE)
    runs = selectors.newest(done.exclude(signed_off_at=None) if signed_only else done)
    said = CellReview.objects.filter(undone_at=None, cell__run__in=runs.order_by().values("pk"))
    if since:
        said = said.filter(decided_at__date__gte=since)
    own = said.filter(cell__kind=Kind.RBC) if stream is Kind.RBC else said.exclude(cell__kind=Kind.RBC)
    settled = own.exclude(cell__double_reading__in=selectors.PENDING)
    yield from map(_cell, _whole(settled).iterator(500))


def _whole(said: QuerySet[CellReview]) -> QuerySet[CellReview]:
    unread = ("probabilities", "explanation", "remediation", "reading", "description", "embedding", "polygon")
    columns = (*(f"cell__{name}" for name in unread), "cell__run__coverage", "cell__run__quality")
    return said.select_related("cell__run__smear__case").defer(*columns).order_by("cell_id")


def _cell(review: CellReview) -> ConfirmedCell:
    row = review.cell
    run: Any = row.run
    patient = pseudonym("patient", run.smear.case.patient_id)
    return ConfirmedCell(
        number=row.number,
        label=review.label,
        part=part_of(patient),
        patient=patient,
        case=pseudonym("case", run.smear.case_id),
        smear=pseudonym("smear", run.smear_id),
        reader=pseudonym("reader", review.reviewer_id),
        confirmed_on=timezone.localtime(review.decided_at).date(),
        signed_off=run.signed_off_at is not None,
        machine_label=row.label,
        machine_confidence=row.confidence or 0.0,
        network=_network(records.networks(run), row.kind),
        instance=records.instance(row, outlined=False),
        pixel_um=run.pixel_um,
        crop=row.crop,
    )


def _network(used: Sequence[NetworkUsed], kind: str) -> NetworkUsed:
    """The network that called a cell: the one that names red cells, or the first of those of white ones."""
    if kind != Kind.RBC:
        return used[0]
    return next(network for network in used if network.name == records.RBC_NETWORK)
