import hashlib
import io

import pytest
from django.db import IntegrityError, transaction
from pypdf import PdfReader

from accounts.models import AuditEvent
from accounts.permissions import Refused
from cases.selectors import cases_for
from inference import review
from inference import selectors as inference
from reports import documents, selectors, services, tasks
from reports.content import digest, from_json
from reports.documents import Format
from reports.models import Report

pytestmark = pytest.mark.django_db


def status(who, case):
    return cases_for(who).get(pk=case.pk).status


def verbs(**where):
    return list(AuditEvent.objects.filter(**where).order_by("id").values_list("verb", "outcome"))


def test_no_draft_before_every_slide_is_signed_off(reviewed, pathologist):
    with pytest.raises(services.ReportConflict, match="sign-off"):
        services.draft(pathologist, reviewed.smear.case_id)
    assert not Report.objects.exists()


def test_no_draft_for_a_case_without_a_smear(case, pathologist):
    with pytest.raises(services.ReportConflict, match="No smear"):
        services.draft(pathologist, case.pk)


def test_no_draft_while_another_smear_waits(ready, pathologist, clinician, field_file):
    from inference.runs import submit

    submit(clinician, ready, field_file(seed=2))
    with pytest.raises(services.ReportConflict, match="not finished"):
        services.draft(pathologist, ready.pk)


def test_draft_holds_what_was_found(drafted, ready):
    content = from_json(drafted.content)
    assert content.signature is None
    assert content.order.accession == ready.accession
    assert content.aggregate.wbc_count == 8
    assert sum(line.count for line in content.lines) == 8
    assert [cell.label for cell in content.shown] == ["blast"]
    assert content.shown[0].crop.startswith("data:image/jpeg;base64,")
    assert content.images[0].annotated.startswith("data:image/jpeg;base64,")
    assert "8 leukocytes were counted in 1 image." in content.summary
    assert digest(content) == drafted.content_sha256


def test_same_case_same_content(drafted):
    assert digest(selectors.content_of(drafted)) == digest(selectors.content_of(drafted))


def test_one_draft_per_case(drafted, pathologist, ready):
    with pytest.raises(services.ReportConflict, match="already"):
        services.draft(pathologist, ready.pk)


def test_draft_follows_a_correction(drafted, pathologist, reviewed, ready):
    before = selectors.content_of(drafted)
    review.reopen(pathologist, ready.pk)
    cell = reviewed.cells.get(number=8)
    review.decide(pathologist, cell, "basophil")
    assert digest(selectors.content_of(drafted)) == digest(before)
    review.sign_off(pathologist, inference.run_for(pathologist, reviewed.pk))
    after = selectors.content_of(drafted)
    counts = {line.key: line.count for line in after.lines}
    assert (counts["eosinophil"], counts["basophil"]) == (0, 1)
    assert after.corrected == 1


def test_signing_freezes_content_and_reports_the_case(drafted, pathologist, sign, ready):
    signed = sign(pathologist, drafted)
    signed.refresh_from_db()
    content = from_json(signed.content)
    assert signed.status == Report.Status.FINAL
    assert content.signature.name == "Paul Path"
    assert content.signature.role == "Pathologist"
    assert content.signature.at == signed.signed_at.replace(microsecond=0)
    assert digest(content) == signed.content_sha256
    assert status(pathologist, ready) == "reported"
    assert ("report.sign", "done") in verbs(object_id=str(signed.pk))


def test_signed_content_does_not_follow_the_case(drafted, pathologist, clinician, sign, ready):
    from cases.services import edit_patient

    signed = sign(pathologist, drafted)
    edit_patient(clinician, ready.patient, family_name="Other")
    signed.refresh_from_db()
    assert selectors.content_of(signed).patient.family_name == "Ames"


def test_wrong_password_signs_nothing(drafted, pathologist, sign):
    with pytest.raises(services.WrongPassword):
        sign(pathologist, drafted, password="not mine")
    drafted.refresh_from_db()
    assert drafted.status == Report.Status.DRAFT
    assert ("report.sign", "failed") in verbs(object_id=str(drafted.pk))


def test_repeated_wrong_passwords_lock_the_signature(drafted, pathologist, sign, settings):
    for _ in range(settings.AXES_FAILURE_LIMIT):
        with pytest.raises(services.WrongPassword):
            sign(pathologist, drafted, password="not mine")
    with pytest.raises(services.WrongPassword):
        sign(pathologist, drafted)
    drafted.refresh_from_db()
    assert drafted.status == Report.Status.DRAFT


