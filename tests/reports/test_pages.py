import json

import pytest
from django.urls import reverse

from cases.selectors import cases_for
from inference.models import AnalysisRun
from reports import selectors, services
from reports.content import digest
from reports.forms import MEANINGS
from reports.models import Report
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
FORMATS = {
    "report.pdf": "application/pdf",
    "report.json": "application/json",
    "report.fhir.json": "application/fhir+json",
    "report.hl7": "x-application/hl7-v2+er7",
}


def page(case_id, name="report"):
    return reverse(f"reports:{name}", args=[case_id])


def signing(report, password=PASSWORD):
    seen = digest(selectors.content_of(report))
    return {"password": password, "meaning": str(MEANINGS[0]), "seen": seen}


def test_from_signed_off_slides_to_a_signed_report(ready, pathologist, client_for):
    client = client_for(pathologist)
    assert "Draft the report" in client.get(page(ready.pk)).content.decode()
    assert client.post(page(ready.pk, "draft")).status_code == 302
    shown = client.get(page(ready.pk)).content.decode()
    assert "White cell differential: 8 leukocytes counted" in shown
    assert "not signed" in shown
    client.post(page(ready.pk, "comment"), {"comment": "One blast among eight cells."})
    answer = client.post(page(ready.pk, "sign"), signing(Report.objects.get()))
    assert answer.status_code == 302
    shown = client.get(page(ready.pk)).content.decode()
    assert "signed by Paul Path" in shown
    assert "One blast among eight cells." in shown
    assert "Begin the amendment" in shown


def test_the_draft_says_plainly_what_is_of_low_quality(ready, pathologist, client_for, sign):
    run = AnalysisRun.objects.get()
    AnalysisRun.objects.update(quality={**run.quality, "outcome": "rescan"})
    client, caution = client_for(pathologist), "(field.png): Low quality: re-scan."
    client.post(page(ready.pk, "draft"))
    shown = client.get(page(ready.pk)).content.decode()
    assert "Before you sign: not every image of this report is of good quality." in shown
    assert shown.count(caution) == 2
    sign(pathologist, Report.objects.get())
    shown = client.get(page(ready.pk)).content.decode()
    assert "Before you sign" not in shown
    assert shown.count(caution) == 1


def test_wrong_password_is_said_at_the_field(drafted, pathologist, client_for):
    answer = client_for(pathologist).post(page(drafted.case_id, "sign"), signing(drafted, "wrong"))
    assert answer.status_code == 422
    assert "The password is not yours" in answer.content.decode()
    drafted.refresh_from_db()
    assert drafted.status == "draft"


def test_a_locked_account_gets_the_lockout_page(drafted, pathologist, client_for, settings):
    client = client_for(pathologist)
    for _ in range(settings.AXES_FAILURE_LIMIT):
        answer = client.post(page(drafted.case_id, "sign"), signing(drafted, "wrong"))
    assert answer.status_code == 429
    assert client.post(page(drafted.case_id, "sign"), signing(drafted)).status_code == 429


def test_stale_page_cannot_sign(drafted, pathologist, client_for):
    form = signing(drafted)
    services.save_comment(pathologist, drafted, "Meanwhile")
    answer = client_for(pathologist).post(page(drafted.case_id, "sign"), form)
    assert answer.status_code == 409
    assert "Read it again" in answer.content.decode()


def test_amending_through_the_page(drafted, pathologist, sign, client_for):
    sign(pathologist, drafted)
    client = client_for(pathologist)
    assert client.post(page(drafted.case_id, "amend"), {"reason": ""}).status_code == 422
    client.post(page(drafted.case_id, "amend"), {"reason": "Typing error", "reopen_slides": "on"})
    shown = client.get(page(drafted.case_id)).content.decode()
    assert "Typing error" in shown
    assert "still wait for review and sign-off" in shown
    assert 'name="password"' not in shown
    first = client.get(page(drafted.case_id) + "?version=1").content.decode()
    assert "Begin the amendment" not in first


def test_clinician_reads_and_downloads_but_does_not_write(drafted, pathologist, clinician, sign, client_for):
    sign(pathologist, drafted)
    client = client_for(clinician)
    shown = client.get(page(drafted.case_id)).content.decode()
    assert "Begin the amendment" not in shown
    assert 'name="password"' not in shown
    for name in ("draft", "comment", "sign", "amend"):
        assert client.post(page(drafted.case_id, name)).status_code == 403
    download = reverse("reports:download", args=[drafted.case_id, 1, "pdf"])
    assert client.get(download)["Content-Disposition"] == 'attachment; filename="h26-0001-v1.pdf"'


def test_administrator_reads_but_does_not_download(drafted, administrator, client_for, api_for):
    client = client_for(administrator)
    assert client.get(page(drafted.case_id)).status_code == 200
    assert client.get(reverse("reports:download", args=[drafted.case_id, 1, "pdf"])).status_code == 403
    assert api_for(administrator).get(f"/api/v1/cases/{drafted.case_id}/report.json").status_code == 403


