"""What an analysis found, with people's corrections, as frozen facts for pages and reports."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, repeat
from typing import Any
from uuid import UUID

from django.db.models.fields.files import FieldFile

from inference import names, records
from inference.models import AnalysisRun, Cell, CellReview
from inference.pipeline import findings as numbers
from inference.pipeline import payload as pipeline_payload
from inference.pipeline.aggregation import FEW_CELLS, aggregate
from inference.pipeline.cell_words import Description
from inference.pipeline.config import DIFFERENTIAL_CLASSES
from inference.staged import StagedSmear

ABNORMAL = ("blast", "immature_granulocyte", "erythroblast")
"""The classes whose cells are shown one by one in a report."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ClassLine:
    """One line of the differential: count and percentage, the exact 95 % interval, the reference range."""

    key: str
    name: str
    count: int
    percent: float
    low: float
    high: float
    reference: Range | None
    outside: bool


@dataclass(frozen=True, slots=True)
class AbnormalCell:
    """A cell that a report shows: the machine's call beside the one that counts, and its picture."""

    number: int
    label: str
    label_name: str
    machine_label: str
    machine_label_name: str
    confidence: float
    reviewed_by: str | None
    comment: str
    crop: FieldFile

    @property
    def crop_png(self) -> bytes:
        """Its picture, fetched when asked for: of very many abnormal cells a report shows a few."""
        return _bytes(self.crop) if self.crop else b""


@dataclass(frozen=True, slots=True)
class SmearResult:
    """Everything a report says about one analysed smear; `payload` is the JSON for other systems, which lists
    the classified cells and only counts the others."""

    smear_id: UUID
    original_name: str
    sha256: str
    uploaded_at: datetime
    width: int
    height: int
    pixel_um: float | None
    pixel_um_source: str
    run_id: UUID
    analysed_at: datetime
    signed_off_by: str | None
    signed_off_at: datetime | None
    aggregate: numbers.Aggregate
    lines: tuple[ClassLine, ...]
    quality: numbers.Quality
    notices: tuple[numbers.Notice, ...]
    networks: tuple[numbers.NetworkUsed, ...]
    cells_reviewed: int
    cells_open: int
    cells_corrected: int
    abnormal: tuple[AbnormalCell, ...]
    staging: StagedSmear
    annotated_png: bytes
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReviewedCell:
    """A row with the review that stands, if any."""

    row: Cell
    review: CellReview | None

    @property
    def label(self) -> str:
        return self.review.label if self.review else self.row.label

    @property
    def is_open(self) -> bool:
        return self.row.needs_review and self.review is None

    @property
    def is_corrected(self) -> bool:
        return self.review is not None and self.review.label != self.row.label

    def finding(self) -> numbers.Cell:
        """The cell as it counts: called by the person who reviewed it, or else by the machine."""
        return records.cell(self.row, self.review.label if self.review else None)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of some runs: those the machine classified one by one, in the order of their numbers; of the
    others, which may be very many, how many there are of each kind."""

    called: Sequence[ReviewedCell]
    uncalled: Mapping[numbers.Kind, int]

    @property
    def open_count(self) -> int:
        return sum(cell.is_open for cell in self.called)

    @property
    def reviewed_count(self) -> int:
        return sum(cell.review is not None for cell in self.called)

    @property
    def corrected_count(self) -> int:
        return sum(cell.is_corrected for cell in self.called)

    def count(self, kind: numbers.Kind) -> int:
        """How many cells of a kind segmentation found."""
        return sum(cell.row.kind == kind for cell in self.called) + self.uncalled.get(kind, 0)

    def figures(self) -> numbers.Aggregate:
        """The figures of all cells as they count now."""
        others = chain.from_iterable(repeat(_uncalled(kind), n) for kind, n in self.uncalled.items())
        return aggregate([*(cell.finding() for cell in self.called), *others])


def _uncalled(kind: numbers.Kind) -> numbers.Cell:
    """Stands for any cell of a kind that was not classified: in the figures they are all alike."""
    return numbers.Cell(0, numbers.Instance(kind, (0, 0, 0, 0), (), (0.0, 0.0), 0, 0.0))


def lines(of: numbers.Aggregate, ranges: Mapping[str, Range]) -> tuple[ClassLine, ...]:
    """The differential, in the order of the taxonomy, against a laboratory's reference ranges."""
    shares = of.differential
    many = of.wbc_count >= FEW_CELLS
    return tuple(
        _line(key, shares[key], ranges.get(key), many) for key in DIFFERENTIAL_CLASSES if key in shares
    )