def test_nobody_signs_what_they_have_not_read(drafted, pathologist, sign):
    read = digest(selectors.content_of(drafted))
    services.save_comment(pathologist, drafted, "Written meanwhile")
    with pytest.raises(services.ReportConflict, match="changed"):
        sign(pathologist, drafted, seen=read)


def test_no_signature_while_a_slide_is_open(drafted, pathologist, sign, ready):
    review.reopen(pathologist, ready.pk)
    with pytest.raises(services.ReportConflict, match="sign-off"):
        sign(pathologist, drafted)


def test_a_report_is_signed_once(drafted, pathologist, sign):
    sign(pathologist, drafted)
    with pytest.raises(services.ReportConflict, match="signed"):
        sign(pathologist, drafted)
    with pytest.raises(services.ReportConflict, match="signed"):
        services.save_comment(pathologist, drafted, "too late")


def test_comment_is_plain_text(drafted, pathologist):
    services.save_comment(pathologist, drafted, " Blasts seen.\r\n\x0bAdvise flow.\x00 ")
    drafted.refresh_from_db()
    assert drafted.comment.splitlines()[0] == "Blasts seen."
    assert "\r" not in drafted.comment
    assert "\x00" not in drafted.comment
    assert selectors.content_of(drafted).comment == drafted.comment


@pytest.mark.parametrize("who", ["clinician", "administrator"])
def test_only_pathologists_write_reports(who, request, drafted, sign, ready):
    person = request.getfixturevalue(who)
    with pytest.raises(Refused):
        services.draft(person, ready.pk)
    with pytest.raises(Refused):
        services.save_comment(person, drafted, "x")
    with pytest.raises(Refused):
        sign(person, drafted)
    with pytest.raises(Refused):
        services.amend(person, drafted, "x")
    refused = verbs(actor=person, outcome="refused")
    assert [verb for verb, _ in refused] == ["report.draft", "report.draft", "report.sign", "report.amend"]


# --- amending -------------------------------------------------------------------------------------
def test_amendment_supersedes_once_signed(drafted, pathologist, sign, ready, reviewed):
    first = sign(pathologist, drafted)
    second = services.amend(pathologist, first, "Eosinophil was a basophil")
    first.refresh_from_db()
    assert (first.status, second.status, second.version) == ("final", "draft", 2)
    assert status(pathologist, ready) == "review"
    assert selectors.report_for(pathologist, ready.pk) == first

    review.decide(pathologist, reviewed.cells.get(number=8), "basophil")
    review.sign_off(pathologist, inference.run_for(pathologist, reviewed.pk))
    sign(pathologist, second)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == ("superseded", "final")
    assert selectors.content_of(second).amends.reason == "Eosinophil was a basophil"
    assert selectors.superseded(first).version == 2
    assert selectors.report_for(pathologist, ready.pk) == second
    assert selectors.report_for(pathologist, ready.pk, 1) == first
    assert status(pathologist, ready) == "reported"


def test_amending_the_comment_leaves_the_slides(drafted, pathologist, sign, ready):
    second = services.amend(pathologist, sign(pathologist, drafted), "Comment", reopen_slides=False)
    assert status(pathologist, ready) == "ready"
    services.save_comment(pathologist, second, "Better words")
    sign(pathologist, second)
    assert Report.objects.get(version=2).status == "final"


def test_only_the_standing_report_is_amended_and_once(drafted, pathologist, sign):
    with pytest.raises(services.ReportConflict, match="Only"):
        services.amend(pathologist, drafted, "x")
    first = sign(pathologist, drafted)
    services.amend(pathologist, first, "x", reopen_slides=False)
    with pytest.raises(services.ReportConflict, match="already"):
        services.amend(pathologist, first, "y")


def test_database_holds_one_final_report_per_case(drafted, pathologist, sign, ready):
    first = sign(pathologist, drafted)
    with pytest.raises(IntegrityError), transaction.atomic():
        Report.objects.create(
            lab=first.lab, case_id=ready.pk, version=9, status="final", created_by=pathologist
        )


# --- telling the clinician ------------------------------------------------------------------------
def test_the_author_is_told_of_a_signature_and_of_an_amendment(drafted, pathologist, clinician, sign):
    from accounts.selectors import notifications_for

    first = sign(pathologist, drafted)
    assert [told.kind for told in notifications_for(clinician)] == ["report.signed"]
    sign(pathologist, services.amend(pathologist, first, "Comment", reopen_slides=False))
    assert [told.kind for told in notifications_for(clinician)] == ["report.amended", "report.signed"]
    assert not notifications_for(pathologist).exists()


