"""The pages in the hands of a visitor, a colleague of each role, and a stranger."""

import io
import re

import pytest
from django.template.loader import render_to_string
from django.urls import reverse

from accounts.models import AuditEvent
from cases import parts, resumable, services
from cases.models import Case, Patient
from cases.resumable import Chunk

RUO = "For Research Use Only. Not for use in diagnostic procedures."
ORDER = {"accession": "H26-0900", "priority": "stat", "collected_at": "2026-11-19T07:30", "pixel_um": "0.1"}
PERSON = {
    "mrn": "M-77",
    "family_name": "Okafor",
    "given_name": "Chidi",
    "birth_date": "1970-02-01",
    "sex": "male",
}


@pytest.fixture
def smear(clinician, case, field_file):
    return services.store_smear(clinician, case, field_file("Field 1.png"))


@pytest.fixture
def addresses(case, patient, smear):
    return {
        "worklist": reverse("cases:worklist"),
        "patients": reverse("cases:patients"),
        "patient": reverse("cases:patient", args=[patient.pk]),
        "new-patient": reverse("cases:new-patient"),
        "edit-patient": reverse("cases:edit-patient", args=[patient.pk]),
        "new-case": reverse("cases:new-case"),
        "patient-choice": reverse("cases:patient-choice"),
        "case": reverse("cases:case", args=[case.pk]),
        "case-status": reverse("cases:case-status", args=[case.pk]),
        "edit-case": reverse("cases:edit-case", args=[case.pk]),
        "preview": reverse("cases:preview", args=[smear.pk]),
        "original": reverse("cases:original", args=[smear.pk]),
    }


OWN = {"worklist", "patients", "new-patient", "new-case", "patient-choice"}
WRITING = {"new-patient", "edit-patient", "new-case", "patient-choice", "edit-case"}
PARTS = {"patient-choice", "case-status", "preview", "original"}


def test_a_visitor_is_sent_to_the_login_page(client_for, addresses):
    for address in addresses.values():
        answer = client_for(None).get(address)
        assert answer.status_code == 302 and answer.url.startswith(reverse("account_login"))


def test_the_laboratory_s_people_see_their_pages(client_for, clinician, pathologist, addresses):
    for person in (clinician, pathologist):
        for name, address in addresses.items():
            answer = client_for(person).get(address)
            assert answer.status_code == (204 if name == "patient-choice" else 200), name
            if name not in PARTS:
                assert answer.content.decode().count(RUO) == 2, name


def test_a_stranger_finds_nothing(client_for, stranger, addresses):
    for name, address in addresses.items():
        answer = client_for(stranger).get(address)
        found = 204 if name == "patient-choice" else 200
        assert answer.status_code == (found if name in OWN else 404), name
        if name in OWN:
            assert b"Ames" not in answer.content and b"H26-0001" not in answer.content


def test_a_role_without_the_verb_is_told_so_and_noted(client_for, administrator, addresses):
    for name, address in addresses.items():
        answer = client_for(administrator).get(address)
        assert answer.status_code == (403 if name in WRITING else 200), name
        if name in WRITING:
            assert b"Your role (Laboratory administrator) cannot" in answer.content
    refused = AuditEvent.objects.filter(actor=administrator, outcome="refused")
    assert refused.count() == len(WRITING)


def test_an_unknown_address_is_a_designed_page(client_for, clinician):
    answer = client_for(clinician).get("/nothing/here/")
    assert answer.status_code == 404
    assert RUO in answer.content.decode()


@pytest.mark.parametrize("name", ["400.html", "403_csrf.html", "500.html"])
def test_what_is_answered_without_a_request_is_a_whole_page(name):
    page = render_to_string(name)
    assert page.count(RUO) == 2 and "<h1>" in page


def test_no_page_needs_inline_script_or_style(client_for, clinician, addresses):
    """The content security policy would silently drop them."""
    for name in addresses.keys() - PARTS:
        page = client_for(clinician).get(addresses[name]).content.decode()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page), name


def test_every_input_has_its_label(client_for, clinician, addresses):
    for name in ("worklist", "patients", "new-patient", "edit-patient", "new-case", "edit-case", "case"):
        page = client_for(clinician).get(addresses[name]).content.decode()
        shown = [
            tag for tag in re.findall(r"<(?:input|select|textarea)[^>]*>", page) if 'type="hidden"' not in tag
        ]
        assert shown, name
        for tag in shown:
            identity = re.search(r'\bid="([^"]+)"', tag)
            assert identity and f'for="{identity[1]}"' in page, (name, tag)


