"""The report as the JSON that other systems read: the pooled figures, then every image's own payload."""

from typing import Any

from inference.pipeline.findings import Notice

from . import codes
from .content import RUO, Line, ReportContent, ShownCell, SmearImage, Superseded, digest, rounded
from .red_cells import Spread
from .sign_off import Answer, Call
from .staging import CaseStaging, StagedImage

Json = dict[str, Any]


def write(content: ReportContent, superseded: Superseded | None = None) -> Json:
    total = content.aggregate
    return {
        "report": _report(content, superseded),
        "patient": _patient(content),
        "case": _case(content),
        "summary": {
            "text": content.summary,
            "total_cells": total.total_cells,
            "rbc_count": total.rbc_count,
            "wbc_count": total.wbc_count,
            "platelet_count": total.platelet_count,
            "artifact_count": total.artifact_count,
            "rbc_wbc_ratio": _rounded(total.rbc_wbc_ratio),
            "images": len(content.images),
        },
        "wbc_differential": _differential(content),
        "rbc_analysis": _red_cells(content),
        "staging": _staging(content.staging),
        "figures": [_figure(figure) for figure in codes.figures(content)],
        "abnormal_cells": {"total": content.shown_of, "shown": [_shown(cell) for cell in content.shown]},
        "critical_findings": [_call(call) for call in content.sign_off.calls] if content.sign_off else [],
        "completeness": [_answer(one) for one in content.sign_off.answers] if content.sign_off else [],
        "review": {"cells_reviewed": content.reviewed, "cells_corrected": content.corrected},
        "comment": content.comment,
        "images": [_image(image) for image in content.images],
        "networks": [{"name": n.name, "version": n.version, "sha256": n.sha256} for n in content.networks],
        "ruo": True,
        "notice": RUO,
    }


def status(content: ReportContent, superseded: Superseded | None = None) -> str:
    if superseded:
        return "superseded"
    if content.signature is None:
        return "preliminary"
    return "corrected" if content.amends else "final"


def _report(content: ReportContent, superseded: Superseded | None) -> Json:
    signature, amends = content.signature, content.amends
    return {
        "id": content.report_id,
        "version": content.version,
        "status": status(content, superseded),
        "superseded_by": superseded.version if superseded else None,
        "issued_at": content.issued_at.isoformat(),
        "amends": {"version": amends.version, "reason": amends.reason} if amends else None,
        "signature": {
            "name": signature.name,
            "role": signature.role,
            "at": signature.at.isoformat(),
            "meaning": signature.meaning,
        }
        if signature
        else None,
        "content_sha256": digest(content),
        "software": {"name": content.software, "version": content.software_version},
    }


def _patient(content: ReportContent) -> Json:
    patient = content.patient
    return {
        "mrn": patient.mrn,
        "family_name": patient.family_name,
        "given_name": patient.given_name,
        "birth_date": patient.birth_date.isoformat() if patient.birth_date else None,
        "sex": patient.sex,
    }


def _case(content: ReportContent) -> Json:
    order = content.order
    return {
        "accession": order.accession,
        "indication": order.indication,
        "priority": order.priority,
        "collected_at": order.collected_at.isoformat(),
        "stain": order.stain,
        "scanner": order.scanner,
        "laboratory": content.lab.name,
    }


def _differential(content: ReportContent) -> Json:
    total, lines = content.aggregate, content.lines
    return {
        "total": total.wbc_count,
        "distribution": {line.key: line.count for line in lines},
        "percent": {line.key: line.share for line in lines},
        "intervals_95": {line.key: list(line.interval) for line in lines},
        "reference_percent": {line.key: _reference(line) for line in lines},
        "outside_reference": [line.key for line in lines if line.outside],
        "erythroblast_count": total.erythroblast_count,
        "erythroblasts_per_100_wbc": _rounded(total.erythroblasts_per_100_wbc),
        "artifact_count": total.artifact_count,
        "left_shift_index": _rounded(total.left_shift_index),
        "myeloid_erythroid_ratio": _rounded(total.myeloid_erythroid_ratio),
        "flags": [_notice(flag) for flag in total.flags],
    }


