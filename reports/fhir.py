"""The report as an R4 transaction Bundle.

Whoever is shared with others (patient, laboratory, specimen, people, devices) is created only if the server
does not know them. The report itself and its observations replace what was sent before once they are signed;
a draft, or a version that was superseded, never replaces anything.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fhir.resources.R4B.bundle import Bundle

from . import codes
from . import fhir_shapes as shape
from .codes import System
from .content import ReportContent, Signature, Superseded
from .fhir_ids import fhir_id, lab_system, network_id, network_keys, software_id, status
from .fhir_observations import members, observations, red_cells, stagings
from .fhir_shapes import TERMINOLOGY, Resource


class AiLabel(StrEnum):
    """The security label that says a device asserted this. R4 itself knows only DEVAST."""

    NONE = "none"
    DEVAST = "DEVAST"
    AIAST = "AIAST"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One version on its way out: its content, its PDF, and what has become of it since."""

    content: ReportContent
    pdf: bytes
    superseded: Superseded | None = None
    label: AiLabel = AiLabel.NONE


def bundle(out: Outgoing) -> Resource:
    """The transaction Bundle as JSON. Raises ValueError when a part would not be an R4 resource."""
    content = out.content
    entries = [*_shared(content), *_own(out), _provenance_entry(content)]
    checked = Bundle.model_validate(
        {
            "resourceType": "Bundle",
            "id": fhir_id(content, "bundle", str(content.version)),
            "type": "transaction",
            "timestamp": shape.instant(content.issued_at),
            "entry": entries,
        }
    )
    sent: Resource = json.loads(checked.model_dump_json())
    return sent


def _shared(content: ReportContent) -> list[Resource]:
    shared = [_organization(content), _patient(content), _specimen(content), *_devices(content)]
    if content.signature:
        shared.append(_practitioner(content.signature))
    return [shape.create(resource, f"identifier={shape.token(resource)}") for resource in shared]


def _own(out: Outgoing) -> list[Resource]:
    replaces = out.content.signature is not None and out.superseded is None
    write = shape.replace if replaces else shape.create
    own = [*observations(out.content), _report(out)]
    return [write(_labelled(resource, out.label), f"identifier={shape.token(resource)}") for resource in own]


def _labelled(resource: Resource, label: AiLabel) -> Resource:
    if label is AiLabel.NONE:
        return resource
    security = {"system": f"{TERMINOLOGY}v3-ObservationValue", "code": label.value}
    return {**resource, "meta": {**resource["meta"], "security": [security]}}


# --- who and what ---------------------------------------------------------------------------------
def _organization(content: ReportContent) -> Resource:
    lab = content.lab
    return {
        **shape.head("Organization", lab.id, "organization"),
        "identifier": [shape.uuid_identifier(lab.id)],
        "active": True,
        "name": lab.name,
        **shape.present("address", lab.address and [{"text": lab.address}]),
    }


def _patient(content: ReportContent) -> Resource:
    patient = content.patient
    return {
        **shape.head("Patient", patient.id, "patient"),
        "identifier": [
            {
                "type": shape.concept("v2-0203", "MR", "Medical record number"),
                "system": lab_system(content, "mrn"),
                "value": patient.mrn,
                "assigner": {"display": content.lab.name},
            }
        ],
        "name": [shape.human_name(patient.family_name, patient.given_name)],
        "gender": patient.sex,
        **shape.present("birthDate", patient.birth_date and patient.birth_date.isoformat()),
    }


def _specimen(content: ReportContent) -> Resource:
    order = content.order
    accession = {"system": lab_system(content, "accession"), "value": order.accession}
    return {
        **shape.head("Specimen", fhir_id(content, "specimen"), "specimen"),
        "identifier": [shape.uuid_identifier(fhir_id(content, "specimen"))],
        "accessionIdentifier": accession,
        "type": shape.concept("v2-0487", "BLD", "Whole blood"),
        "subject": shape.reference(content.patient.id),
        "collection": {"collectedDateTime": shape.instant(order.collected_at)},
        **shape.present("note", order.stain and [{"text": f"Stain: {order.stain}"}]),
    }


def _devices(content: ReportContent) -> list[Resource]:
    """The software as a whole, then each network: another version is another Device."""
    software = {
        **_device(software_id(content), content.software, "software-name"),
        "version": [
            {"type": {"text": "software"}, "value": content.software_version},
            *(
                {"type": {"text": "network"}, "value": f"{n.name} {n.version} sha256:{n.sha256}"}
                for n in content.networks
            ),
        ],
        "owner": shape.reference(content.lab.id, content.lab.name),
    }
    return [software, *(_network(content, *key) for key in network_keys(content))]


def _network(content: ReportContent, name: str, version: str, sha256: str) -> Resource:
    return {
        **_device(network_id(name, version, sha256), name, "model-name"),
        "version": [{"type": {"text": "network"}, "value": version}, {"value": f"sha256:{sha256}"}],
        "parent": shape.reference(software_id(content)),
    }


