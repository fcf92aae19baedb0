"""The findings of one analysis as the JSON payload in which they leave."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from inference.pipeline.cell_words import Description
from inference.pipeline.findings import (
    Aggregate,
    Call,
    Cell,
    FieldState,
    Findings,
    Notice,
    SecondCall,
    Share,
    StagedField,
    Staging,
    StagingStatus,
    TileState,
)
from inference.pipeline.red_cell_findings import Grade, RedCellMeasures, RedCells


def _round(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def _detection(cell: Cell) -> dict[str, Any]:
    instance, call = cell.instance, cell.call
    x, y = instance.centroid
    found: dict[str, Any] = {
        "cell_id": cell.cell_id,
        "type": instance.kind.value,
        "classification": call.label if call else None,
        "confidence": round(call.confidence if call else instance.confidence, 4),
        "bbox": list(instance.box),
        "centroid": [round(x, 1), round(y, 1)],
    }
    if call:
        found |= _prediction_sets(call)
    if cell.second:
        found["second_call"] = second_call(cell.second)
    if cell.description:
        found["description"] = description(cell.description)
    if cell.measures:
        found["measures"] = measures(cell.measures)
    if cell.noted:
        found["noted"] = list(cell.noted)
    return found


def description(words: Description) -> dict[str, Any]:
    """A cell in words, and the class they were written for, which need not be the one that stands."""
    return asdict(words)


def _prediction_sets(call: Call) -> dict[str, list[str]]:
    return {f"prediction_set_{level}": list(labels) for level, labels in call.sets.items()}


def second_call(call: SecondCall) -> dict[str, Any]:
    """What a second network calls a cell."""
    return {
        "classification": call.label,
        "confidence": round(call.confidence, 4),
        "network": {"name": call.network, "version": call.version},
    }


def _uncertain(cell: Cell, detection: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cell_id": cell.cell_id,
        "type": detection["type"],
        "predicted_class": detection["classification"],
        "confidence": detection["confidence"],
        "reason": ", ".join(cell.review_reasons),
        "requires_manual_review": True,
        **({"description": detection["description"]} if cell.description else {}),
    }


def cells_part(cells: Iterable[Cell]) -> dict[str, list[dict[str, Any]]]:
    """Write the cells, and once more those that a person has to look at; each is let go when it is written,
    so that many thousands need not be held."""
    detections, uncertain = [], []
    for cell in cells:
        detection = _detection(cell)
        detections.append(detection)
        if cell.review_reasons:
            uncertain.append(_uncertain(cell, detection))
    return {"cell_detections": detections, "uncertain_cases": uncertain}


def _notices(notices: Sequence[Notice]) -> list[dict[str, str]]:
    return [{"code": n.code, "text": n.text, "severity": n.severity.value} for n in notices]


def _differential(aggregate: Aggregate) -> dict[str, Any]:
    shares = aggregate.differential
    return {
        "total": aggregate.wbc_count,
        "distribution": {label: share.count for label, share in shares.items()},
        "percent": {label: round(share.percent, 2) for label, share in shares.items()},
        "intervals_95": {label: [round(s.low, 2), round(s.high, 2)] for label, s in shares.items()},
        "erythroblast_count": aggregate.erythroblast_count,
        "erythroblasts_per_100_wbc": _round(aggregate.erythroblasts_per_100_wbc, 2),
        "artifact_count": aggregate.artifact_count,
        "left_shift_index": _round(aggregate.left_shift_index, 2),
        "myeloid_erythroid_ratio": _round(aggregate.myeloid_erythroid_ratio, 2),
        "flags": _notices(aggregate.flags),
    }


def red_cells_part(red: RedCells | None, total: int) -> dict[str, Any]:
    """Write the red cells of a smear, of which `total` were counted; without a network that is all."""
    if red is None:
        return {
            "status": "not_analysed",
            "total": total,
            "distribution": {},
            "abnormality_rate": None,
            "flags": [],
        }
    known = red.classified > 0
    return {
        "status": "analysed",
        "total": total,
        "classified": red.classified,
        "size_basis": red.size_basis.value,
        "distribution": {one.label: one.share.count for one in red.classes},
        "percent": {one.label: round(one.share.percent, 2) for one in red.classes},
        "intervals_95": {one.label: _interval(one.share) for one in red.classes},
        "grades": {one.label: _grade(one.grade) for one in red.classes if one.label != "normal"},
        "abnormality_rate": round(red.abnormal.percent / 100, 4) if known else None,
        "abnormality_interval_95": [round(end / 100, 4) for end in (red.abnormal.low, red.abnormal.high)],
        "poikilocytosis": {
            "count": red.poikilocytosis.share.count,
            "percent": round(red.poikilocytosis.share.percent, 2),
            "interval_95": _interval(red.poikilocytosis.share),
            "grade": _grade(red.poikilocytosis.grade),
        },
        "measures_disagree": asdict(red.disagreeing),
        "diameter": _diameters(red),
        "anisocytosis_cv": _round(red.diameters.cv_percent, 2) if red.diameters else None,
        "anisocytosis_grade": _grade(red.anisocytosis),
        "flags": _notices(red.flags),
        "notices": _notices(red.notices),
    }


def _interval(share: Share) -> list[float]:
    return [round(share.low, 2), round(share.high, 2)]


def _grade(grade: Grade) -> dict[str, Any]:
    """A grade as it is written, those at the ends of the interval, or why there is none."""
    return {
        "grade": grade.text or None,
        "interval_95": [grade.low, grade.high] if grade.text else None,
        "not_graded": grade.not_graded.value if grade.not_graded else None,
    }


def _diameters(red: RedCells) -> dict[str, Any] | None:
    sizes = red.diameters
    if sizes is None:
        return None
    return {
        "n": sizes.count,
        "mean_um": _round(sizes.mean_um, 2),
        "median_um": _round(sizes.median_um, 2),
        "cv_percent": round(sizes.cv_percent, 2),
        "cv_interval_95": [round(sizes.cv_low, 2), round(sizes.cv_high, 2)],
    }


_MEASURED = [measure.name for measure in fields(RedCellMeasures)]


def measures(of: RedCellMeasures) -> dict[str, float | None]:
    """What was measured on a red cell."""
    return {name: _round(getattr(of, name), 3) for name in _MEASURED}


def _quality_metrics(findings: Findings) -> dict[str, Any]:
    aggregate, quality = findings.aggregate, findings.quality
    return {
        "avg_confidence": _round(aggregate.mean_confidence),
        "uncertain_share": _round(aggregate.uncertain_share),
        "stain_quality": round(quality.stain, 3),
        "focus_quality": round(quality.focus, 3),
        "exposure_quality": round(quality.exposure, 3),
        "coverage": round(quality.coverage, 3),
        "clumping_quality": round(quality.clumping, 3),
        "outcome": quality.outcome.value,
        "tiles": {state.value: findings.coverage.count(state) for state in TileState},
    }


def staging_part(staging: Staging | None) -> dict[str, Any]:
    """Write the staging of a smear; where nobody asked for it, that is all there is to say."""
    if staging is None:
        return {"status": StagingStatus.NOT_REQUESTED.value, "label": None, "probabilities": {}}
    network = staging.network
    return {
        "status": staging.status.value,
        "label": staging.label,
        "probabilities": _rounded(staging.probabilities),
        "intervals_95": {
            stage: [round(low, 4), round(high, 4)] for stage, (low, high) in staging.intervals_95.items()
        },
        "fields": {
            "used": staging.count(FieldState.STAGED),
            "left_out": {
                state.value: staging.count(state) for state in FieldState if state is not FieldState.STAGED
            },
        },
        "field_calls": [_field_call(field) for field in staging.fields],
        "network": {"name": network.name, "version": network.version, "sha256": network.sha256},
        "reasons": list(staging.reasons),
        "requires_manual_review": staging.needs_review,
        "notices": _notices(staging.notices),
    }


def _field_call(field: StagedField) -> dict[str, Any]:
    return {
        "bbox": list(field.box),
        "status": field.state.value,
        "label": field.label,
        "probabilities": _rounded(field.probabilities),
        "nucleated_cells": field.nucleated_cells,
        "blast_share": _round(field.blast_share),
        "disagrees": field.disagrees,
    }


def _rounded(probabilities: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(share, 4) for stage, share in probabilities.items()}


def payload(findings: Findings, image_id: str, timestamp: datetime) -> dict[str, Any]:
    """Write the findings as the JSON payload that other systems read.

    Stages that did not run say ``"status": "not_analysed"`` or ``"not_requested"`` and hold no figures.
    """
    aggregate = findings.aggregate
    networks = (*findings.networks, *([findings.staging.network] if findings.staging else []))
    return {
        "image_id": image_id,
        "timestamp": timestamp.isoformat(),
        "processing_time_seconds": round(sum(findings.seconds.values()), 3),
        "summary": {
            "total_cells": aggregate.total_cells,
            "rbc_count": aggregate.rbc_count,
            "wbc_count": aggregate.wbc_count,
            "platelet_count": aggregate.platelet_count,
            "rbc_wbc_ratio": _round(aggregate.rbc_wbc_ratio, 2),
            "image_quality": round(findings.quality.score, 3),
        },
        "rbc_analysis": red_cells_part(findings.red, aggregate.rbc_count),
        "wbc_differential": _differential(aggregate),
        "staging": staging_part(findings.staging),
        **cells_part(findings.cells),
        "quality_metrics": _quality_metrics(findings),
        "notices": _notices((*findings.quality.notices, *findings.notices)),
        "image": {
            "width": findings.width,
            "height": findings.height,
            "pixel_um": _round(findings.pixel_um),
            "pixel_um_source": findings.pixel_um_source,
        },
        "networks": [{"name": n.name, "version": n.version, "sha256": n.sha256} for n in networks],
        "ruo": True,
    }
