"""The four formats in which a report leaves, each written from the same content."""

import json
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings
from django.http import HttpResponse
from django.utils.http import content_disposition_header
from django.utils.text import slugify

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User

from . import fhir, hl7, payload, pdf, selectors, services
from .content import ReportContent, Superseded
from .models import Report


class Format(StrEnum):
    PDF = "pdf"
    JSON = "json"
    FHIR = "fhir.json"
    HL7 = "hl7"


CONTENT_TYPES = {
    Format.PDF: "application/pdf",
    Format.JSON: "application/json",
    Format.FHIR: "application/fhir+json",
    Format.HL7: "x-application/hl7-v2+er7; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Document:
    data: bytes
    content_type: str
    filename: str


def download(actor: User, report: Report, form: Format, *, as_signed: bool = False) -> Document:
    """One format of one version. A superseded version says so, unless its PDF is asked for `as_signed`."""
    require(actor, Verb.REPORT_DOWNLOAD, report)
    content = selectors.content_of(report)
    superseded = None if as_signed else selectors.superseded(report)
    data = _write(report, content, superseded, form)
    audit.record(actor, Verb.REPORT_DOWNLOAD, report, version=report.version, format=form.value)
    name = f"{slugify(content.order.accession) or 'report'}-v{report.version}.{form.value}"
    return Document(data, CONTENT_TYPES[form], name)


def attachment(document: Document) -> HttpResponse:
    """The document as an answer that browsers save under its name."""
    response = HttpResponse(document.data, content_type=document.content_type)
    name = content_disposition_header(as_attachment=True, filename=document.filename)
    response["Content-Disposition"] = name or "attachment"
    return response


def _write(report: Report, content: ReportContent, superseded: Superseded | None, form: Format) -> bytes:
    if form is Format.JSON:
        return _json(payload.write(content, superseded))
    printed = _pdf(report, content, superseded)
    if form is Format.FHIR:
        label = fhir.AiLabel(settings.FHIR_AI_LABEL)
        return _json(fhir.bundle(fhir.Outgoing(content, printed, superseded, label)))
    if form is Format.HL7:
        return hl7.message(content, printed, superseded).encode()
    return printed


def _pdf(report: Report, content: ReportContent, superseded: Superseded | None) -> bytes:
    """The stored file of a signed report; a draft, or a copy marked as superseded, is made for the moment."""
    if content.signature is None or superseded:
        return pdf.write(content, superseded)
    return services.render(report.pk)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode()
