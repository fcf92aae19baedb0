"""Findings as rows, and rows as findings again."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from inference import pictures
from inference.cell_facts import CellFacts
from inference.models import AnalysisRun
from inference.models import Cell as CellRow
from inference.pipeline.cell_words import Description, Reading
from inference.pipeline.findings import (
    NOT_STAGED,
    Aggregate,
    Attempt,
    Call,
    Cell,
    Coverage,
    Findings,
    Instance,
    Kind,
    NetworkUsed,
    Notice,
    Outcome,
    Quality,
    Receipt,
    Remediation,
    Remedy,
    SecondCall,
    Severity,
    TileState,
)
from inference.pipeline.red_cell_findings import RedCellMeasures

WBC_NETWORK, RBC_NETWORK = "wbc", "rbc"
"""How the networks of the white cells and of the shapes of red cells are named on their cards."""

Classified = CellRow | CellFacts
"""A classified cell: its row, or the facts that are read of many."""

EMBEDDED = np.dtype("<f2")
"""How the numbers of an embedding are kept."""

EXPLAINED = ("method", "nucleus_ratio", "cytoplasm_ratio", "background_ratio")
"""What is kept of an explanation beside its receipt and the columns of its own."""


def run_columns(findings: Findings) -> dict[str, Any]:
    """What the row of a finished run says about the whole image.

    A staging that failed is queued anew, and its own row says what becomes of it.
    """
    return {
        "width": findings.width,
        "height": findings.height,
        "pixel_um": findings.pixel_um,
        "pixel_um_source": findings.pixel_um_source,
        "quality": asdict(findings.quality),
        "coverage": asdict(findings.coverage),
        "notices": [asdict(notice) for notice in findings.notices if notice.code != NOT_STAGED],
        "networks": [asdict(network) for network in findings.networks],
        "seconds": dict(findings.seconds),
    }


def cell_row(run: AnalysisRun, cell: Cell) -> CellRow:
    """The row of one cell, not saved and without its pictures."""
    instance, call, explanation = cell.instance, cell.call, cell.explanation
    x0, y0, x1, y1 = instance.box
    row = CellRow(
        run=run,
        number=cell.cell_id,
        kind=instance.kind.value,
        x0=x0,
        y0=y0,
        x1=x1,
        y1=y1,
        centroid_x=instance.centroid[0],
        centroid_y=instance.centroid[1],
        polygon=[[int(x), int(y)] for x, y in instance.polygon],
        area_px=instance.area_px,
        segmentation_confidence=instance.confidence,
        review_reasons=[*cell.review_reasons, *cell.noted],
        needs_review=bool(cell.review_reasons),
    )
    if call:
        row.label, row.confidence, row.abstained = call.label, call.confidence, call.abstained
        row.probabilities = {label: float(value) for label, value in call.probabilities.items()}
        row.prediction_sets = {str(level): list(labels) for level, labels in call.sets.items()}
        row.ood_score, row.out_of_distribution = call.ood_score, call.out_of_distribution
        row.embedding = None if call.embedding is None else call.embedding.astype(EMBEDDED).tobytes()
    if cell.second:
        row.second_call = asdict(cell.second)
    if explanation:
        row.focus_ratio, row.heatmap_strength = explanation.focus_ratio, explanation.strength
        row.explanation = {name: getattr(explanation, name) for name in EXPLAINED}
        if explanation.receipt:
            row.explanation["receipt"] = asdict(explanation.receipt)
    if cell.remediation:
        row.remediation = asdict(cell.remediation)
    if cell.reading:
        row.reading = asdict(cell.reading)
    if cell.description:
        row.description = asdict(cell.description)
    if cell.measures:
        row.measures = asdict(cell.measures)
    return row


def cell_pictures(cell: Cell) -> Iterator[tuple[str, bytes]]:
    """The pictures of a cell as PNG, each with the name of its column, fetched and made one by one."""
    if cell.crop is not None:
        yield "crop", pictures.png(np.asarray(cell.crop))
    if cell.explanation is not None:
        yield "heatmap", pictures.heatmap_png(cell.explanation.drawn)


def _call(row: Classified, label: str | None) -> Call | None:
    """The machine's call or, given a person's `label`, that one: a person does not abstain."""
    if not row.label:
        return None
    if label is not None:
        return Call(label, row.confidence or 0.0, {})
    return Call(
        row.label,
        row.confidence or 0.0,
        {},
        row.abstained,
        prediction_sets(row),
        row.ood_score,
        row.out_of_distribution,
    )


def prediction_sets(row: Classified) -> dict[int, tuple[str, ...]]:
    """The prediction sets of a call by their level in %, lowest first; none for an older analysis."""
    return dict(sorted((int(level), tuple(labels)) for level, labels in row.prediction_sets.items()))


def second_call(row: Classified) -> SecondCall | None:
    """What a second network called the cell, if there was one."""
    return SecondCall(**row.second_call) if row.second_call else None


def called_by(row: CellRow) -> dict[str, str]:
    """What each network called a classified cell, by the network's name: first the one whose call counts."""
    first = RBC_NETWORK if row.kind == Kind.RBC else WBC_NETWORK
    second = second_call(row)
    return {first: row.label} | ({second.network: second.label} if second else {})


