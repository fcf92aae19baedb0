"""What an analysis found, with people's corrections, as frozen facts for pages and reports."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, repeat
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.core.files.storage import default_storage

from inference import names, records
from inference.cell_facts import CellFacts
from inference.models import AnalysisRun, Cell, CellReview, SecondReview
from inference.pipeline import findings as numbers
from inference.pipeline import payload as pipeline_payload
from inference.pipeline.aggregation import Counted, figures
from inference.pipeline.cell_words import Description
from inference.pipeline.config import DIFFERENTIAL_CLASSES, RBC_GRADES_PERCENT
from inference.pipeline.decision import side_of_range
from inference.pipeline.red_cell_findings import RedCells
from inference.pipeline.red_cell_grading import Limits, graded
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
    crop: str

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


Row = TypeVar("Row", Cell, CellFacts)
"""One cell to be looked at, or one of many."""


@dataclass(frozen=True, slots=True)
class ReviewedCell(Generic[Row]):
    """A row with the review that stands, if any; on the desk also the second pathologist's, and what the cell
    waits for from the reader (a review_queue.Task, or nothing)."""

    row: Row
    review: CellReview | None
    second: SecondReview | None = None
    task: str = ""
    skipped: bool = False

    @property
    def label(self) -> str:
        return self.review.label if self.review else self.row.label

    @property
    def is_open(self) -> bool:
        return self.row.needs_review and self.review is None

    @property
    def is_corrected(self) -> bool:
        return self.review is not None and self.review.label != self.row.label

    def counted(self) -> Counted:
        """What the figures take from the cell as it counts."""
        row = self.row
        return Counted(row.kind, self.label if row.label else None, row.confidence or 0.0, row.needs_review)

    def finding(self) -> numbers.Cell:
        """The cell as it counts: called by the person who reviewed it, or else by the machine."""
        return records.cell(self.row, self.review.label if self.review else None)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of some runs: those the machine classified one by one, `called` of the white stream and `red`
    ones apart, in the order of their numbers; of the others, which may be very many, how many there are of
    each kind. `grades` are the laboratory's limits of the grades of red cells."""

    called: Sequence[ReviewedCell[CellFacts]]
    uncalled: Mapping[numbers.Kind, int]
    red: Sequence[ReviewedCell[CellFacts]] = ()
    grades: Mapping[str, Limits] = field(default_factory=lambda: RBC_GRADES_PERCENT)

    @property
    def classified(self) -> list[ReviewedCell[CellFacts]]:
        """All that were classified, white ones first."""
        return [*self.called, *self.red]

    @property
    def open_count(self) -> int:
        return sum(cell.is_open for cell in self.classified)

    @property
    def reviewed_count(self) -> int:
        return sum(cell.review is not None for cell in self.classified)

    @property
    def corrected_count(self) -> int:
        return sum(cell.is_corrected for cell in self.classified)

    def count(self, kind: numbers.Kind) -> int:
        """How many cells of a kind segmentation found."""
        return sum(cell.row.kind == kind for cell in self.classified) + self.uncalled.get(kind, 0)

    def figures(self) -> numbers.Aggregate:
        """The figures of all cells as they count now."""
        others = chain.from_iterable(
            repeat(Counted(kind, None, 0.0, False), n) for kind, n in self.uncalled.items()
        )
        return figures([*(cell.counted() for cell in self.classified), *others])

    def red_cells(self) -> RedCells | None:
        """The red cells as they count now; None where no network named their shapes."""
        if not self.red:
            return None
        named = [(cell.label, measured) for cell in self.red if (measured := records.measures(cell.row))]
        cells = [(label, measured) for label, measured in named if label != "artifact"]
        return graded(self.count(numbers.Kind.RBC) - len(named) + len(cells), cells, self.grades)


def lines(of: numbers.Aggregate, ranges: Mapping[str, Range]) -> tuple[ClassLine, ...]:
    """The differential, in the order of the taxonomy, against a laboratory's reference ranges."""
    return class_lines(of.differential, of.wbc_count, ranges)


def class_lines(
    shares: Mapping[str, numbers.Share], leukocytes: int, ranges: Mapping[str, Range]
) -> tuple[ClassLine, ...]:
    """The same of the shares of so many leukocytes."""
    return tuple(
        _line(key, shares[key], leukocytes, ranges.get(key)) for key in DIFFERENTIAL_CLASSES if key in shares
    )


def _line(key: str, share: numbers.Share, leukocytes: int, reference: Range | None) -> ClassLine:
    outside = reference is not None and side_of_range(share, leukocytes, *reference) != 0
    name = names.class_name(key)
    return ClassLine(key, name, share.count, share.percent, share.low, share.high, reference, outside)


@dataclass(frozen=True, slots=True)
class Known:
    """What is told of one finished run: its cells, its staging, and its described cells by number."""

    run: AnalysisRun
    cells: Cells
    staging: StagedSmear
    words: Mapping[int, Description]


def payload(known: Known, others: Iterable[numbers.Cell] | None = None) -> dict[str, Any]:
    """The JSON payload: figures with people's corrections, each cell with the machine's call beside them.

    `others` are the cells beside the white ones, where they are all to be listed; the figures count them in
    any case. Without them the red cells that a person was asked about or spoke on are listed.
    """
    run, cells, staging = known.run, known.cells, known.staging
    called = (records.cell(cell.row) for cell in cells.called)
    red = (records.cell(cell.row) for cell in cells.red if cell.row.needs_review or cell.review)
    veiled = {cell.row.number for cell in cells.classified if cell.row.is_veiled}
    words = {number: words for number, words in known.words.items() if number not in veiled}
    machine = (
        replace(cell, description=words[cell.cell_id]) if cell.cell_id in words else cell
        for cell in chain(called, red if others is None else others)
    )
    found = replace(records.findings(run, (), cells.figures()), staging=staging.found, red=cells.red_cells())
    written = pipeline_payload.payload(found, str(run.smear_id), run.finished_at or run.queued_at)
    written |= pipeline_payload.cells_part(machine) | {"staging": staging.part()}
    reviewed = {cell.row.number: cell.review for cell in cells.classified if cell.review}
    for detection in written["cell_detections"]:
        if review := reviewed.get(detection["cell_id"]):
            detection["reviewed_classification"] = review.label
    for uncertain in written["uncertain_cases"]:
        uncertain["requires_manual_review"] = uncertain["cell_id"] not in reviewed
    return written


def _abnormal(cell: ReviewedCell[CellFacts]) -> AbnormalCell:
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


def _bytes(name: str) -> bytes:
    with default_storage.open(name) as opened:
        data: bytes = opened.read()
    return data


def smear_result(known: Known, ranges: Mapping[str, Range]) -> SmearResult:
    """Gather the facts of one finished run."""
    run, cells, staging = known.run, known.cells, known.staging
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
        annotated_png=_bytes(run.overlay.name) if run.overlay.name else b"",
        payload=payload(known),
    )