def test_a_signature_that_fails_tells_nobody(drafted, pathologist, clinician, sign):
    from accounts.selectors import unread_count

    with pytest.raises(services.WrongPassword):
        sign(pathologist, drafted, password="not mine")
    assert unread_count(clinician) == 0


def test_a_broken_broker_and_mail_server_do_not_break_signing(
    drafted, pathologist, clinician, sign, monkeypatch, django_capture_on_commit_callbacks
):
    from accounts.models import Notification
    from accounts.tasks import sweep_mail

    def refuse(*args):
        raise OSError("no route to the mail server")

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
    with django_capture_on_commit_callbacks(execute=True):
        signed = sign(pathologist, drafted)
    sweep_mail()
    assert signed.status == Report.Status.FINAL
    assert Notification.objects.get(recipient=clinician).mail == "waiting"


def test_no_format_of_a_report_holds_a_question_or_its_answer(drafted, pathologist, clinician, sign, ready):
    from cases import questions

    asked = questions.ask(clinician, ready, "Zebrafish question?")
    signed = sign(pathologist, drafted)
    questions.answer(pathologist, asked, "Zebrafish answer.")
    for form in Format:
        data = documents.download(pathologist, signed, form).data
        words = text_of(data) if form is Format.PDF else data.decode()
        assert "Zebrafish" not in words


# --- documents ------------------------------------------------------------------------------------
def text_of(data):
    return " ".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)


def test_pdf_is_made_once_and_kept(drafted, pathologist, sign):
    signed = sign(pathologist, drafted)
    first = documents.download(pathologist, signed, Format.PDF)
    signed.refresh_from_db()
    assert hashlib.sha256(first.data).hexdigest() == signed.pdf_sha256
    assert "Signed by" in text_of(first.data)
    assert documents.download(pathologist, signed, Format.PDF).data == first.data
    assert verbs(verb="report.render") == [("report.render", "done")]
    assert verbs(verb="report.download") == [("report.download", "done")] * 2


def test_sweeper_renders_what_the_worker_did_not(drafted, pathologist, sign):
    assert services.sweep() == 0
    signed = sign(pathologist, drafted)
    assert not signed.pdf
    tasks.sweep_reports()
    signed.refresh_from_db()
    assert signed.pdf.storage.exists(signed.pdf.name)
    assert services.sweep() == 0


def test_rendering_twice_keeps_the_first(drafted, pathologist, sign):
    signed = sign(pathologist, drafted)
    tasks.render_report(str(signed.pk))
    signed.refresh_from_db()
    name, sha256 = signed.pdf.name, signed.pdf_sha256
    tasks.render_report(str(signed.pk))
    signed.refresh_from_db()
    assert (signed.pdf.name, signed.pdf_sha256) == (name, sha256)


def test_lost_file_is_made_again(drafted, pathologist, sign):
    signed = sign(pathologist, drafted)
    before = services.render(signed.pk)
    signed.refresh_from_db()
    signed.pdf.storage.delete(signed.pdf.name)
    assert services.render(signed.pk) == before


def test_draft_is_never_stored(drafted, pathologist):
    document = documents.download(pathologist, drafted, Format.PDF)
    assert "DRAFT - not signed" in text_of(document.data)
    assert documents.download(pathologist, drafted, Format.FHIR).data.count(b'"preliminary"') > 5
    drafted.refresh_from_db()
    assert not drafted.pdf
    with pytest.raises(Report.DoesNotExist):
        services.render(drafted.pk)


def test_superseded_version_stays_and_says_so(drafted, pathologist, sign):
    first = sign(pathologist, drafted)
    as_signed = services.render(first.pk)
    second = services.amend(pathologist, first, "Comment", reopen_slides=False)
    sign(pathologist, second)
    first.refresh_from_db()
    marked = documents.download(pathologist, first, Format.PDF)
    assert "Superseded by version 2" in text_of(marked.data)
    assert documents.download(pathologist, first, Format.PDF, as_signed=True).data == as_signed
    assert b'"superseded"' in documents.download(pathologist, first, Format.JSON).data
    assert b"Superseded by version 2." in documents.download(pathologist, first, Format.HL7).data
