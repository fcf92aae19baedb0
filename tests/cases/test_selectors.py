"""What people may read, and in which order their work stands."""

from datetime import UTC, date, datetime

from cases import selectors, services, worklists


def test_another_laboratory_sees_nothing(stranger, case, patient, clinician, field_file):
    services.store_smear(clinician, case, field_file())
    assert not selectors.cases_for(stranger).exists()
    assert not selectors.patients_for(stranger).exists()
    assert not selectors.smears_for(stranger).exists()
    assert not worklists.worklist(stranger, {"tab": "open"}).cases.exists()
    assert not selectors.case_history(stranger, patient).exists()


def test_history_of_a_patient_is_the_latest_first(clinician, patient, make_case, field_file):
    first = make_case("first", collected_at=datetime(2025, 3, 1, tzinfo=UTC))
    make_case("second", collected_at=datetime(2026, 3, 1, tzinfo=UTC))
    services.store_smear(clinician, first, field_file())
    history = selectors.case_history(clinician, patient)
    assert [(case.accession, case.smear_count) for case in history] == [("second", 0), ("first", 1)]


def test_patients_know_their_cases(clinician, patient, make_case):
    make_case("a", collected_at=datetime(2025, 3, 1, tzinfo=UTC))
    make_case("b", collected_at=datetime(2026, 3, 1, tzinfo=UTC))
    (row,) = selectors.patients_with_cases(clinician)
    assert (row.case_count, row.last_collected_at) == (2, datetime(2026, 3, 1, tzinfo=UTC))


def test_facts_are_a_copy(clinician, case, patient, field_file):
    smear = services.store_smear(clinician, case, field_file())
    facts = selectors.case_facts(case.pk)
    services.edit_patient(clinician, patient, family_name="Berg")
    assert (facts.accession, facts.lab_name, facts.pixel_um) == ("H26-0001", clinician.lab.name, 0.1)
    assert (facts.patient.family_name, facts.patient.birth_date) == ("Ames", date(1961, 4, 2))
    assert [(s.smear_id, s.sha256, s.uploaded_by) for s in facts.smears] == [
        (smear.pk, smear.sha256, clinician.full_name)
    ]