# --- what is done on them -------------------------------------------------------------------------
def test_a_patient_is_entered_and_changed(client_for, clinician):
    client = client_for(clinician)
    answer = client.post(reverse("cases:new-patient"), PERSON)
    patient = Patient.objects.get(mrn="M-77")
    assert answer.url == reverse("cases:patient", args=[patient.pk])
    client.post(reverse("cases:edit-patient", args=[patient.pk]), {**PERSON, "given_name": "Chidi A."})
    patient.refresh_from_db()
    assert patient.given_name == "Chidi A."


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"mrn": "MRN-001"}, "already entered"),
        ({"birth_date": "2999-01-01"}, "lies in the future"),
        ({"birth_date": "1061-01-01"}, "Check the year"),
        ({"family_name": ""}, "This field is required"),
        ({"mrn": "a\x00b"}, "Null characters are not allowed"),
    ],
)
def test_a_wrong_entry_is_named_beside_its_field(client_for, clinician, patient, wrong, sentence):
    answer = client_for(clinician).post(reverse("cases:new-patient"), {**PERSON, **wrong})
    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert Patient.objects.count() == 1


def test_a_case_for_a_new_patient(client_for, clinician):
    answer = client_for(clinician).post(reverse("cases:new-case"), {**PERSON, **ORDER})
    case = Case.objects.get()
    assert answer.url == reverse("cases:case", args=[case.pk])
    assert (case.patient.mrn, case.priority, case.created_by) == ("M-77", "stat", clinician)


def test_a_known_patient_is_shown_before_the_case_is_opened(client_for, clinician, patient):
    client = client_for(clinician)
    found = client.get(reverse("cases:patient-choice"), {"mrn": " MRN-001 "}).content.decode()
    assert "Ames, Ruth" in found and str(patient.pk) in found
    assert client.get(reverse("cases:patient-choice"), {"mrn": "M-77"}).status_code == 204
    blind = client.post(reverse("cases:new-case"), {"mrn": "MRN-001", "family_name": "Other", **ORDER})
    assert "This MRN is known" in blind.content.decode() and not Case.objects.exists()
    client.post(reverse("cases:new-case"), {"mrn": "MRN-001", "known": str(patient.pk), **ORDER})
    assert Case.objects.get().patient == patient


def test_a_case_that_cannot_be_opened_enters_no_patient(client_for, clinician, case):
    answer = client_for(clinician).post(
        reverse("cases:new-case"), {**PERSON, **ORDER, "accession": case.accession}
    )
    assert "already open or reported" in answer.content.decode()
    assert not Patient.objects.filter(mrn="M-77").exists()


def test_a_case_is_changed_and_opens_with_what_it_had(client_for, clinician, case):
    client, address = client_for(clinician), reverse("cases:edit-case", args=[case.pk])
    page = client.get(address).content.decode()
    assert 'value="2026-11-20T08:30"' in page and 'value="0.1"' in page
    client.post(address, {**ORDER, "accession": "H26-0001", "stain": "Wright"})
    case.refresh_from_db()
    assert (case.stain, case.priority, case.indication) == ("Wright", "stat", "")


def test_hostile_names_are_text(client_for, clinician):
    patient = services.create_patient(clinician, mrn="<b>1", family_name="<script>alert(1)</script>")
    for address in (reverse("cases:patients"), reverse("cases:patient", args=[patient.pk])):
        page = client_for(clinician).get(address).content.decode()
        assert "<script>alert" not in page and "&lt;script&gt;alert" in page


def test_the_worklist_says_what_it_shows(client_for, clinician, case):
    client = client_for(clinician)
    page = client.get("/", {"q": "ames"}).content.decode()
    assert "H26-0001" in page and "No smear yet" in page
    assert "No case fits this search" in client.get("/", {"q": "nobody"}).content.decode()
    assert "No analysis has failed." in client.get("/", {"tab": "failed"}).content.decode()


@pytest.mark.parametrize(
    "query", ["?tab=%00", "?q=%00", "?page=-1", "?page=x", "?collected_from=x", "?priority=zz", "?tab=nope"]
)
def test_an_odd_query_is_no_error(client_for, clinician, case, query):
    assert client_for(clinician).get("/" + query).status_code == 200


