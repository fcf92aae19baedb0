"""The leukemia staging of a case in every format, with its n, its interval, its network and its sentence."""

import io
import json
import re
from dataclasses import replace

import hl7 as python_hl7
import pytest
from pypdf import PdfReader

from reports import codes, fhir, hl7, payload, pdf
from reports.content import digest, from_json, to_json
from reports.staging import CaseStaging, StageShare
from tests.reports.staged import ABSTAINED, AGREED, NOT_STAGEABLE, OTHERWISE, REQUESTED_AT, with_staging
from tests.stagings import NETWORK, NO_PATIENT_TEST

PDF = b"%PDF-1.7 small"


def observations(content):
    sent = fhir.bundle(fhir.Outgoing(content, PDF))
    found = [entry["resource"] for entry in sent["entry"]]
    stagings = [r for r in found if r["resourceType"] == "Observation"]
    return [r for r in stagings if r["code"]["coding"][0]["code"] == codes.STAGING.code], sent


def obx(content):
    segments = python_hl7.parse(hl7.message(content, PDF)).segments("OBX")
    return [s for s in segments if str(s[3][0][0]) == codes.STAGING.code]


def text_of(content):
    pages = PdfReader(io.BytesIO(pdf.write(content))).pages
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pages))


# --- content --------------------------------------------------------------------------------------
def test_no_probability_without_its_n_and_its_interval():
    assert AGREED.sentence == (
        "Leukemia staging, image 1 (field 1.png): Pre-B ALL, 91.0 % (95 % interval over fields 85.2–96.8 %,"
        " n = 6 of 9 fields), agreed by Paul Path."
    )
    assert OTHERWISE.sentence.endswith(
        "Benign, answered by Paul Path; the network said Pre-B ALL, 91.0 % (95 % interval over fields"
        " 85.2–96.8 %, n = 6 of 9 fields)."
    )
    assert "Not stageable (0 of 4 fields could be staged), agreed by" in NOT_STAGEABLE.sentence
    assert ABSTAINED.sentence.endswith(
        "Benign, answered by Paul Path; the network abstained (6 of 9 fields could be staged)."
    )
    assert replace(AGREED, reviewed_by="").sentence.endswith("No person has answered it.")


def test_a_case_has_a_stage_only_where_its_images_have_it_in_common():
    same = CaseStaging("", REQUESTED_AT, (AGREED, replace(AGREED, image=2)))
    assert same.label == "pre_b"
    assert replace(same, images=(AGREED, OTHERWISE)).label == ""
    assert replace(same, images=(NOT_STAGEABLE,)).label == ""
    assert same.notices == (NO_PATIENT_TEST,)


def test_the_content_survives_being_stored(staged):
    stored = json.loads(json.dumps(to_json(staged)))
    assert from_json(stored) == staged
    assert digest(from_json(stored)) == digest(staged)


def test_a_report_from_before_there_was_staging_keeps_its_digest(signed):
    old = replace(signed, staging=None, not_analysed=("rbc_morphology", "staging"))
    stored = to_json(old)
    assert "staging" not in stored
    assert from_json(stored) == old
    assert payload.write(old)["staging"] == {"status": "not_analysed", "label": None}
    assert "Leukemia staging not analysed" in text_of(old)


# --- what was not requested -----------------------------------------------------------------------
def test_what_was_not_requested_says_so_in_few_words(signed):
    (observation,), _ = observations(signed)
    reason = observation["dataAbsentReason"]
    assert (reason["coding"][0]["code"], reason["text"]) == ("not-asked", "Not requested")
    assert [str(segment[5]) for segment in obx(signed)] == ["Not requested"]
    assert payload.write(signed)["staging"] == {"status": "not_requested", "label": None}
    assert "Leukemia staging" not in str(signed.words())


# --- FHIR -----------------------------------------------------------------------------------------
def test_every_image_has_an_observation_by_the_network(staged):
    (first, second), sent = observations(staged)
    coding = first["valueCodeableConcept"]["coding"][0]
    assert (coding["code"], coding["display"]) == ("stage-pre-b", "Pre-B ALL")
    devices = {
        e["fullUrl"]: e["resource"] for e in sent["entry"] if e["resource"]["resourceType"] == "Device"
    }
    device = devices[first["device"]["reference"]]
    assert device["deviceName"][0]["name"] == "staging"
    values = {part["code"]["coding"][0]["code"]: part for part in first["component"]}
    assert values["stage-pre-b-probability"]["valueQuantity"]["value"] == 91
    span = values["stage-pre-b-interval-95"]["valueRange"]
    assert (span["low"]["value"], span["high"]["value"]) == (85.2, 96.8)
    assert values["fields-staged"]["valueQuantity"]["value"] == 6
    assert values["fields-left-out"]["valueQuantity"]["value"] == 3
    assert NO_PATIENT_TEST.text in [note["text"] for note in first["note"]]
    assert second["dataAbsentReason"]["text"] == "Not stageable"
    report = next(e["resource"] for e in sent["entry"] if e["resource"]["resourceType"] == "DiagnosticReport")
    ids = {entry["resource"]["identifier"][0]["value"]: entry["fullUrl"] for entry in sent["entry"][:-1]}
    listed = {result["reference"] for result in report["result"]}
    assert {ids[o["identifier"][0]["value"]] for o in (first, second)} <= listed
    assert AGREED.sentence in report["conclusion"]


