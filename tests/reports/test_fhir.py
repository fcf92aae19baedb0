import base64
import hashlib
import re
from dataclasses import replace

import pytest
from pyrofile_validator import Validator
from pyrofile_validator.config import ValidatorConfig

from reports import codes, fhir, fhir_shapes
from reports.content import Superseded
from reports.fhir import AiLabel, Outgoing
from tests.reports.conftest import HOSTILE, SIGNED_AT

PDF = b"%PDF-1.7 the report"
CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
PROFILES = {
    "Patient": "patient",
    "Observation": "observation-lab",
    "DiagnosticReport": "diagnosticreport-lab",
    "Specimen": "specimen",
    "Practitioner": "practitioner",
    "Organization": "organization",
    "Provenance": "provenance",
}


@pytest.fixture(scope="module")
def validator(fhir_packages):
    settings = {
        "localPackagePaths": fhir_packages,
        "terminology": {"mode": "local"},
        "profiles": {kind: [CORE + name] for kind, name in PROFILES.items()},
    }
    return Validator(ValidatorConfig.load_dict(settings))


def bundle(content, **more):
    return fhir.bundle(Outgoing(content, PDF, **more))


def resources(sent, kind):
    return [entry["resource"] for entry in sent["entry"] if entry["resource"]["resourceType"] == kind]


def errors(validator, sent):
    return [f"{issue.path}: {issue.message}" for issue in validator.validate_resource(sent).errors]


@pytest.mark.parametrize("name", ["draft", "signed", "amended", "hostile", "staged", "told"])
def test_bundle_passes_r4_and_us_core(name, request, validator):
    assert errors(validator, bundle(request.getfixturevalue(name))) == []


def test_validator_would_notice(signed, validator):
    sent = bundle(signed)
    resources(sent, "DiagnosticReport")[0]["status"] = "signed"
    resources(sent, "Observation")[1]["surprise"] = 1
    del resources(sent, "Patient")[0]["identifier"]
    found = " ".join(errors(validator, sent))
    assert "DiagnosticReport.status" in found
    assert "surprise" in found
    assert "Patient.identifier" in found


@pytest.mark.parametrize(
    ("name", "status"), [("draft", "preliminary"), ("signed", "final"), ("amended", "corrected")]
)
def test_status_follows_the_signature(name, status, request):
    sent = bundle(request.getfixturevalue(name))
    said = {resource["status"] for resource in resources(sent, "Observation")}
    assert said == {status}
    assert resources(sent, "DiagnosticReport")[0]["status"] == status


def test_unsigned_names_no_signer(draft):
    sent = bundle(draft)
    assert resources(sent, "Practitioner") == []
    assert "resultsInterpreter" not in resources(sent, "DiagnosticReport")[0]
    roles = {agent["type"]["coding"][0]["code"] for agent in resources(sent, "Provenance")[0]["agent"]}
    assert "verifier" not in roles


def test_signer_verified_and_software_assembled(signed):
    sent = bundle(signed)
    agents = resources(sent, "Provenance")[0]["agent"]
    roles = {agent["type"]["coding"][0]["code"]: agent["who"]["reference"] for agent in agents}
    assert roles["verifier"] == f"urn:uuid:{signed.signature.signer_id}"
    urls = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in sent["entry"]}
    assert urls[roles["assembler"]] == "Device"
    assert resources(sent, "Provenance")[0]["recorded"].startswith("2026-11-21T09:15:30")


def test_every_reference_is_in_the_bundle(signed):
    sent = bundle(signed)
    known = {entry["fullUrl"] for entry in sent["entry"]}
    assert set(re.findall(r"'reference': '(urn:uuid:[^']+)'", str(sent))) <= known
    assert len(known) == len(sent["entry"])


def test_panel_holds_the_differential_and_no_more(signed):
    observations = resources(bundle(signed), "Observation")
    panel = next(o for o in observations if o["code"]["coding"][0]["code"] == codes.PANEL.code)
    assert len(panel["hasMember"]) == len(signed.lines) + 1
    assert "component" not in panel
    assert "valueQuantity" not in panel


