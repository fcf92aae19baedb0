"""PDF, JSON, FHIR and HL7 of one content say the same figures."""

import io
import re
from dataclasses import replace

import hl7 as python_hl7
import pytest
from pypdf import PdfReader

from inference.pipeline.findings import Notice
from reports import codes, fhir, hl7, payload, pdf


@pytest.fixture(scope="module", params=["draft", "signed", "amended"])
def content(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def printed(content):
    return pdf.write(content)


def in_fhir(content, printed):
    sent = fhir.bundle(fhir.Outgoing(content, printed))
    found = {}
    for entry in sent["entry"]:
        if "valueQuantity" in entry["resource"]:
            code = entry["resource"]["code"]["coding"][0]["code"]
            quantity = entry["resource"]["valueQuantity"]
            found[code] = (quantity["value"], quantity["code"])
    return found


def in_hl7(content, printed):
    message = python_hl7.parse(hl7.message(content, printed))
    numbers = [segment for segment in message.segments("OBX") if str(segment[2]) == "NM"]
    return {str(s[3][0][0]): (float(str(s[5])), str(s[6][0][0])) for s in numbers}


def in_json(content):
    return {f["code"]: (f["value"], f["unit"]) for f in payload.write(content)["figures"]}


def test_numbers(content, printed):
    expected = {f.code.code: (f.value, f.unit.ucum) for f in codes.figures(content)}
    assert len(expected) == len(content.lines) + 7
    assert in_fhir(content, printed) == in_hl7(content, printed) == in_json(content) == expected
    text = re.sub(r"\s+", " ", " ".join(p.extract_text() for p in PdfReader(io.BytesIO(printed)).pages))
    for line in content.lines:
        assert f"{line.name} {line.count} {line.share:.1f}" in text
    for figure in codes.figures(content)[len(content.lines) :]:
        shown = f"{figure.value:.1f}" if isinstance(figure.value, float) else str(figure.value)
        assert re.search(rf"\b{re.escape(shown)}\b", text), figure.key


def test_counts_and_intervals(content, printed):
    differential = payload.write(content)["wbc_differential"]
    message = python_hl7.parse(hl7.message(content, printed))
    texts = {str(s[3][0][0]): str(s[5]) for s in message.segments("OBX") if str(s[4]) == "2"}
    observations = {
        entry["resource"]["code"]["coding"][0]["code"]: entry["resource"]
        for entry in fhir.bundle(fhir.Outgoing(content, printed))["entry"]
        if "component" in entry["resource"]
    }
    for line in content.lines:
        code, (low, high) = codes.CLASSES[line.key].code, line.interval
        assert differential["distribution"][line.key] == line.count
        assert differential["intervals_95"][line.key] == [low, high]
        assert [float(n) for n in re.findall(r"[\d.]+", texts[code].replace("95 %", ""))] == [
            line.count,
            low,
            high,
        ]
        count, interval = observations[code]["component"]
        assert count["valueQuantity"]["value"] == line.count
        span = interval["valueRange"]
        assert (span["low"]["value"], span["high"]["value"]) == (low, high)


def test_words_and_people(content, printed):
    text = re.sub(r"\s+", " ", " ".join(p.extract_text() for p in PdfReader(io.BytesIO(printed)).pages))
    message = hl7.message(content, printed)
    bundle = str(fhir.bundle(fhir.Outgoing(content, printed)))
    written = payload.write(content)
    for flag in content.aggregate.flags:
        assert flag.text in text
        assert flag.text in message
        assert flag.text in bundle
        assert flag.text in str(written)
    signer = content.signature.name if content.signature else None
    assert (written["report"]["signature"] or {}).get("name") == signer
    assert ("Paul" in message) == (signer is not None)
    assert ("Signed by Paul Path" in text) == (signer is not None)


def test_payload_says_its_state(draft, signed, amended):
    from reports.content import Superseded
    from tests.reports.conftest import SIGNED_AT

    states = [payload.write(content)["report"]["status"] for content in (draft, signed, amended)]
    assert states == ["preliminary", "final", "corrected"]
    old = payload.write(signed, Superseded(2, SIGNED_AT))["report"]
    assert (old["status"], old["superseded_by"]) == ("superseded", 2)
    assert payload.write(signed)["ruo"] is True


def test_an_image_of_low_quality_is_named_in_every_format(signed):
    rescan = Notice("rescan", "Low quality: re-scan.")
    tiles = {"analysed": 1203, "background": 790, "blurred": 32}
    image = replace(
        signed.images[0],
        notices=(rescan, *signed.images[0].notices),
        payload={"quality_metrics": {"tiles": tiles}},
    )
    content = replace(signed, images=(image,))
    caution = "Image 1 (field 1.png): Low quality: re-scan."
    assert content.cautions == (caution,)
    printed = pdf.write(content)
    text = re.sub(r"\s+", " ", " ".join(p.extract_text() for p in PdfReader(io.BytesIO(printed)).pages))
    assert caution in text
    assert "1,203 tiles analysed, 790 empty glass, 32 out of focus" in text
    sent = fhir.bundle(fhir.Outgoing(content, printed))["entry"]
    (report,) = [e["resource"] for e in sent if e["resource"]["resourceType"] == "DiagnosticReport"]
    assert caution in report["conclusion"]
    notes = [str(s[3]) for s in python_hl7.parse(hl7.message(content, printed)).segments("NTE")]
    assert caution in notes
    assert payload.write(content)["images"][0]["notices"][0]["code"] == "rescan"


def test_of_usable_images_nothing_is_said(signed):
    assert signed.cautions == ()
    assert signed.images[0].outcome is None