@pytest.mark.parametrize("image", [OTHERWISE, ABSTAINED])
def test_a_persons_stage_is_not_put_down_to_the_network(image, signed):
    content = with_staging(signed, image)
    (first,), sent = observations(content)
    (device,) = [e["resource"] for e in sent["entry"] if e["fullUrl"] == first["device"]["reference"]]
    assert device["deviceName"][0]["name"] == "WBC Portal"
    stage, basis = obx(content)
    assert "staging" not in str(stage[18]) and str(basis[18]) == "staging 1.0.0"


def test_an_unsigned_stage_is_preliminary(draft, signed, amended):
    for content, status in ((draft, "preliminary"), (signed, "final"), (amended, "corrected")):
        (first,), _ = observations(with_staging(content, AGREED))
        assert first["status"] == status


def test_a_later_request_takes_the_place_of_not_requested(signed, amended):
    def url(content):
        _, sent = observations(content)
        return next(
            entry["fullUrl"]
            for entry in sent["entry"]
            if entry["resource"].get("code", {}).get("text") == codes.STAGING.display
        )

    assert url(signed) == url(with_staging(amended, AGREED))


# --- the other formats ----------------------------------------------------------------------------
def test_hl7_carries_the_stage_and_what_it_rests_on(staged):
    stage, basis, absent, no_basis = obx(staged)
    assert [str(s[4]) for s in (stage, basis, absent, no_basis)] == ["1", "1.2", "2", "2.2"]
    assert str(stage[5]) == "stage-pre-b^Pre-B ALL^99WBC" and str(stage[11]) == "F"
    assert str(stage[18]) == "staging 1.0.0"
    assert "Pre-B ALL 91 %, 95 % interval 85.2-96.8 %" in str(basis[5]) and "6 of 9 fields" in str(basis[5])
    assert str(absent[5]) == "Not stageable" and str(absent[11]) == "X"
    notes = " ".join(str(s[3]) for s in python_hl7.parse(hl7.message(staged, PDF)).segments("NTE"))
    assert NO_PATIENT_TEST.text in notes


def test_json_carries_everything(staged):
    written = payload.write(staged)["staging"]
    assert (written["status"], written["label"]) == ("staged", None)
    assert written["requested_by"] == "Clara Clinic"
    first = written["images"][0]
    assert first["label"] == "pre_b" and first["reviewed_by"] == "Paul Path"
    assert first["probabilities"]["pre_b"] == 0.91
    assert first["intervals_95"]["pre_b"] == [0.852, 0.968]
    assert first["fields"]["used"] == 6
    assert first["network"]["sha256"] == NETWORK.sha256
    assert written["notices"][0]["text"] == NO_PATIENT_TEST.text


def test_the_pdf_has_a_section_of_its_own(staged):
    text = text_of(staged)
    assert "Pre-B ALL, agreed by Paul Path" in text
    assert "Pre-B ALL 91.0 85.2–96.8 6" in text
    assert "6 of 9 staged; 2: too few nucleated cells; 1: colours outside the training range" in text
    assert "0 of 4 staged" in text
    assert NO_PATIENT_TEST.text in text
    assert "staging 1.0.0" in text


def test_the_pdf_names_who_answered_otherwise(signed):
    text = text_of(with_staging(signed, OTHERWISE))
    assert "Benign, answered by Paul Path; the network: Pre-B ALL" in text
    assert "answered by Paul Path; the network abstained" in text_of(with_staging(signed, ABSTAINED))


# --- from the case to the report ------------------------------------------------------------------
@pytest.mark.django_db
def test_a_staged_case_is_reported_with_its_stage(
    queued_run, findings, clinician, pathologist, administrator, monkeypatch
):
    import numpy as np

    from accounts.services import offer_staging
    from inference import review, runs, selectors, stage_review, staging_requests
    from reports import services
    from reports.selectors import content_of
    from tests.conftest import field_image
    from tests.stagings import staging

    monkeypatch.setattr("celery.current_app.send_task", lambda *_, **__: None)
    offer_staging(administrator, True)
    staging_requests.request(clinician, queued_run.smear.case)
    found = replace(findings, staging=staging("pro_b", "leukemia"))
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), found, np.asarray(field_image()))
    run = selectors.run_for(pathologist, queued_run.pk)
    for cell in selectors.open_cells(run):
        review.decide(pathologist, cell, cell.label)
    stage_review.decide(pathologist, run, "pre_b", "fits the cells")
    review.sign_off(pathologist, run)
    content = content_of(services.draft(pathologist, run.smear.case_id))
    (image,) = content.staging.images
    assert (content.staging.requested_by, image.label, image.machine_label) == (
        "Clara Clinic",
        "pre_b",
        "pro_b",
    )
    assert image.shares[3] == StageShare("pro_b", "Pro-B ALL", 91.0, 85.0, 97.0)
    assert content.summary.endswith(" Leukemia staging: Pre-B ALL.")
    assert NETWORK in content.networks
    assert "answered by Paul Path; the network said Pro-B ALL" in content.words()[-3]
