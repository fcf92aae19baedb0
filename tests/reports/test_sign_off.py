"""Calls about critical findings and answers to the gate, in every format of a report."""

import io
from dataclasses import replace
from datetime import timedelta

import hl7 as python_hl7
import pytest
from django.urls import reverse
from django.utils import timezone
from fhir.resources.R4B.bundle import Bundle
from pypdf import PdfReader

from accounts.models import Lab
from inference import gate, review, selectors, sign_off
from reports import fhir, hl7, payload, pdf, services
from reports.content import digest, from_json, to_json
from reports.sign_off import CaseSignOff
from tests.reports.told import CALL

PDF = b"%PDF-1.7 small"
SENTENCE = (
    "Critical finding. First blasts: 6 of 120 leukocytes; none in an earlier signed report. Told: Dr Wade |"
    " ward 4, by phone, 2026-11-21 08:05 UTC, by Paul Path; read back. Bed 12."
)


def test_content_comes_back_and_older_reports_keep_their_digest(told, signed):
    assert from_json(to_json(told)) == told
    assert "sign_off" not in to_json(signed)
    assert digest(from_json(to_json(signed))) == digest(signed)


def test_json_holds_both(told):
    written = payload.write(told)
    (call,) = written["critical_findings"]
    assert (call["told"], call["told_at"], call["read_back"]) == (
        "Dr Wade | ward 4",
        "2026-11-21T08:05:00+00:00",
        True,
    )
    (answer,) = written["completeness"]
    assert (answer["check"], answer["answer"], answer["reason"]) == ("platelets", "not_assessable", "Clumps.")


def test_fhir_notes_the_call_on_the_class_it_is_about(told):
    sent = fhir.bundle(fhir.Outgoing(told, PDF))
    Bundle.model_validate(sent)
    resources = [entry["resource"] for entry in sent["entry"]]
    noted = [r for r in resources if r["resourceType"] == "Observation" and r.get("note")]
    (blasts,) = noted
    assert blasts["code"]["coding"][0]["code"] == "709-6"
    (note,) = blasts["note"]
    assert (note["text"], note["authorString"]) == (SENTENCE, "Paul Path")
    assert note["time"].startswith("2026-11-21T08:05:00")
    report = next(r for r in resources if r["resourceType"] == "DiagnosticReport")
    assert SENTENCE in report["conclusion"]
    assert "Platelets: not assessable" in report["conclusion"]


def test_hl7_notes_call_and_answer(told):
    message = python_hl7.parse(hl7.message(told, PDF))
    notes = [
        " ".join(message.unescape(str(part)) for part in segment[3]) for segment in message.segments("NTE")
    ]
    assert SENTENCE in notes
    assert any(note.startswith("Platelets: not assessable.") for note in notes)


def test_pdf_prints_who_was_told_and_when(told):
    pages = PdfReader(io.BytesIO(pdf.write(told))).pages
    text = " ".join(" ".join(page.extract_text() for page in pages).split())
    for words in ("Critical findings", "Dr Wade | ward 4", "by phone", "Completeness", "Clumps."):
        assert words in text


def test_a_finding_that_is_gone_is_said(told):
    gone = replace(told, sign_off=CaseSignOff((replace(CALL, stands=False),), ()))
    assert "this finding is not there" in " ".join(gone.words())
    assert payload.write(gone)["critical_findings"][0]["stands"] is False


# --- from a case to its report --------------------------------------------------------------------
@pytest.fixture
def called(done_run, pathologist, lab):
    """A case whose blast is confirmed and told, with an answer about its leukocytes; its slide signed off."""
    Lab.objects.filter(pk=lab.pk).update(not_critical=[], least_wbc=100)
    run = selectors.run_for(pathologist, done_run.pk)
    case = run.smear.case
    for cell in selectors.open_cells(run):
        review.decide(pathologist, cell, cell.label)
    sign_off.answer(pathologist, case, sign_off.Word("white_cells", "enough", "Leukopenia."))
    at = timezone.now() - timedelta(minutes=1)
    sign_off.tell(pathologist, case, sign_off.Told("first_blasts", "Dr Wade", "Paul Path", at, "phone", True))
    review.sign_off(pathologist, run)
    return case


def test_a_report_freezes_calls_and_answers(called, pathologist, sign):
    report = sign(pathologist, services.draft(pathologist, called.pk))
    settled = from_json(report.content).sign_off
    assert [call.told for call in settled.calls] == ["Dr Wade"]
    assert [answer.reason for answer in settled.answers] == ["Leukopenia."]
    with pytest.raises(review.ReviewConflict, match="has been reported"):
        sign_off.withdraw_call(pathologist, called.critical_calls.get())


def test_no_report_is_signed_while_the_gate_is_open(called, pathologist, sign):
    report = services.draft(pathologist, called.pk)
    sign_off.withdraw_call(pathologist, called.critical_calls.get())
    with pytest.raises(services.ReportConflict, match="Nobody has been told"):
        sign(pathologist, report)


def test_what_a_slide_waits_for_does_not_hold_up_its_report(called, pathologist, lab, sign):
    """Signed off before the laboratory asked for a look at the whole field."""
    Lab.objects.filter(pk=lab.pk).update(unseen_percent=10)
    whole = gate.gate(called.pk)
    assert [check.key for check in whole.open] == ["seen"]
    assert whole.is_complete
    assert sign(pathologist, services.draft(pathologist, called.pk)).signed_at


def test_the_report_page_links_what_is_open(called, pathologist, client_for):
    services.draft(pathologist, called.pk)
    sign_off.withdraw_call(pathologist, called.critical_calls.get())
    page = client_for(pathologist).get(reverse("reports:report", args=[called.pk])).content.decode()
    assert "Nobody has been told." in page
    assert reverse("inference:sign-off-box", args=[called.pk]) in page


def test_a_blast_of_a_signed_report_is_not_first_again(called, pathologist, sign, field_file, findings):
    from tests.counted import BLASTS, analysed, case_after

    sign(pathologist, services.draft(pathologist, called.pk))
    later = case_after(called, 30)
    analysed(later, field_file(seed=9), findings, BLASTS)
    assert gate.gate(later.pk).findings == ()
