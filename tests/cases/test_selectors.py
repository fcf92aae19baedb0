"""What people may read, and in which order their work stands."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from cases import selectors, services
from cases.models import Case


@pytest.fixture
def make_case(clinician, patient):
    def make(accession, status="review", priority="routine", hours=1, actor=clinician, **more):
        made = services.create_case(
            actor,
            more.pop("patient", patient),
            accession=accession,
            priority=priority,
            collected_at=more.pop("collected_at", datetime(2026, 11, 1, 8, tzinfo=UTC)),
            **more,
        )
        opened = timezone.now() - timedelta(hours=hours)
        Case.objects.filter(pk=made.pk).update(status=status, created_at=opened)
        return made

    return make


def listed(work) -> list[str]:
    return [case.accession for case in work.cases]


def test_another_laboratory_sees_nothing(stranger, case, patient, clinician, field_file):
    services.store_smear(clinician, case, field_file())
    assert not selectors.cases_for(stranger).exists()
    assert not selectors.patients_for(stranger).exists()
    assert not selectors.smears_for(stranger).exists()
    assert not selectors.worklist(stranger, {"tab": "open"}).cases.exists()
    assert not selectors.case_history(stranger, patient).exists()


def test_stat_first_then_the_oldest(pathologist, make_case):
    make_case("new", hours=1)
    make_case("old", hours=50)
    make_case("stat-new", hours=2, priority="stat")
    make_case("stat-old", hours=20, priority="stat")
    work = selectors.worklist(pathologist, {})
    assert work.tab.key == "review"
    assert listed(work) == ["stat-old", "stat-new", "old", "new"]


def test_what_is_reported_stands_newest_first(pathologist, make_case):
    make_case("older", status="reported", hours=9)
    make_case("newer", status="reported", hours=2)
    assert listed(selectors.worklist(pathologist, {"tab": "reported"})) == ["newer", "older"]


def test_tabs_and_counts_follow_the_role(clinician, pathologist, administrator, make_case):
    make_case("mine", status="new")
    make_case("theirs", status="attention", actor=pathologist)
    make_case("done", status="reported")

    def counts(user):
        return {tab.key: count for tab, count in selectors.worklist(user, {}).tabs}

    assert counts(clinician) == {"mine": 1, "open": 2, "waiting": 1, "failed": 1, "reported": 1}
    assert counts(pathologist) == {"review": 0, "ready": 0, "open": 2, "failed": 1, "reported": 1}
    assert counts(administrator) == {"open": 2, "failed": 1, "reported": 1}


def test_without_a_tab_the_first_that_holds_a_case(pathologist, make_case):
    assert selectors.worklist(pathologist, {}).tab.key == "review"
    make_case("ready", status="ready")
    assert selectors.worklist(pathologist, {}).tab.key == "ready"
    assert selectors.worklist(pathologist, {"tab": "failed"}).tab.key == "failed"


@pytest.mark.parametrize("words", ["H26-0001", "h26-00", "MRN-001", "ames", "Ames, Ruth", "ruth 0001"])
def test_search_finds_accession_mrn_and_name(clinician, case, words):
    assert listed(selectors.worklist(clinician, {"q": words})) == ["H26-0001"]


def test_search_wants_every_word(clinician, case):
    assert listed(selectors.worklist(clinician, {"q": "ames bob"})) == []


def test_filters_by_priority_and_collection(clinician, make_case):
    make_case("early", collected_at=datetime(2026, 11, 1, 8, tzinfo=UTC))
    make_case("late", collected_at=datetime(2026, 11, 9, 23, 59, tzinfo=UTC), priority="stat")
    assert listed(selectors.worklist(clinician, {"priority": "stat"})) == ["late"]
    assert listed(selectors.worklist(clinician, {"collected_to": date(2026, 11, 1)})) == ["early"]
    assert listed(selectors.worklist(clinician, {"collected_from": date(2026, 11, 9)})) == ["late"]


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
