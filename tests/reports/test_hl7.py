import base64
import re

import hl7 as python_hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from reports import hl7
from reports.content import Superseded
from tests.reports.conftest import HOSTILE, SIGNED_AT

PDF = b"%PDF-1.7 " + bytes(range(256)) * 40
BASE64_DATA = re.compile(r"(Base64\^)[^|\r]*")


def read(content, superseded=None):
    return python_hl7.parse(hl7.message(content, PDF, superseded))


@pytest.mark.parametrize("name", ["draft", "signed", "amended", "hostile", "staged", "told"])
def test_message_passes_hl7apy_strict(name, request, tmp_path):
    """Strict parsing cuts every OBX-5 at 199 letters, which no PDF fits: there the data are shortened."""
    text = hl7.message(request.getfixturevalue(name), PDF).removesuffix("\r")
    tolerant = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT)
    report = tmp_path / "report"
    assert tolerant.validate(report_file=str(report))
    assert "Error" not in report.read_text()
    short = BASE64_DATA.sub(r"\1AAAA", text)
    strict = parse_message(short, validation_level=VALIDATION_LEVEL.STRICT)
    assert strict.validate()
    assert strict.to_er7() == short


def test_strict_would_notice(signed):
    text = BASE64_DATA.sub(r"\1AAAA", hl7.message(signed, PDF)).replace("OBR|1|", "OBR|1|1^2^3^4^5^6|")
    with pytest.raises(Exception, match="OBR|EI|child|Child"):
        parse_message(text.strip("\r"), validation_level=VALIDATION_LEVEL.STRICT).validate()


@pytest.mark.parametrize(("name", "status"), [("draft", "P"), ("signed", "F"), ("amended", "C")])
def test_status_follows_the_signature(name, status, request):
    message = read(request.getfixturevalue(name))
    assert str(message.segment("OBR")[25]) == status
    said = {str(segment[11]) for segment in message.segments("OBX")}
    assert said == {status, "X"}


def test_what_was_not_analysed_has_no_result(signed):
    absent = [segment for segment in read(signed).segments("OBX") if str(segment[11]) == "X"]
    assert [str(segment[5]) for segment in absent] == ["Not analysed", "Not requested"]


def test_unsigned_names_no_signer(draft):
    message = read(draft)
    assert "Path" not in str(message)
    assert len(message.segment("OBR")) <= 26


def test_signer_is_named(signed):
    assert str(read(signed).segment("OBR")[32]) == f"{signed.signature.signer_id}&Path&Paul"


def test_control_id_follows_the_bytes(draft, signed, amended):
    ids = [hl7.control_id(content) for content in (draft, signed, amended)]
    ids.append(hl7.control_id(signed, Superseded(2, SIGNED_AT)))
    assert len(set(ids)) == 4
    assert all(len(identity) == 20 for identity in ids)
    assert hl7.message(signed, PDF) == hl7.message(signed, PDF)


def test_pdf_travels_whole(signed):
    document = [segment for segment in read(signed).segments("OBX") if str(segment[2]) == "ED"]
    _, kind, subtype, encoding, data = str(document[0][5]).split("^")
    assert (kind, subtype, encoding) == ("AP", "PDF", "Base64")
    assert base64.b64decode(data) == PDF


def test_every_result_names_machine_and_signer(signed):
    for segment in read(signed).segments("OBX"):
        assert str(segment[18]) == "WBC Portal 0.1.0"
        assert "Path" in str(segment[16])
        assert str(segment[20]) == str(segment[21]) == str(segment[22]) == ""


def test_figures_have_unit_range_and_flag(signed):
    basophils = next(s for s in read(signed).segments("OBX") if "707-0" in str(s[3]) and str(s[2]) == "NM")
    assert [str(basophils[n]) for n in (5, 6, 7, 8)] == ["2.5", "%^%^UCUM", "0-1", "H"]


def test_hostile_text_stays_in_its_field(hostile):
    message = read(hostile)
    patient = message.segment("PID")
    assert message.unescape(str(patient[5][0][0])) == HOSTILE
    assert message.unescape(str(patient[3][0][0])) == HOSTILE
    assert [str(segment[0]) for segment in message].count("MSH") == 1
    comment = next(segment for segment in message.segments("OBX") if "58445-8" in str(segment[3]))
    lines = [message.unescape(str(part)) for part in comment[5]]
    assert " ".join(lines) == hostile.comment.replace("\r\n", " ")


def test_no_line_is_longer_than_receivers_take(signed, hostile):
    for content in (signed, hostile):
        for segment in read(content).segments("OBX"):
            if str(segment[2]) == "TX":
                assert all(len(str(part)) < 200 for part in segment[5])


def test_superseded_version_says_so(signed):
    notes = [str(segment[3]) for segment in read(signed, Superseded(2, SIGNED_AT)).segments("NTE")]
    assert notes[0] == "Superseded by version 2."