def test_shares_carry_count_interval_and_range(signed):
    observations = resources(bundle(signed), "Observation")
    basophils = next(o for o in observations if o["code"]["coding"][0]["code"] == "707-0")
    assert basophils["valueQuantity"]["value"] == 2.5
    assert basophils["valueQuantity"]["code"] == "%"
    assert basophils["interpretation"][0]["coding"][0]["code"] == "H"
    assert basophils["referenceRange"][0]["high"]["value"] == 1
    count, interval = basophils["component"]
    assert count["valueQuantity"]["value"] == 3
    assert interval["valueRange"]["low"]["value"] == 0.5


def test_automated_count_codes_never_appear(signed):
    used = {code.code for code in codes.CLASSES.values()} | {codes.ERYTHROBLASTS.code, codes.PANEL.code}
    automated = {"770-8", "736-9", "5905-5", "713-8", "706-2", "71695-1", "58413-6", "57023-4", "26508-2"}
    assert not used & automated


def test_what_was_not_analysed_is_said(signed):
    absent = [o for o in resources(bundle(signed), "Observation") if "dataAbsentReason" in o]
    assert {o["code"]["coding"][0]["code"] for o in absent} == {"6742-1", "leukemia-staging"}
    assert all("valueQuantity" not in o for o in absent)


def test_algorithm_draws_no_coded_conclusion(signed):
    report = resources(bundle(signed), "DiagnosticReport")[0]
    assert "conclusionCode" not in report
    assert signed.summary in report["conclusion"]
    assert signed.comment in report["conclusion"]


def test_pdf_travels_whole(signed):
    form = resources(bundle(signed), "DiagnosticReport")[0]["presentedForm"][0]
    assert base64.b64decode(form["data"]) == PDF
    assert base64.b64decode(form["hash"]) == hashlib.sha1(PDF).digest()
    assert form["size"] == len(PDF)


def test_only_a_standing_signed_version_replaces_anything(draft, signed, amended):
    def methods(sent):
        own = ("DiagnosticReport", "Observation")
        entries = [e for e in sent["entry"] if e["resource"]["resourceType"] in own]
        return {entry["request"]["method"] for entry in entries}

    assert methods(bundle(draft)) == {"POST"}
    assert methods(bundle(signed)) == {"PUT"}
    assert methods(bundle(amended)) == {"PUT"}
    assert methods(bundle(signed, superseded=Superseded(2, SIGNED_AT))) == {"POST"}


def test_all_that_is_created_is_created_once(signed):
    for entry in bundle(signed)["entry"]:
        request = entry["request"]
        assert request["method"] == "PUT" or request["ifNoneExist"]
        assert not request["url"].startswith("urn:")


def test_versions_are_the_same_resources(signed, amended):
    def urls(sent):
        own = ("DiagnosticReport", "Observation", "Patient", "Specimen")
        return {e["fullUrl"] for e in sent["entry"] if e["resource"]["resourceType"] in own}

    assert urls(bundle(signed)) == urls(bundle(amended))
    assert bundle(signed) == bundle(signed)


def test_another_network_is_another_device(signed):
    image = signed.images[0]
    network = replace(image.networks[0], sha256="cd" * 32)
    other = replace(signed, images=(replace(image, networks=(network,)),))

    def devices(content):
        return {d["identifier"][0]["value"] for d in resources(bundle(content), "Device")}

    assert not devices(signed) & devices(other)


def test_labels_only_when_switched_on(signed):
    assert "security" not in str(bundle(signed))
    labelled = bundle(signed, label=AiLabel.DEVAST)
    assert resources(labelled, "Observation")[0]["meta"]["security"][0]["code"] == "DEVAST"


def test_superseded_says_so(signed):
    sent = bundle(signed, superseded=Superseded(2, SIGNED_AT))
    assert resources(sent, "DiagnosticReport")[0]["conclusion"].startswith("Superseded by version 2.")


def test_hostile_names_stay_names(hostile):
    sent = bundle(hostile)
    patient = next(e for e in sent["entry"] if e["resource"]["resourceType"] == "Patient")
    assert patient["resource"]["name"][0]["family"] == HOSTILE
    query = patient["request"]["ifNoneExist"]
    assert not re.search(r"[&<> |^]", query)
    assert query.count("=") == 1
    assert fhir_shapes.escaped("a|b") == "a%5C%7Cb"
