"""The red cells of a case in every format: grade, share, interval, n, and what has no grade and why."""

import io
import json
import re
from dataclasses import replace

import hl7 as python_hl7
import pytest
from fhir.resources.R4B.bundle import Bundle
from pypdf import PdfReader

from inference.pipeline.findings import Notice
from inference.pipeline.red_cell_findings import Disagreeing
from reports import codes, fhir, hl7, payload, pdf
from reports.content import digest, from_json, to_json
from reports.red_cells import CaseRedCells, RedLine, Spread

PDF = b"%PDF-1.7 small"
OPEN = "the interval reaches from 1+ to 2+"
TARGET = RedLine("target", "Target cell", 20, 9.8, 6.1, 14.7, "2+", OPEN)
FEW = RedLine("schistocyte", "Schistocyte", 3, 1.5, 0.3, 4.2, "", "not gradable: 205 counted, 1,000 needed")
NONE = RedLine("sickle", "Sickle cell", 0, 0.0, 0.0, 1.8, "0", "")
FLAG = Notice("target_cells_detected", "Target cells make up 9.8 % of 205 classified red cells.")
RED = CaseRedCells(
    total=840,
    classified=205,
    lines=(RedLine("normal", "Normal", 182, 88.8, 83.6, 92.7, "", ""), NONE, TARGET, FEW),
    abnormal=RedLine("abnormal", "All but normal cells", 23, 11.2, 7.3, 16.4, "", ""),
    poikilocytosis=RedLine("poikilocytosis", "Poikilocytosis", 23, 11.2, 7.3, 16.4, "2+", ""),
    spread=Spread(205, 7.2, 6.4, 5.8, 7.0, "0", ""),
    flags=(FLAG,),
    notices=(Notice("rbc_cv_is_not_rdw", "It is not the analyser's RDW."),),
    disagreeing=Disagreeing(called_normal=3, called_abnormal=2),
)
CONTRADICTED = "The measures of 5 of 205 red cells classified contradict their class"


@pytest.fixture(scope="module")
def red(signed):
    return replace(signed, red_cells=RED, not_analysed=())


def observations(content):
    sent = fhir.bundle(fhir.Outgoing(content, PDF))
    Bundle.model_validate(sent)
    found = [entry["resource"] for entry in sent["entry"]]
    return {r["code"]["coding"][0]["code"]: r for r in found if r["resourceType"] == "Observation"}, sent


def obx(content, code):
    segments = python_hl7.parse(hl7.message(content, PDF)).segments("OBX")
    return [segment for segment in segments if str(segment[3][0][0]) == code]


def test_content_goes_into_json_and_comes_back(red):
    assert from_json(json.loads(json.dumps(to_json(red)))) == red


def test_a_report_without_red_cells_keeps_its_digest(signed):
    assert "red_cells" not in to_json(signed)
    assert digest(from_json(to_json(signed))) == digest(signed)


def test_red_cells_from_before_contradictions_were_kept_read_as_they_were_signed(red):
    stored = to_json(replace(red, red_cells=replace(RED, disagreeing=None)))
    assert "disagreeing" not in stored["red_cells"]
    assert to_json(from_json(stored)) == stored
    assert CONTRADICTED not in printed(from_json(stored))


def test_every_finding_has_a_loinc_code_of_its_own():
    found = [code.code for code in codes.RED_CELLS.values()]
    assert len(set(found)) == len(found)
    assert codes.RED_CELLS["schistocyte"].code == "800-3"
    assert codes.RED_CELLS["anisocytosis"].code == "702-1"


