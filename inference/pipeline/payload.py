"""The findings of one analysis as the JSON payload in which they leave."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
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
    StagedField,
    Staging,
    StagingStatus,
    TileState,
)


def _round(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def _detection(cell: Cell) -> dict[str, Any]:
    instance, call = cell.instance, cell.call
    return {
        "cell_id": cell.cell_id,
        "type": instance.kind.value,
        "classification": call.label if call else None,
        "confidence": round(call.confidence if call else instance.confidence, 4),
        "bbox": list(instance.box),
        "centroid": [round(value, 1) for value in instance.centroid],
        **(_prediction_sets(call) if call else {}),
        **({"second_call": second_call(cell.second)} if cell.second else {}),
        **({"description": description(cell.description)} if cell.description else {}),
    }


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


def _uncertain(cell: Cell) -> dict[str, Any]:
    detection = _detection(cell)
    return {
        "cell_id": cell.cell_id,
        "type": detection["type"],
        "predicted_class": detection["classification"],
        "confidence": detection["confidence"],
        "reason": ", ".join(cell.review_reasons),
        "requires_manual_review": True,
        **({"description": detection["description"]} if cell.description else {}),
    }


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
        "rbc_analysis": {
            "status": "not_analysed",
            "total": aggregate.rbc_count,
            "distribution": {},
            "abnormality_rate": None,
            "flags": [],
        },
        "wbc_differential": _differential(aggregate),
        "staging": staging_part(findings.staging),
        "cell_detections": [_detection(cell) for cell in findings.cells],
        "uncertain_cases": [_uncertain(cell) for cell in findings.cells if cell.review_reasons],
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