def receipt(row: CellRow) -> Receipt | None:
    """What a trial on the very cell said about its heat map, if there was one."""
    kept = row.explanation.get("receipt")
    return Receipt(**kept) if kept else None


def remediation(row: CellRow) -> Remediation | None:
    """What else was tried on the cell, if anything was."""
    kept = row.remediation
    if not kept:
        return None
    attempts = tuple(Attempt(**{**one, "remedy": Remedy(one["remedy"])}) for one in kept["attempts"])
    stands = Remedy(kept["stands"]) if kept["stands"] else None
    return Remediation(tuple(kept["triggers"]), attempts, stands)


def reading(row: CellRow) -> Reading | None:
    """What a language model said about the call, if one was asked and answered."""
    return Reading(**row.reading) if row.reading else None


def description(kept: dict[str, Any]) -> Description | None:
    """A cell in words from its column, if it was described."""
    if not kept:
        return None
    return Description(kept["label"], kept["text"], tuple(kept["supports"]), tuple(kept["contradicts"]))


def measures(row: Classified) -> RedCellMeasures | None:
    """What was measured on a red cell, if it was classified."""
    return RedCellMeasures(**row.measures) if row.measures else None


def cell(row: Classified, label: str | None = None) -> Cell:
    """The cell as the machine saw it or, given a `label`, as the person who reviewed it called it.

    Outline and probabilities, which no figure and no payload needs, stay in the row, and so do the words.
    """
    reasons = tuple(row.review_reasons)
    return Cell(
        row.number,
        _instance(row, ()),
        _call(row, label),
        reasons if row.needs_review else (),
        second=second_call(row),
        measures=measures(row),
        noted=() if row.needs_review else reasons,
    )


def instance(row: CellRow, outlined: bool = True) -> Instance:
    """The cell as it was segmented, with its outline or without."""
    return _instance(row, tuple((x, y) for x, y in row.polygon) if outlined else ())


def _instance(row: Classified, outline: tuple[tuple[int, int], ...]) -> Instance:
    return Instance(
        Kind(row.kind),
        (row.x0, row.y0, row.x1, row.y1),
        outline,
        (row.centroid_x, row.centroid_y),
        row.area_px,
        row.segmentation_confidence,
    )


UNCALLED_COLUMNS = (
    "number",
    "kind",
    "x0",
    "y0",
    "x1",
    "y1",
    "centroid_x",
    "centroid_y",
    "area_px",
    "segmentation_confidence",
)


def uncalled_cell(columns: tuple[Any, ...]) -> Cell:
    """The cell of UNCALLED_COLUMNS: of many thousands, whole rows would take five times as long."""
    number, kind, x0, y0, x1, y1, centroid_x, centroid_y, area_px, confidence = columns
    instance = Instance(Kind(kind), (x0, y0, x1, y1), (), (centroid_x, centroid_y), area_px, confidence)
    return Cell(number, instance)


def notices_from(rows: list[dict[str, str]]) -> tuple[Notice, ...]:
    return tuple(Notice(row["code"], row["text"], Severity(row["severity"])) for row in rows)


def findings(run: AnalysisRun, cells: tuple[Cell, ...], aggregate: Aggregate) -> Findings:
    """The findings of a finished run with these cells and figures."""
    return Findings(
        width=run.width or 0,
        height=run.height or 0,
        pixel_um=run.pixel_um,
        pixel_um_source=run.pixel_um_source,
        quality=quality(run),
        cells=cells,
        aggregate=aggregate,
        networks=networks(run),
        notices=notices_from(run.notices),
        seconds=run.seconds,
        coverage=coverage(run),
    )


def names_red_cells(run: AnalysisRun) -> bool:
    """Whether a network named the shapes of red cells in a run."""
    return any(network["name"] == RBC_NETWORK for network in run.networks)


def quality(run: AnalysisRun) -> Quality:
    """The quality of a finished run's image; what an older analysis did not judge has its default."""
    kept = {**run.quality, "notices": notices_from(run.quality["notices"])}
    if "outcome" in kept:
        kept["outcome"] = Outcome(kept["outcome"])
    return Quality(**kept)


def coverage(run: AnalysisRun) -> Coverage:
    """The tiles of a finished run; none for an older analysis."""
    boxes = tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in run.coverage.get("boxes", ()))
    return Coverage(boxes, tuple(map(TileState, run.coverage.get("states", ()))))


def networks(run: AnalysisRun) -> tuple[NetworkUsed, ...]:
    return tuple(NetworkUsed(**row) for row in run.networks)


def notices(run: AnalysisRun) -> tuple[Notice, ...]:
    """What was noticed about the image and the analysis, quality first."""
    return notices_from([*run.quality["notices"], *run.notices])
