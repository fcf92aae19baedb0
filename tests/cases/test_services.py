"""The verbs about patients, cases and smears: what they write, refuse and leave behind."""

from datetime import UTC, datetime

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.storage import default_storage
from django.db import transaction

from accounts.models import AuditEvent
from cases import services
from cases.models import Case, Patient, Smear
from cases.uploads import UploadRefused

from .images import file_of

PERSON = {"mrn": "M-7", "family_name": "Okafor", "given_name": "Chidi", "birth_date": None, "sex": "male"}
ORDER = {"accession": "H26-7", "priority": "stat", "collected_at": datetime(2026, 11, 19, 7, tzinfo=UTC)}


def stored_files() -> list[str]:
    found, folders = [], [""]
    while folders:
        folder = folders.pop()
        if folder and not default_storage.exists(folder):
            continue
        inside, files = default_storage.listdir(folder) if default_storage.exists(folder or ".") else ([], [])
        folders += [f"{folder}/{name}".lstrip("/") for name in inside]
        found += [f"{folder}/{name}" for name in files]
    return found


def lines(verb: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(verb=verb))


def test_a_patient_is_entered_with_an_audit_line_without_the_name(clinician):
    patient = services.create_patient(clinician, **PERSON)
    assert Patient.objects.get() == patient and patient.lab == clinician.lab
    (line,) = lines("patient.create")
    assert (line.actor, line.object_id, line.outcome) == (clinician, str(patient.pk), "done")
    assert "Okafor" not in f"{line.object_name}{line.detail}"


def test_one_patient_per_mrn_and_laboratory(clinician, stranger):
    services.create_patient(clinician, **PERSON)
    with pytest.raises(ValidationError) as refused:
        services.create_patient(clinician, **PERSON)
    assert set(refused.value.message_dict) == {"mrn"}
    assert services.create_patient(stranger, **PERSON).lab == stranger.lab


def test_what_is_missing_is_named(clinician):
    with pytest.raises(ValidationError) as refused:
        services.create_patient(clinician, **{**PERSON, "family_name": ""})
    assert set(refused.value.message_dict) == {"family_name"}
    assert not Patient.objects.exists()


def test_editing_a_patient_notes_which_fields(clinician, patient):
    services.edit_patient(clinician, patient, given_name="Ruth M.", sex="female")
    patient.refresh_from_db()
    assert patient.given_name == "Ruth M."
    assert lines("patient.edit")[0].detail == {"fields": ["given_name"]}


def test_a_case_keeps_its_state_while_its_facts_change(clinician, case):
    seen = Case.objects.get()
    services.set_case_status(case.pk, Case.Status.REVIEW)
    services.edit_case(clinician, seen, indication="Blasts?", pixel_um=0.2)
    case.refresh_from_db()
    assert (case.indication, case.pixel_um, case.status) == ("Blasts?", 0.2, Case.Status.REVIEW)


def test_what_a_case_stands_for_cannot_be_edited(clinician, case):
    with pytest.raises(TypeError):
        services.edit_case(clinician, case, status="reported")


def test_an_accession_number_is_used_once(clinician, case, patient):
    with pytest.raises(ValidationError) as refused:
        services.create_case(clinician, patient, **{**ORDER, "accession": case.accession})
    assert set(refused.value.message_dict) == {"accession"}


def test_a_pixel_size_has_to_be_positive(clinician, patient):
    with pytest.raises(ValidationError):
        services.create_case(clinician, patient, **ORDER, pixel_um=-1.0)


def test_no_case_for_another_laboratory_s_patient(stranger, patient):
    with pytest.raises(ValidationError):
        services.create_case(stranger, patient, **ORDER)
    assert not Case.objects.exists()


def test_a_new_patient_and_the_case_are_both_made_or_neither(clinician, case):
    with pytest.raises(ValidationError):
        services.create_case_for_new_patient(clinician, PERSON, {**ORDER, "accession": case.accession})
    assert not Patient.objects.filter(mrn=PERSON["mrn"]).exists()
    made = services.create_case_for_new_patient(clinician, PERSON, ORDER)
    assert made.patient.mrn == PERSON["mrn"]


