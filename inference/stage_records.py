"""The staging of a smear as a row, and the row as findings again."""

from dataclasses import asdict
from typing import Any

from inference import records
from inference.models import StageCall
from inference.pipeline.findings import (
    FieldState,
    NetworkUsed,
    StagedField,
    Staging,
)


def columns(staging: Staging) -> dict[str, Any]:
    """What the row of a finished staging says."""
    return {
        "label": staging.label or "",
        "probabilities": _numbers(staging.probabilities),
        "intervals_95": {
            stage: [float(low), float(high)] for stage, (low, high) in staging.intervals_95.items()
        },
        "field_calls": [_field_call(field) for field in staging.fields],
        "reasons": list(staging.reasons),
        "notices": [asdict(notice) for notice in staging.notices],
        "needs_review": staging.needs_review,
        "network": staging.network.name,
        "version": staging.network.version,
        "sha256": staging.network.sha256,
    }


def _field_call(field: StagedField) -> dict[str, Any]:
    return {
        "box": [int(edge) for edge in field.box],
        "state": field.state.value,
        "label": field.label,
        "probabilities": _numbers(field.probabilities),
        "nucleated_cells": int(field.nucleated_cells),
        "blast_share": None if field.blast_share is None else float(field.blast_share),
        "disagrees": field.disagrees,
    }


def _numbers(probabilities: Any) -> dict[str, float]:
    return {stage: float(share) for stage, share in probabilities.items()}


def staging(row: StageCall) -> Staging:
    """The machine's word as it was found. Raises ValueError when the staging is not done."""
    if row.status != StageCall.Status.DONE:
        raise ValueError(f"the staging of run {row.run_id} is {row.status}")
    return Staging(
        label=row.label or None,
        probabilities=row.probabilities,
        intervals_95={stage: (low, high) for stage, (low, high) in row.intervals_95.items()},
        fields=tuple(_field(kept) for kept in row.field_calls),
        network=NetworkUsed(row.network, row.version, row.sha256),
        reasons=tuple(row.reasons),
        notices=records.notices_from(row.notices),
    )


def _field(kept: dict[str, Any]) -> StagedField:
    x0, y0, x1, y1 = kept["box"]
    return StagedField(**{**kept, "box": (x0, y0, x1, y1), "state": FieldState(kept["state"])})