def _line(key: str, share: numbers.Share, reference: Range | None, many: bool) -> ClassLine:
    """Of `many` cells the share decides, as it does at the microscope; of few only the whole interval."""
    low, high = (share.percent, share.percent) if many else (share.low, share.high)
    outside = reference is not None and (high < reference[0] or low > reference[1])
    name = names.class_name(key)
    return ClassLine(key, name, share.count, share.percent, share.low, share.high, reference, outside)


def payload(
    run: AnalysisRun, cells: Cells, staging: StagedSmear, others: Iterable[numbers.Cell] = ()
) -> dict[str, Any]:
    """The JSON payload: figures with people's corrections, each cell with the machine's call beside them.

    `others` are the cells that were not classified, where they are to be listed too; the figures count them
    in any case.
    """
    words = _words(run)
    called = (
        replace(records.cell(cell.row), description=words.get(cell.row.number)) for cell in cells.called
    )
    machine = (*called, *others)
    found = replace(records.findings(run, machine, cells.figures()), staging=staging.found)
    written = pipeline_payload.payload(found, str(run.smear_id), run.finished_at or run.queued_at)
    written["staging"] = staging.part()
    reviewed = {cell.row.number: cell.review for cell in cells.called if cell.review}
    for detection in written["cell_detections"]:
        if review := reviewed.get(detection["cell_id"]):
            detection["reviewed_classification"] = review.label
    for uncertain in written["uncertain_cases"]:
        uncertain["requires_manual_review"] = uncertain["cell_id"] not in reviewed
    return written


def _words(run: AnalysisRun) -> dict[int, Description]:
    """The cells of a run that are described, by number."""
    kept = run.cells.exclude(description={}).values_list("number", "description")
    return {number: words for number, column in kept if (words := records.description(column))}


def _abnormal(cell: ReviewedCell) -> AbnormalCell:
    row, review = cell.row, cell.review
    return AbnormalCell(
        number=row.number,
        label=cell.label,
        label_name=names.class_name(cell.label),
        machine_label=row.label,
        machine_label_name=names.class_name(row.label),
        confidence=row.confidence or 0.0,
        reviewed_by=str(review.reviewer) if review else None,
        comment=review.comment if review else "",
        crop=row.crop,
    )


def _bytes(file: FieldFile) -> bytes:
    with file.open() as opened:
        data: bytes = opened.read()
    return data


def smear_result(
    run: AnalysisRun, cells: Cells, staging: StagedSmear, ranges: Mapping[str, Range]
) -> SmearResult:
    """Gather the facts of one finished run."""
    counted, smear = cells.figures(), run.smear
    return SmearResult(
        smear_id=smear.pk,
        original_name=smear.original_name,
        sha256=smear.sha256,
        uploaded_at=smear.uploaded_at,
        width=run.width or smear.width,
        height=run.height or smear.height,
        pixel_um=run.pixel_um,
        pixel_um_source=run.pixel_um_source,
        run_id=run.pk,
        analysed_at=run.finished_at or run.queued_at,
        signed_off_by=str(run.signed_off_by) if run.signed_off_by else None,
        signed_off_at=run.signed_off_at,
        aggregate=counted,
        lines=lines(counted, ranges),
        quality=records.quality(run),
        notices=records.notices(run),
        networks=(*records.networks(run), *staging.networks),
        cells_reviewed=cells.reviewed_count,
        cells_open=cells.open_count,
        cells_corrected=cells.corrected_count,
        abnormal=tuple(_abnormal(cell) for cell in cells.called if cell.label in ABNORMAL),
        staging=staging,
        annotated_png=_bytes(run.overlay) if run.overlay else b"",
        payload=payload(run, cells, staging),
    )
