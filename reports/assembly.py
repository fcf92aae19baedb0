"""From a case and what was found in its smears to the content of a report; reads only."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from PIL import Image

from accounts.context import version as software_version
from accounts.sign_off import CRITICAL_FINDINGS
from cases.selectors import CaseFacts, case_facts
from inference import gate
from inference import selectors as inference
from inference.names import (
    QUALITY_PARTS,
    grade_note,
    leukemia_name,
    outcome_name,
    red_finding_name,
    source_name,
    staging_status_name,
)
from inference.pipeline.findings import Notice, Outcome
from inference.pipeline.red_cell_findings import Diameters, Grade, RedCells, RedClass
from inference.selectors import SmearResult

from . import content as parts
from .content import Amendment, Line, ReportContent
from .red_cells import CaseRedCells, RedLine, Spread
from .sign_off import Answer, Call, CaseSignOff
from .staging import CaseStaging, StagedImage, StageShare

SOFTWARE = "WBC Portal"
MAX_SHOWN = 20
FIELD_SIDE_PX = 1400
CROP_SIDE_PX = 160


@dataclass(frozen=True, slots=True)
class Heading:
    """What a version of a report brings along itself: which it is, and what people wrote on it."""

    report_id: UUID
    version: int
    created_at: datetime
    comment: str = ""
    amends: Amendment | None = None


def assemble(case_id: UUID, heading: Heading) -> ReportContent:
    """The content as the case stands now, unsigned; the same case gives the same content."""
    case, results = case_facts(case_id), inference.smear_results(case_id)
    aggregate, class_lines, red = inference.case_aggregate(case_id)
    lines = tuple(_line(line) for line in class_lines)
    cells = [(number, cell) for number, result in enumerate(results, 1) for cell in result.abnormal]
    staged = _staging(case, results)
    dates = [heading.created_at, *(result.signed_off_at or result.analysed_at for result in results)]
    return ReportContent(
        schema=parts.SCHEMA_VERSION,
        report_id=str(heading.report_id),
        version=heading.version,
        software=SOFTWARE,
        software_version=software_version(),
        written_at=max(dates),
        lab=parts.Laboratory(str(case.lab_id), case.lab_name, case.lab_address),
        patient=_patient(case),
        order=_order(case),
        summary=" ".join([summary(aggregate, lines, len(results)), *staged.summary]),
        aggregate=aggregate,
        lines=lines,
        images=tuple(_image(result) for result in results),
        shown=tuple(_shown(number, cell) for number, cell in _choose(cells)),
        shown_of=len(cells),
        not_analysed=() if red else ("rbc_morphology",),
        comment=heading.comment,
        amends=heading.amends,
        staging=staged,
        red_cells=_red_cells(red) if red else None,
        sign_off=_sign_off(gate.settled(case_id), results),
    )


def summary(total: Any, lines: Sequence[Line], images: int) -> str:
    """One paragraph: how much was counted, the shares, and what lies outside the reference ranges."""
    counted = ngettext(
        "%(n)d leukocyte was counted in", "%(n)d leukocytes were counted in", total.wbc_count
    ) % {"n": total.wbc_count}
    where = ngettext("%(n)d image.", "%(n)d images.", images) % {"n": images}
    sentences = [f"{counted} {where}"]
    present = [f"{line.name.lower()} {line.share:.1f} %" for line in lines if line.count]
    if present:
        sentences.append(_("Differential: %(shares)s.") % {"shares": ", ".join(present)})
        sentences.append(_outside(lines))
    return " ".join(sentences)


def _outside(lines: Sequence[Line]) -> str:
    words = {"H": _("above"), "L": _("below")}
    found = [f"{line.name.lower()} {words[line.direction]}" for line in lines if line.outside]
    if not found and any(line.reference and not line.direction for line in lines):
        return _("Too few leukocytes were counted to compare every share with its reference range.")
    if not found:
        return _("No share lies outside its reference range.")
    return _("Outside the reference range: %(classes)s.") % {"classes": ", ".join(found)}


def _patient(case: CaseFacts) -> parts.Patient:
    who = case.patient
    return parts.Patient(
        str(who.patient_id), who.mrn, who.family_name, who.given_name, who.birth_date, who.sex
    )


def _order(case: CaseFacts) -> parts.Order:
    return parts.Order(
        str(case.case_id),
        case.accession,
        case.indication,
        case.priority,
        case.collected_at,
        case.stain,
        case.scanner,
    )


def _line(line: inference.ClassLine) -> Line:
    return Line(
        line.key,
        line.name,
        line.count,
        line.percent,
        line.low,
        line.high,
        line.reference,
        line.outside,
    )


def _image(result: SmearResult) -> parts.SmearImage:
    return parts.SmearImage(
        id=str(result.smear_id),
        name=result.original_name,
        sha256=result.sha256,
        uploaded_at=result.uploaded_at,
        width=result.width,
        height=result.height,
        pixel_um=result.pixel_um,
        pixel_um_source=source_name(result.pixel_um_source),
        run_id=str(result.run_id),
        analysed_at=result.analysed_at,
        signed_off_by=result.signed_off_by or "",
        signed_off_at=result.signed_off_at,
        wbc_count=result.aggregate.wbc_count,
        rbc_count=result.aggregate.rbc_count,
        platelet_count=result.aggregate.platelet_count,
        cells_reviewed=result.cells_reviewed,
        cells_corrected=result.cells_corrected,
        quality={part: float(getattr(result.quality, part)) for part in ("score", *QUALITY_PARTS)},
        notices=_notices(result),
        networks=result.networks,
        annotated=picture(result.annotated_png, FIELD_SIDE_PX),
        payload=result.payload,
    )


def _sign_off(settled: gate.Settled, results: Sequence[SmearResult]) -> CaseSignOff | None:
    if not settled.calls and not settled.answers:
        return None
    images = {str(result.run_id): result.original_name for result in results}
    calls = tuple(_call(call, stands) for call, stands in settled.calls)
    return CaseSignOff(calls, tuple(_answer(answer, images) for answer in settled.answers))


def _call(call: Any, stands: bool) -> Call:
    finding = CRITICAL_FINDINGS.get(call.finding)
    return Call(
        finding=call.finding,
        name=str(finding.name) if finding else call.finding,
        cell_class=finding.cell_class if finding else "",
        says=call.says,
        told=call.told,
        told_by=call.told_by,
        told_at=call.told_at,
        how=call.how,
        how_name=str(call.get_how_display()),
        read_back=call.read_back,
        note=call.note,
        recorded_by=str(call.recorded_by),
        stands=stands,
    )


def _answer(answer: Any, images: Mapping[str, str]) -> Answer:
    return Answer(
        key=answer.check_key,
        name=str(answer.get_check_key_display()),
        image=images.get(answer.runs[0], "") if answer.check_key == gate.Key.SEEN else "",
        says=answer.says,
        answer=answer.answer,
        answer_name=str(answer.get_answer_display()),
        reason=answer.reason,
        answered_by=str(answer.answered_by),
        answered_at=answer.answered_at,
    )


def _staging(case: CaseFacts, results: Sequence[SmearResult]) -> CaseStaging:
    if case.staging_requested_at is None:
        return CaseStaging()
    images = tuple(_staged(number, result) for number, result in enumerate(results, 1))
    return CaseStaging(case.staging_requested_by, case.staging_requested_at, images)


def _staged(number: int, result: SmearResult) -> StagedImage:
    staging = result.staging
    review, status = staging.review, staging.status
    machine_name = leukemia_name(staging.machine_label) if staging.machine_label else ""
    without = staging_status_name(status).capitalize()
    return StagedImage(
        image=number,
        name=result.original_name,
        status=status,
        label=staging.label,
        label_name=leukemia_name(staging.label) if staging.label else without,
        machine_label=staging.machine_label,
        machine_label_name=machine_name,
        shares=tuple(_share(share) for share in staging.shares),
        used=staging.used,
        total=len(staging.fields),
        left_out=tuple(staging.left_out),
        reasons=tuple(staging.reasons),
        reviewed_by=str(review.reviewer) if review else "",
        comment=review.comment if review else "",
        network=staging.networks[0] if staging.networks else None,
        notices=staging.notices,
    )


def _share(share: inference.StageShare) -> StageShare:
    values = (share.probability, share.low, share.high)
    return StageShare(share.key, share.name, *(parts.rounded(100 * value) for value in values))


def _red_cells(red: RedCells) -> CaseRedCells:
    return CaseRedCells(
        total=red.total,
        classified=red.classified,
        lines=tuple(_red_line(one) for one in red.classes),
        abnormal=_red_line(RedClass("abnormal", red.abnormal, Grade(None))),
        poikilocytosis=_red_line(red.poikilocytosis),
        spread=_spread(red.diameters, red.anisocytosis) if red.diameters else None,
        flags=red.flags,
        notices=red.notices,
        disagreeing=red.disagreeing,
    )


def _red_line(one: RedClass) -> RedLine:
    found = one.share
    return RedLine(
        key=one.label,
        name=red_finding_name(one.label),
        count=found.count,
        percent=parts.rounded(found.percent),
        low=parts.rounded(found.low),
        high=parts.rounded(found.high),
        grade=one.grade.text,
        note=grade_note(one.grade),
    )


def _spread(sizes: Diameters, grade: Grade) -> Spread:
    return Spread(
        count=sizes.count,
        mean_um=None if sizes.mean_um is None else parts.rounded(sizes.mean_um),
        cv_percent=parts.rounded(sizes.cv_percent),
        cv_low=parts.rounded(sizes.cv_low),
        cv_high=parts.rounded(sizes.cv_high),
        grade=grade.text,
        note=grade_note(grade),
    )


def _notices(result: SmearResult) -> tuple[Notice, ...]:
    """What was noticed about an image; what its quality means comes first, unless it is simply usable."""
    outcome = result.quality.outcome
    if outcome is Outcome.USABLE:
        return result.notices
    return (Notice(outcome.value, f"{outcome_name(outcome)}."), *result.notices)


def _choose(cells: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """At most `MAX_SHOWN`: those a person spoke on first, then the surest calls."""
    return sorted(cells, key=lambda item: (item[1].reviewed_by is None, -item[1].confidence))[:MAX_SHOWN]


def _shown(image: int, cell: inference.AbnormalCell) -> parts.ShownCell:
    return parts.ShownCell(
        image,
        cell.number,
        cell.label,
        cell.label_name,
        cell.machine_label_name,
        cell.confidence,
        cell.reviewed_by,
        cell.comment,
        picture(cell.crop_png, CROP_SIDE_PX),
    )


def picture(data: bytes, side_px: int) -> str:
    """An image file as a JPEG data URI no longer than `side_px` on either side; empty for no image."""
    if not data:
        return ""
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
    small.thumbnail((side_px, side_px))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
