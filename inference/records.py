"""Findings as rows, and rows as findings again."""

from dataclasses import asdict
from typing import Any

from django.core.files.base import ContentFile

from inference import pictures
from inference.models import AnalysisRun
from inference.models import Cell as CellRow
from inference.pipeline.findings import (
    Aggregate,
    Call,
    Cell,
    Findings,
    Instance,
    Kind,
    NetworkUsed,
    Notice,
    Quality,
    Severity,
)


def run_columns(findings: Findings) -> dict[str, Any]:
    """What the row of a finished run says about the whole image."""
    return {
        "width": findings.width,
        "height": findings.height,
        "pixel_um": findings.pixel_um,
        "pixel_um_source": findings.pixel_um_source,
        "quality": asdict(findings.quality),
        "notices": [asdict(notice) for notice in findings.notices],
        "networks": [asdict(network) for network in findings.networks],
        "seconds": dict(findings.seconds),
    }


def cell_row(run: AnalysisRun, cell: Cell) -> CellRow:
    """The row of one cell, not saved; its pictures are attached but not yet written."""
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
        review_reasons=list(cell.review_reasons),
        needs_review=bool(cell.review_reasons),
    )
    if call:
        row.label, row.confidence, row.abstained = call.label, call.confidence, call.abstained
        row.probabilities = {label: float(value) for label, value in call.probabilities.items()}
    if explanation:
        row.focus_ratio, row.heatmap_strength = explanation.focus_ratio, explanation.strength
    return row


def write_pictures(row: CellRow, cell: Cell) -> None:
    """Write a cell's crop and heat map to storage; the row still has to be saved."""
    if cell.crop is not None:
        row.crop.save("crop.png", ContentFile(pictures.png(cell.crop)), save=False)
    if cell.explanation is not None:
        heat = pictures.heatmap_png(cell.explanation.heatmap)
        row.heatmap.save("heatmap.png", ContentFile(heat), save=False)


def _call(row: CellRow, label: str | None) -> Call | None:
    """The machine's call or, given a person's `label`, that one: a person does not abstain."""
    if not row.label:
        return None
    if label is None:
        return Call(row.label, row.confidence or 0.0, row.probabilities, row.abstained)
    return Call(label, row.confidence or 0.0, row.probabilities, abstained=False)


def cell(row: CellRow, label: str | None = None) -> Cell:
    """The cell as the machine saw it or, given a `label`, as the person who reviewed it called it."""
    instance = Instance(
        Kind(row.kind),
        (row.x0, row.y0, row.x1, row.y1),
        tuple((x, y) for x, y in row.polygon),
        (row.centroid_x, row.centroid_y),
        row.area_px,
        row.segmentation_confidence,
    )
    return Cell(row.number, instance, _call(row, label), tuple(row.review_reasons))


def _notices(rows: list[dict[str, str]]) -> tuple[Notice, ...]:
    return tuple(Notice(row["code"], row["text"], Severity(row["severity"])) for row in rows)


def findings(run: AnalysisRun, cells: tuple[Cell, ...], aggregate: Aggregate) -> Findings:
    """The findings of a finished run with these cells and figures."""
    quality = {**run.quality, "notices": _notices(run.quality["notices"])}
    return Findings(
        width=run.width or 0,
        height=run.height or 0,
        pixel_um=run.pixel_um,
        pixel_um_source=run.pixel_um_source,
        quality=Quality(**quality),
        cells=cells,
        aggregate=aggregate,
        networks=networks(run),
        notices=_notices(run.notices),
        seconds=run.seconds,
    )


def networks(run: AnalysisRun) -> tuple[NetworkUsed, ...]:
    return tuple(NetworkUsed(**row) for row in run.networks)


def notices(run: AnalysisRun) -> tuple[Notice, ...]:
    """What was noticed about the image and the analysis, quality first."""
    return _notices([*run.quality["notices"], *run.notices])
