import io
import re
from dataclasses import replace

import pytest
from pypdf import PdfReader
from weasyprint.urls import FatalURLFetchingError

from reports import pdf
from reports.content import RUO, Superseded, digest
from tests.reports.conftest import SIGNED_AT


def pages(data):
    return [re.sub(r"\s+", " ", page.extract_text()) for page in PdfReader(io.BytesIO(data)).pages]


@pytest.fixture(scope="module")
def printed(signed):
    return pages(pdf.write(signed))


def test_every_page_names_patient_page_and_research_use(printed):
    assert len(printed) >= 2
    for number, text in enumerate(printed, 1):
        assert RUO in text
        assert f"page {number} of {len(printed)}" in text
        assert "Ames, Ruth · MRN-001 · H26-0001 · version 1" in text


def test_pdf_holds_every_figure(printed, signed):
    text = " ".join(printed)
    assert "120 leukocytes counted" in text
    for line in signed.lines:
        low, high = line.interval
        row = f"{line.name} {line.count} {line.share:.1f} {low:.1f}–{high:.1f}"
        assert row in text
    assert "Basophil 3 2.5 0.5–7.1 0–1 above" in text
    assert "Red cell morphology not analysed" in text
    assert "Leukemia staging not requested" in text


def test_pdf_says_who_signed_when_and_what_it_means(printed, signed):
    text = " ".join(printed)
    assert "Signed by Paul Path, Pathologist" in text
    assert "21 Nov 2026, 09:15 UTC" in text
    assert "Reviewed and approved" in text
    assert digest(signed) in text
    assert "DRAFT" not in text


def test_machine_and_person_stand_side_by_side(printed):
    text = " ".join(printed)
    assert "machine: Lymphocyte, 0.61 Paul Path: Blast" in text
    assert "wbc 1.0.0 " + "ab" * 32 in text


def test_draft_is_marked_on_every_page(draft):
    for text in pages(pdf.write(draft)):
        assert "DRAFT-notsigned" in text.replace(" ", "")
        assert "draft, not signed" in text


def test_amendment_and_supersession_are_said_first(amended, signed):
    first = pages(pdf.write(amended))[0]
    assert "It replaces version 1, signed by Paul Path" in first
    assert "Basophils were counted twice" in first
    old = pages(pdf.write(signed, Superseded(2, SIGNED_AT)))
    assert "Superseded by version 2" in old[0]
    assert all("SUPERSEDED" in text for text in old)


def test_what_people_type_stays_text(signed):
    typed = "O'Br|en^&<script>alert(1)</script>"
    patient = replace(signed.patient, family_name=typed, given_name="")
    text = "".join(pages(pdf.write(replace(signed, patient=patient, comment=f"{typed} {{{{ content }}}}"))))
    assert text.replace(" ", "").count(typed) > 2
    assert "{{ content }}" in text


@pytest.mark.parametrize("address", ["file:///etc/hostname", "http://192.0.2.1/x.png"])
def test_nothing_outside_the_content_is_read(signed, address):
    shown = replace(signed.shown[0], crop=address)
    with pytest.raises(FatalURLFetchingError):
        pdf.write(replace(signed, shown=(shown,)))


def test_same_content_same_pages(signed):
    assert pdf.write(signed) == pdf.write(signed)


def test_pdf_is_tagged_titled_and_bookmarked(signed):
    reader = PdfReader(io.BytesIO(pdf.write(signed)))
    assert reader.metadata.title == "Blood smear report H26-0001, version 1"
    assert reader.metadata.author == "Northside Hospital Laboratory"
    assert reader.trailer["/Root"]["/Lang"] == "en"
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    titles = {
        entry.title for level in reader.outline for entry in (level if isinstance(level, list) else [level])
    }
    assert {"Summary", "Signature", "Blood smear report"} <= titles
