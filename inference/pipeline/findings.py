"""What passes between the stages, and the JSON payload in which it leaves.

Coordinates are level-0 pixels; boxes are ``x0, y0, x1, y1`` with ``x1, y1`` exclusive; images are
uint8 RGB arrays of shape (height, width, 3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Outline = Sequence[tuple[float, float]]
Shown = Literal["field", "cell"]
Box = tuple[int, int, int, int]


class Kind(StrEnum):
    """What segmentation tells apart."""

    WBC = "WBC"
    RBC = "RBC"
    PLATELET = "platelet"


class Severity(StrEnum):
    """What a notice asks for: nothing, a second look, or another image."""

    INFO = "info"
    WARN = "warn"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Notice:
    """One observation about the image or the analysis, worded for the user."""

    code: str
    text: str
    severity: Severity = Severity.WARN


class Outcome(StrEnum):
    """What the quality of an image means for its reader."""

    USABLE = "usable"
    RESCAN = "rescan"
    STAIN_REVIEW = "stain_review"


@dataclass(frozen=True, slots=True)
class Quality:
    """Image quality: every part and the score lie in 0–1, 1 is best; `outcome` is what follows from it."""

    score: float
    focus: float
    stain: float
    exposure: float
    coverage: float
    clumping: float = 1.0
    notices: tuple[Notice, ...] = ()
    outcome: Outcome = Outcome.USABLE


class TileState(StrEnum):
    """What became of a tile."""

    ANALYSED = "analysed"
    BACKGROUND = "background"
    BLURRED = "blurred"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which part of an image was analysed: the boxes of all tiles in level-0 pixels, row by row and
    overlapping, and the state of each, in the same order."""

    boxes: tuple[Box, ...] = ()
    states: tuple[TileState, ...] = ()

    def count(self, state: TileState) -> int:
        """How many tiles ended in a state."""
        return self.states.count(state)


@dataclass(frozen=True, slots=True)
class Instance:
    """One segmented cell. `polygon` is its outline, `area_px` the pixels inside its mask."""

    kind: Kind
    box: Box
    polygon: tuple[tuple[int, int], ...]
    centroid: tuple[float, float]
    area_px: int
    confidence: float
    solidity: float = 1.0
    tile: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A classification: calibrated `probabilities` over the classes that can occur, summing to 1.

    `sets` holds a prediction set for each level in %: the classes among which the true one is found in so
    many of 100 cells, most likely first, the label always among them. `ood_score` is the higher the less the
    cell is like those the network was trained on. Both are missing where the card gives no thresholds.
    """

    label: str
    confidence: float
    probabilities: Mapping[str, float]
    abstained: bool = False
    sets: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    ood_score: float | None = None
    out_of_distribution: bool = False


@dataclass(frozen=True, slots=True)
class SecondCall:
    """What a second, independent network calls the same cell; `network` and `version` say which one."""

    label: str
    confidence: float
    network: str
    version: str


class Stored(Protocol):
    """An array that lies elsewhere; ``np.asarray`` fetches it."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the network looked: `heatmap` float32 (side, side) in 0–1 over the crop; `focus_ratio` is
    the share of its energy that falls on the cell, `strength` its raw maximum before scaling."""

    heatmap: NDArray[np.float32] | Stored
    focus_ratio: float
    strength: float


@dataclass(frozen=True, slots=True)
class Cell:
    """An instance that counted as a cell, with whatever is known about it so far.

    `call` is None for cells that no network has classified, `second` where there is no second network; `crop`
    is the square the classifier saw, uint8 RGB (side, side, 3).
    """

    cell_id: int
    instance: Instance
    call: Call | None = None
    review_reasons: tuple[str, ...] = ()
    crop: Image | Stored | None = None
    explanation: Explanation | None = None
    second: SecondCall | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `total` as a percentage with its exact (Clopper–Pearson) 95 % interval, all in %."""

    count: int
    percent: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The figures of one smear.

    `differential` holds one share per leukocyte class; the rest are counts or ratios, None where the
    denominator is zero. `erythroblasts_per_100_wbc` is a ratio, not part of the 100 %.
    """

    total_cells: int
    rbc_count: int
    wbc_count: int
    platelet_count: int
    artifact_count: int
    erythroblast_count: int
    differential: Mapping[str, Share]
    rbc_wbc_ratio: float | None
    erythroblasts_per_100_wbc: float | None
    left_shift_index: float | None
    myeloid_erythroid_ratio: float | None
    uncertain_share: float | None
    mean_confidence: float | None
    flags: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class NetworkUsed:
    """A network that had a say, as its card names it."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything one analysis found out about one image."""

    width: int
    height: int
    pixel_um: float | None
    pixel_um_source: str
    quality: Quality
    cells: tuple[Cell, ...]
    aggregate: Aggregate
    networks: tuple[NetworkUsed, ...]
    notices: tuple[Notice, ...]
    seconds: Mapping[str, float]
    coverage: Coverage = Coverage()


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
        **({"second_call": _second(cell.second)} if cell.second else {}),
    }


def _prediction_sets(call: Call) -> dict[str, list[str]]:
    return {f"prediction_set_{level}": list(labels) for level, labels in call.sets.items()}


def _second(call: SecondCall) -> dict[str, Any]:
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


def payload(findings: Findings, image_id: str, timestamp: datetime) -> dict[str, Any]:
    """Write the findings as the JSON payload that other systems read.

    Stages that did not run say ``"status": "not_analysed"`` and hold no figures.
    """
    aggregate = findings.aggregate
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
        "staging": {"status": "not_analysed", "label": None, "probabilities": {}},
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
        "networks": [{"name": n.name, "version": n.version, "sha256": n.sha256} for n in findings.networks],
        "ruo": True,
    }