def test_fhir_has_one_observation_per_finding(red):
    found, sent = observations(red)
    target = found["10381-2"]
    assert target["valueCodeableConcept"]["text"] == "2+"
    assert target["note"] == [{"text": OPEN}]
    counted, of, share, interval = target["component"]
    assert (counted["valueQuantity"]["value"], of["valueQuantity"]["value"]) == (20, 205)
    assert share["valueQuantity"]["value"] == 9.8
    assert interval["valueRange"]["high"]["value"] == 14.7
    assert found["801-1"]["valueCodeableConcept"]["text"] == "0"
    assert found["702-1"]["valueCodeableConcept"]["text"] == "0"
    reports = [e["resource"] for e in sent["entry"] if e["resource"]["resourceType"] == "DiagnosticReport"]
    named = {one["reference"] for one in reports[0]["result"]}
    assert f"urn:uuid:{target['identifier'][0]['value']}" in named
    assert codes.RED_CELL_MORPHOLOGY.code not in found


def test_fhir_says_why_there_is_no_grade(red):
    found, _ = observations(red)
    assert "valueCodeableConcept" not in found["800-3"]
    assert found["800-3"]["dataAbsentReason"]["text"] == "not gradable: 205 counted, 1,000 needed"
    assert found["800-3"]["component"][0]["valueQuantity"]["value"] == 3


def test_hl7_has_the_grade_and_what_it_rests_on(red):
    grade, rests_on = obx(red, "10381-2")
    assert (str(grade[2]), str(grade[5]), str(grade[11])) == ("ST", "2+", "F")
    said = " ".join(str(part) for part in rests_on[5])
    assert "20 of 205 classified red cells, 9.8 %" in said
    missing, _ = obx(red, "800-3")
    assert str(missing[11]) == "X"
    assert str(missing[5]) == "Not gradable: 205 counted, 1,000 needed"


def test_json_has_grades_and_intervals(red):
    part = payload.write(red)["rbc_analysis"]
    assert part["status"] == "analysed"
    assert part["grades"]["target"] == {"grade": "2+", "note": OPEN}
    assert part["intervals_95"]["schistocyte"] == [0.3, 4.2]
    assert part["anisocytosis_cv"] == 6.4


def printed(content):
    text = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.write(content))).pages)
    return re.sub(r"\s+", " ", text)


def test_the_pdf_has_a_section(red):
    text = printed(red)
    assert "Red cell morphology: 205 of 840 red cells classified" in text
    assert "Target cell 20 9.8 6.1–14.7 2+" in text
    assert "Schistocyte 3 1.5 0.3–4.2 – not gradable: 205 counted, 1,000 needed" in text
    assert "Not seen: sickle cell." in text
    assert FLAG.text in text
    assert "For Research Use Only" in text


def test_the_report_counts_the_cells_whose_measures_contradict_their_class(red):
    text = printed(red)
    assert f"{CONTRADICTED} (called normal: 3, called abnormal: 2)" in text
    assert "They are counted as they are called." in text
    none = replace(red, red_cells=replace(RED, disagreeing=Disagreeing()))
    assert "contradict" not in printed(none)


def test_without_it_everything_says_not_analysed(signed):
    found, _ = observations(signed)
    assert codes.RED_CELL_MORPHOLOGY.code in found
    assert "10381-2" not in found
    assert payload.write(signed)["rbc_analysis"]["status"] == "not_analysed"


@pytest.mark.django_db
def test_a_case_with_red_cells_has_them_in_its_report(red_run, pathologist):
    from inference import review, selectors
    from reports import services

    for cell in selectors.open_cells(red_run):
        review.decide(pathologist, cell, cell.label)
    review.sign_off(pathologist, red_run)
    report = services.draft(pathologist, red_run.smear.case_id)
    content = from_json(report.content)
    assert content.not_analysed == ()
    lines = {line.key: line for line in content.red_cells.lines}
    assert (content.red_cells.total, content.red_cells.classified) == (210, 205)
    assert (lines["target"].count, lines["target"].grade) == (20, "2+")
    assert content.red_cells.disagreeing == Disagreeing(called_abnormal=5)
    listed = content.images[0].payload["cell_detections"]
    assert sum(cell["type"] == "RBC" for cell in listed) == 2
    written = payload.write(content)["rbc_analysis"]["distribution"]
    assert written == content.images[0].payload["rbc_analysis"]["distribution"]