def _red_cells(content: ReportContent) -> Json:
    red = content.red_cells
    if red is None:
        return {"status": "not_analysed", "total": content.aggregate.rbc_count}
    return {
        "status": "analysed",
        "total": red.total,
        "classified": red.classified,
        "distribution": {line.key: line.count for line in red.lines},
        "percent": {line.key: line.percent for line in red.lines},
        "intervals_95": {line.key: [line.low, line.high] for line in red.lines},
        "grades": {
            line.key: {"grade": line.grade or None, "note": line.note or None} for line in red.findings
        },
        "abnormality_rate": round(red.abnormal.percent / 100, 3),
        "diameter": _spread(red.spread),
        "anisocytosis_cv": red.spread and red.spread.cv_percent,
        "flags": [_notice(flag) for flag in red.flags],
        "notices": [_notice(notice) for notice in red.notices],
    }


def _spread(spread: Spread | None) -> Json | None:
    if spread is None:
        return None
    return {
        "n": spread.count,
        "mean_um": spread.mean_um,
        "cv_percent": spread.cv_percent,
        "cv_interval_95": [spread.cv_low, spread.cv_high],
        "anisocytosis_grade": spread.grade or None,
        "note": spread.note or None,
    }


def _staging(staging: CaseStaging | None) -> Json:
    """The stage that all images have in common, if they have one, and what was found in each."""
    if staging is None or not staging.requested:
        return {"status": "not_requested" if staging else "not_analysed", "label": None}
    return {
        "status": "staged" if any(image.is_staged for image in staging.images) else "not_stageable",
        "label": staging.label or None,
        "requested_by": staging.requested_by,
        "requested_at": staging.requested_at and staging.requested_at.isoformat(),
        "images": [_staged(image) for image in staging.images],
        "notices": [_notice(notice) for notice in staging.notices],
    }


def _staged(image: StagedImage) -> Json:
    network = image.network
    return {
        "image": image.image,
        "status": image.status.value,
        "label": image.label or None,
        "machine_label": image.machine_label or None,
        "reviewed_by": image.reviewed_by or None,
        "comment": image.comment,
        "probabilities": {share.key: round(share.percent / 100, 3) for share in image.shares},
        "intervals_95": {
            share.key: [round(share.low / 100, 3), round(share.high / 100, 3)] for share in image.shares
        },
        "fields": {"used": image.used, "left_out": dict(image.left_out)},
        "reasons": list(image.reasons),
        "network": {"name": network.name, "version": network.version, "sha256": network.sha256}
        if network
        else None,
    }


def _call(call: Call) -> Json:
    return {
        "finding": call.finding,
        "name": call.name,
        "text": call.says,
        "stands": call.stands,
        "told": call.told,
        "told_by": call.told_by,
        "told_at": call.told_at.isoformat(),
        "how": call.how,
        "read_back": call.read_back,
        "note": call.note,
        "recorded_by": call.recorded_by,
    }


def _answer(one: Answer) -> Json:
    return {
        "check": one.key,
        "image": one.image or None,
        "text": one.says,
        "answer": one.answer,
        "reason": one.reason,
        "answered_by": one.answered_by,
        "answered_at": one.answered_at.isoformat(),
    }


def _figure(figure: codes.Figure) -> Json:
    return {
        "key": figure.key,
        "system": figure.code.system.value,
        "code": figure.code.code,
        "value": figure.value,
        "unit": figure.unit.ucum,
    }


def _image(image: SmearImage) -> Json:
    return {
        "id": image.id,
        "name": image.name,
        "sha256": image.sha256,
        "uploaded_at": image.uploaded_at.isoformat(),
        "analysed_at": image.analysed_at.isoformat(),
        "signed_off_by": image.signed_off_by,
        "signed_off_at": image.signed_off_at.isoformat() if image.signed_off_at else None,
        "cells_reviewed": image.cells_reviewed,
        "cells_corrected": image.cells_corrected,
        "notices": [_notice(notice) for notice in image.notices],
        "result": image.payload,
    }


def _shown(cell: ShownCell) -> Json:
    return {
        "image": cell.image,
        "cell_id": cell.number,
        "label": cell.label,
        "machine_label": cell.machine_label_name,
        "confidence": round(cell.confidence, 4),
        "reviewed_by": cell.reviewed_by,
        "comment": cell.comment,
    }


def _reference(line: Line) -> list[float] | None:
    return list(line.reference) if line.reference else None


def _notice(notice: Notice) -> Json:
    return {"code": notice.code, "text": notice.text, "severity": notice.severity.value}


def _rounded(value: float | None) -> float | None:
    return None if value is None else rounded(value)