def _device(identity: str, name: str, kind: str) -> Resource:
    return {
        "resourceType": "Device",
        "id": identity,
        "identifier": [shape.uuid_identifier(identity)],
        "manufacturer": "WBC Portal",
        "deviceName": [{"name": name, "type": "user-friendly-name" if kind == "software-name" else kind}],
        "type": {"text": "Software for the analysis of blood smear images, for research use only"},
    }


def _practitioner(signature: Signature) -> Resource:
    given, _, family = signature.name.strip().rpartition(" ")
    return {
        **shape.head("Practitioner", signature.signer_id, "practitioner"),
        "identifier": [shape.uuid_identifier(signature.signer_id)],
        "name": [{**shape.human_name(family, given), "text": signature.name}],
    }


# --- the report and where it comes from -----------------------------------------------------------
def _report(out: Outgoing) -> Resource:
    content = out.content
    accession = {"system": lab_system(content, "report"), "value": content.order.accession}
    signer = content.signature and [shape.reference(content.signature.signer_id, content.signature.name)]
    alone = [figure.key for figure in codes.figures(content) if figure.key not in members(content)]
    keys = ["panel", *alone, *(["comment"] if content.comment else [])]
    return {
        **shape.head("DiagnosticReport", fhir_id(content, "report"), "diagnosticreport-lab"),
        "identifier": [
            shape.uuid_identifier(fhir_id(content, "report")),
            {"type": shape.concept("v2-0203", "FILL", "Filler Identifier"), **accession},
        ],
        "status": status(content),
        "category": [
            shape.concept("v2-0074", "LAB", "Laboratory"),
            shape.concept("v2-0074", "HM", "Hematology"),
        ],
        "code": {"coding": [shape.coding(codes.PANEL)], "text": "Blood smear, manual differential"},
        "subject": shape.reference(content.patient.id),
        "effectiveDateTime": shape.instant(content.order.collected_at),
        "issued": shape.instant(content.issued_at),
        "performer": [shape.reference(content.lab.id, content.lab.name)],
        **shape.present("resultsInterpreter", signer),
        "specimen": [shape.reference(fhir_id(content, "specimen"))],
        "result": [
            shape.reference(fhir_id(content, key))
            for key in (*keys, *content.not_analysed, *red_cells(content), *stagings(content))
        ],
        "conclusion": "\n".join(content.words(out.superseded)),
        "presentedForm": [_attachment(content, out.pdf)],
    }


def _attachment(content: ReportContent, pdf: bytes) -> Resource:
    return {
        "contentType": "application/pdf",
        "language": "en",
        "data": base64.b64encode(pdf).decode(),
        "size": len(pdf),
        "hash": base64.b64encode(hashlib.sha1(pdf, usedforsecurity=False).digest()).decode(),
        "title": f"Blood smear report {content.order.accession}, version {content.version}",
        "creation": shape.instant(content.issued_at),
    }


def _provenance_entry(content: ReportContent) -> Resource:
    """R4 gives a Provenance no identifier: a tag of its own keeps a second sending from doubling it."""
    tag = fhir_id(content, "provenance", str(content.version), status(content))
    targets = ["report", "panel", *(figure.key for figure in codes.figures(content)), *stagings(content)]
    resource = {
        **shape.head("Provenance", tag, "provenance"),
        "target": [shape.reference(fhir_id(content, key)) for key in targets],
        "recorded": shape.instant(content.issued_at),
        **shape.present("activity", content.signature and {"text": content.signature.meaning}),
        "agent": list(_agents(content)),
        "entity": [
            {"role": "source", "what": {"identifier": shape.sha256(image.sha256), "display": image.name}}
            for image in content.images
        ],
    }
    resource["meta"]["tag"] = [{"system": System.LOCAL.value, "code": tag}]
    return shape.create(resource, f"_tag={shape.escaped(System.LOCAL.value)}%7C{tag}")


def _agents(content: ReportContent) -> Iterable[Resource]:
    """The software assembled the figures; the person who signed verified them."""
    lab = shape.reference(content.lab.id, content.lab.name)
    software = shape.reference(software_id(content))
    if content.signature is None:
        yield {"type": shape.concept("provenance-participant-type", "author", "Author"), "who": lab}
    else:
        person = shape.reference(content.signature.signer_id, content.signature.name)
        yield {
            "type": shape.concept("provenance-participant-type", "author", "Author"),
            "who": person,
            "onBehalfOf": lab,
        }
        yield {
            "type": shape.concept("provenance-participant-type", "verifier", "Verifier"),
            "who": person,
            "onBehalfOf": lab,
        }
    yield {"type": shape.concept("provenance-participant-type", "assembler", "Assembler"), "who": software}