def test_an_administrator_enters_nothing(administrator, patient, case, field_file):
    for verb in (
        lambda: services.create_patient(administrator, **PERSON),
        lambda: services.edit_patient(administrator, patient, sex="other"),
        lambda: services.create_case(administrator, patient, **ORDER),
        lambda: services.edit_case(administrator, case, stain="Wright"),
        lambda: services.store_smear(administrator, case, field_file()),
    ):
        with pytest.raises(PermissionDenied):
            verb()
    assert not Smear.objects.exists()


def test_a_smear_is_stored_unchanged_with_its_facts(clinician, case, field_file):
    file = field_file("Field 1.png")
    content = file.read()
    smear = services.store_smear(clinician, case, file)
    smear.refresh_from_db()
    with smear.original.open() as stored:
        assert stored.read() == content
    assert (smear.width, smear.height, smear.format) == (640, 480, "PNG")
    assert smear.original_name == "Field 1.png"
    assert smear.preview.size > 0
    (line,) = lines("smear.upload")
    assert line.detail["sha256"] == smear.sha256
    assert line.object_name == case.accession


def test_the_same_file_twice_says_who_and_when(clinician, pathologist, case, field_file):
    services.store_smear(clinician, case, field_file("first.png"))
    before = sorted(stored_files())
    with pytest.raises(UploadRefused) as refused:
        services.store_smear(pathologist, case, field_file("second.png"))
    assert refused.value.code == "duplicate"
    assert "first.png" in refused.value.text and clinician.full_name in refused.value.text
    assert sorted(stored_files()) == before
    assert Smear.objects.count() == 1


def test_the_same_file_in_another_case_is_another_smear(clinician, case, patient, field_file):
    other = services.create_case(clinician, patient, **ORDER)
    services.store_smear(clinician, case, field_file())
    services.store_smear(clinician, other, field_file())
    assert Smear.objects.count() == 2


def test_a_refused_file_leaves_nothing(clinician, case):
    with pytest.raises(UploadRefused):
        services.store_smear(clinician, case, file_of("PNG", "field.jpg"))
    assert not Smear.objects.exists() and not stored_files()


def test_when_the_transaction_around_it_fails_the_files_go(clinician, case, field_file):
    with (
        pytest.raises(RuntimeError),
        services.smear_files(clinician, case, field_file()) as smear,
        transaction.atomic(),
    ):
        services.add_smear(clinician, smear)
        assert len(stored_files()) == 2
        raise RuntimeError
    assert not Smear.objects.exists() and not stored_files()


def test_a_file_that_another_upload_owns_stays(clinician, case, field_file, monkeypatch):
    """Two uploads of the same bytes at once: the one that comes second finds the row of the first."""
    first = services.store_smear(clinician, case, field_file())
    late = iter([lambda smear: None])
    look = services._refuse_duplicate
    monkeypatch.setattr(services, "_refuse_duplicate", lambda smear: next(late, look)(smear))
    with pytest.raises(UploadRefused):
        services.store_smear(clinician, case, field_file())
    assert default_storage.exists(first.original.name) and default_storage.exists(first.preview.name)
    assert len(stored_files()) == 2


def test_the_download_of_an_original_is_on_the_trail(clinician, case, field_file):
    smear = services.store_smear(clinician, case, field_file())
    with services.download_original(clinician, smear) as file:
        assert file.read(4) == b"\x89PNG"
    assert lines("smear.download")[0].object_id == str(smear.pk)


def test_a_case_that_stays_where_it_is_keeps_the_time_since_when(case):
    services.set_case_status(case.pk, Case.Status.REVIEW)
    case.refresh_from_db()
    since = case.status_since
    services.set_case_status(case.pk, Case.Status.REVIEW)
    case.refresh_from_db()
    assert (case.status, case.status_since) == (Case.Status.REVIEW, since)