def test_another_laboratory_finds_nothing(drafted, stranger, client_for, api_for):
    client = client_for(stranger)
    for name in ("report", "case-report"):
        assert client.get(page(drafted.case_id, name)).status_code == 404
    for name in ("draft", "comment", "sign", "amend"):
        assert client.post(page(drafted.case_id, name), signing(drafted)).status_code == 404
    for name in FORMATS:
        assert api_for(stranger).get(f"/api/v1/cases/{drafted.case_id}/{name}").status_code == 404


def test_the_box_of_the_case_page(drafted, clinician, client_for, case):
    shown = client_for(clinician).get(page(drafted.case_id, "case-report")).content.decode()
    assert "Version 1" in shown
    assert "Draft" in shown


def test_the_box_says_what_the_case_waits_for(done_run, clinician, client_for):
    shown = client_for(clinician).get(page(done_run.smear.case_id, "case-report")).content.decode()
    assert "still wait for review and sign-off" in shown


def test_new_analyses_are_noticed(drafted, pathologist, clinician, sign, client_for, field_file, findings):
    from inference import runs

    sign(pathologist, drafted)
    client, notice = client_for(clinician), "does not cover"
    assert notice not in client.get(page(drafted.case_id)).content.decode()
    services.amend(pathologist, selectors.report_for(clinician, drafted.case_id), "Another field")
    case = cases_for(clinician).get(pk=drafted.case_id)
    run = runs.submit(clinician, case, field_file(seed=5))
    runs.save(run.pk, runs.QUEUE.claim(run.pk), findings)
    assert notice in client.get(page(drafted.case_id)).content.decode()


@pytest.mark.parametrize("version", ["0", "x", "2", "-1", "9" * 30, "²"])
def test_versions_that_do_not_exist(drafted, clinician, client_for, version):
    assert client_for(clinician).get(page(drafted.case_id), {"version": version}).status_code == 404


# --- in a clinician's hands -----------------------------------------------------------------------
def test_a_superseded_version_leads_to_the_one_that_counts(drafted, pathologist, clinician, sign, client_for):
    first = sign(pathologist, drafted)
    second = services.amend(pathologist, first, "Basophils were counted twice", reopen_slides=False)
    client, notice = client_for(clinician), "Version 1 is superseded: do not act on it."
    assert notice not in client.get(page(drafted.case_id)).content.decode()
    sign(pathologist, second)
    shown = client.get(page(drafted.case_id), {"version": 1}).content.decode()
    assert notice in shown and 'href="?version=2">Open version 2, which counts' in shown
    counts = client.get(page(drafted.case_id)).content.decode()
    assert notice not in counts and "Amended because: Basophils were counted twice" in counts


def test_a_report_that_is_being_amended_says_so(drafted, pathologist, clinician, sign, client_for):
    services.amend(pathologist, sign(pathologist, drafted), "Typing error", reopen_slides=False)
    shown = client_for(clinician).get(page(drafted.case_id)).content.decode()
    assert "This report is being amended by Paul Path" in shown
    assert "Version 1 counts until the new one is signed." in shown
    draft = client_for(clinician).get(page(drafted.case_id), {"version": 2}).content.decode()
    assert "This version is a draft" in draft and "Open version 1, which counts" in draft


def test_reading_the_report_is_a_look_at_the_case(drafted, pathologist, clinician, sign, client_for):
    from accounts.selectors import unread_count

    sign(pathologist, drafted)
    client = client_for(clinician)
    assert unread_count(clinician) == 1 and b"tag-news" in client.get("/").content
    client.get(page(drafted.case_id))
    assert unread_count(clinician) == 0 and b"tag-news" not in client.get("/").content


# --- API ------------------------------------------------------------------------------------------
def test_api_serves_four_formats(drafted, pathologist, clinician, sign, api_for):
    sign(pathologist, drafted)
    for name, content_type in FORMATS.items():
        answer = api_for(clinician).get(f"/api/v1/cases/{drafted.case_id}/{name}", HTTP_ACCEPT=content_type)
        assert answer.status_code == 200, name
        assert answer["Content-Type"].startswith(content_type)
    bundle = json.loads(api_for(clinician).get(f"/api/v1/cases/{drafted.case_id}/report.fhir.json").content)
    assert bundle["type"] == "transaction"
    assert '"final"' in json.dumps(bundle)


def test_api_versions(drafted, pathologist, sign, api_for):
    sign(pathologist, drafted)
    second = services.amend(pathologist, Report.objects.get(), "Comment", reopen_slides=False)
    api, address = api_for(pathologist), f"/api/v1/cases/{drafted.case_id}/report.json"
    assert api.get(address).json()["report"]["version"] == 1
    assert api.get(address, {"version": 2}).json()["report"]["status"] == "preliminary"
    sign(pathologist, second)
    assert api.get(address).json()["report"]["status"] == "corrected"
    assert api.get(address, {"version": 1}).json()["report"]["superseded_by"] == 2
    assert api.get(address, {"version": 3}).status_code == 404
    for wrong in ("x", "0", "9" * 30):
        assert api.get(address, {"version": wrong}).status_code == 400


def test_api_without_a_report_or_an_account(case, clinician, api_for):
    address = f"/api/v1/cases/{case.pk}/report.pdf"
    assert api_for(clinician).get(address).status_code == 404
    assert api_for(None).get(address).status_code == 401