def test_stat_is_said_in_words(client_for, clinician, case):
    services.edit_case(clinician, case, priority="stat")
    assert re.search(r'class="tag tag-stat">STAT<', client_for(clinician).get("/").content.decode())


def test_long_lists_have_pages(client_for, clinician):
    for number in range(27):
        services.create_patient(clinician, mrn=f"P{number:02}", family_name=f"Name {number:02}")
    client = client_for(clinician)
    first = client.get(reverse("cases:patients"), {"q": "Name"}).content.decode()
    assert "1–25 of 27" in first and "q=Name&amp;page=2" in first
    assert "26–27 of 27" in client.get(reverse("cases:patients"), {"q": "Name", "page": 2}).content.decode()


def test_the_state_of_a_case_reloads_the_page_s_parts_when_it_changed(client_for, clinician, case):
    client, address = client_for(clinician), reverse("cases:case-status", args=[case.pk])
    assert "HX-Trigger" not in client.get(address, {"was": "new"})
    services.set_case_status(case.pk, Case.Status.REVIEW)
    answer = client.get(address, {"was": "new"})
    assert answer["HX-Trigger"] == "case-changed" and b"In review" in answer.content


def test_only_who_may_upload_sees_the_upload_zone(client_for, clinician, administrator, case):
    address = reverse("cases:case", args=[case.pk])
    assert b'id="upload"' in client_for(clinician).get(address).content
    assert b'id="upload"' not in client_for(administrator).get(address).content


def test_unfinished_files_are_listed_with_what_has_arrived(client_for, clinician, case):
    upload = resumable.begin(clinician, case, name="<slide>.svs", size_bytes=4096)
    resumable.receive(clinician, upload, Chunk(0, 1024, io.BytesIO(bytes(1024))))
    address = reverse("cases:case", args=[case.pk])
    page = client_for(clinician).get(address).content.decode()
    assert "&lt;slide&gt;.svs" in page and "25 % of 4.0" in page and "begun by Clara Clinic" in page
    assert reverse("cases:discard-upload", args=[upload.pk]) in page


def test_an_unfinished_file_is_discarded_on_the_page(client_for, clinician, administrator, case):
    upload = resumable.begin(clinician, case, name="slide.svs", size_bytes=4096)
    address = reverse("cases:discard-upload", args=[upload.pk])
    assert client_for(administrator).post(address).status_code == 403
    assert client_for(clinician).get(address).status_code == 405
    with parts.locked(upload.pk):
        busy = client_for(clinician).post(address)
    assert busy.status_code == 409 and b"by another request" in busy.content and b"slide.svs" in busy.content
    left = client_for(clinician).post(address)
    assert left.status_code == 200 and b"slide.svs" not in left.content
    assert client_for(clinician).post(address).status_code == 404


def test_a_reported_case_takes_no_files(client_for, clinician, case):
    services.set_case_status(case.pk, Case.Status.REPORTED)
    page = client_for(clinician).get(reverse("cases:case", args=[case.pk])).content.decode()
    assert "This case has been reported" in page and "upload-files" not in page


def test_only_an_administrator_reads_the_trail(client_for, clinician, administrator, case):
    address = reverse("cases:case", args=[case.pk])
    assert b"case.create" in client_for(administrator).get(address).content
    assert b"case.create" not in client_for(clinician).get(address).content


def test_the_original_leaves_as_it_came(client_for, clinician, smear, field_file):
    answer = client_for(clinician).get(reverse("cases:original", args=[smear.pk]))
    assert b"".join(answer.streaming_content) == field_file().read()
    assert answer["Content-Disposition"] == 'attachment; filename="Field 1.png"'
    assert answer["Content-Type"] == "application/octet-stream"


def test_the_preview_is_private(client_for, clinician, smear):
    answer = client_for(clinician).get(reverse("cases:preview", args=[smear.pk]))
    assert answer["Content-Type"] == "image/jpeg"
    assert "private" in answer["Cache-Control"]
    assert b"".join(answer.streaming_content)[:2] == b"\xff\xd8"


def test_a_case_that_was_just_opened_is_not_minutes_old():
    from datetime import timedelta

    from django.utils import timezone

    from cases.templatetags.ages import since

    assert since(timezone.now()) == "just now"
    assert since(timezone.now() - timedelta(minutes=3, seconds=5)).replace("\xa0", " ") == "3 minutes ago"
