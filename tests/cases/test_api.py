"""Patients, cases and smears over the API."""

import uuid

import pytest

from accounts.models import AuditEvent
from cases import services
from cases.models import Case, Patient

PERSON = {
    "mrn": "M-77",
    "family_name": "Okafor",
    "given_name": "Chidi",
    "birth_date": "1970-02-01",
    "sex": "male",
}


def order(patient, **more):
    facts = {"patient": str(patient.pk), "accession": "A-1", "collected_at": "2026-11-19T07:30:00Z"}
    return {**facts, "priority": "stat", **more}


@pytest.fixture
def smear(clinician, case, field_file):
    return services.store_smear(clinician, case, field_file())


@pytest.fixture
def addresses(case, patient, smear):
    return [
        "/api/v1/patients/",
        f"/api/v1/patients/{patient.pk}/",
        "/api/v1/cases/",
        f"/api/v1/cases/{case.pk}/",
        f"/api/v1/smears/{smear.pk}/",
    ]


def test_who_does_not_say_who_they_are(api_for, addresses):
    assert [api_for(None).get(address).status_code for address in addresses] == [401] * 5


def test_a_colleague_reads(api_for, administrator, addresses):
    assert [api_for(administrator).get(address).status_code for address in addresses] == [200] * 5


def test_a_stranger_finds_nothing(api_for, stranger, addresses):
    api = api_for(stranger)
    assert [api.get(address).status_code for address in addresses] == [200, 404, 200, 404, 404]
    assert api.get("/api/v1/patients/").json()["count"] == api.get("/api/v1/cases/").json()["count"] == 0
    assert api.patch(addresses[1], {"sex": "other"}).status_code == 404
    assert api.patch(addresses[3], {"stain": "x"}).status_code == 404


def test_a_stranger_opens_no_case_for_our_patient(api_for, stranger, patient):
    answer = api_for(stranger).post("/api/v1/cases/", order(patient))
    assert answer.status_code == 400 and set(answer.json()["error"]["fields"]) == {"patient"}
    assert not Case.objects.exists()


def test_a_role_without_the_verb_is_refused_and_noted(api_for, administrator, patient, case):
    api = api_for(administrator)
    answers = [
        api.post("/api/v1/patients/", PERSON),
        api.patch(f"/api/v1/patients/{patient.pk}/", {"sex": "other"}),
        api.post("/api/v1/cases/", order(patient)),
        api.patch(f"/api/v1/cases/{case.pk}/", {"stain": "Wright"}),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4
    assert AuditEvent.objects.filter(actor=administrator, outcome="refused").count() == 4
    assert Patient.objects.count() == Case.objects.count() == 1


def test_a_patient_and_a_case_are_made_and_changed(api_for, clinician):
    api = api_for(clinician)
    made = api.post("/api/v1/patients/", PERSON)
    assert made.status_code == 201
    patient = Patient.objects.get(pk=made.json()["id"])
    opened = api.post("/api/v1/cases/", order(patient))
    assert opened.status_code == 201 and opened.json()["status"] == "new"
    address = f"/api/v1/cases/{opened.json()['id']}/"
    assert api.patch(address, {"pixel_um": 0.2}).json()["pixel_um"] == 0.2
    assert api.put(address, order(patient, indication="Blasts?")).json()["indication"] == "Blasts?"
    assert api.patch(f"/api/v1/patients/{patient.pk}/", {"given_name": "C."}).json()["given_name"] == "C."


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"accession": "H26-0001"}, "accession"),
        ({"accession": ""}, "accession"),
        ({"collected_at": "2999-01-01T00:00:00Z"}, "collected_at"),
        ({"collected_at": "0001-01-01T00:00:00+14:00"}, "collected_at"),
        ({"priority": "urgent"}, "priority"),
        ({"pixel_um": -1}, "pixel_um"),
        ({"pixel_um": 1e300}, "pixel_um"),
        ({"patient": str(uuid.uuid4())}, "patient"),
        ({"indication": "a\x00b"}, "indication"),
    ],
)
def test_a_wrong_value_is_named(api_for, clinician, patient, case, wrong, field):
    answer = api_for(clinician).post("/api/v1/cases/", {**order(patient), **wrong})
    assert answer.status_code == 400 and set(answer.json()["error"]["fields"]) == {field}
    assert Case.objects.count() == 1


def test_the_same_mrn_twice_is_a_sentence(api_for, clinician, patient):
    answer = api_for(clinician).post("/api/v1/patients/", {**PERSON, "mrn": patient.mrn})
    assert answer.status_code == 400
    fields = answer.json()["error"]["fields"]
    assert fields == {"mrn": ["A patient with this medical record number is already entered."]}


def test_the_patient_of_a_case_stays(api_for, clinician, case):
    other = services.create_patient(clinician, **PERSON)
    answer = api_for(clinician).patch(f"/api/v1/cases/{case.pk}/", {"patient": str(other.pk)})
    assert answer.status_code == 400
    case.refresh_from_db()
    assert case.patient.mrn == "MRN-001"


def test_status_is_not_written_over_the_api(api_for, clinician, case):
    api_for(clinician).patch(f"/api/v1/cases/{case.pk}/", {"status": "reported"})
    case.refresh_from_db()
    assert case.status == Case.Status.NEW


def test_nothing_is_deleted(api_for, clinician, addresses):
    assert {api_for(clinician).delete(address).status_code for address in addresses} == {405}


def test_lists_are_searched_and_filtered(api_for, clinician, case, patient):
    services.create_case(
        clinician, patient, accession="B-2", collected_at="2026-01-05T00:00Z", priority="stat"
    )
    api = api_for(clinician)

    def found(query):
        return [row["accession"] for row in api.get(f"/api/v1/cases/?{query}").json()["results"]]

    assert found("q=ames") == ["B-2", "H26-0001"]
    assert (
        found("q=0001") == found("collected_from=2026-11-20") == found("accession=H26-0001") == ["H26-0001"]
    )
    assert found("priority=stat") == ["B-2"]
    assert found("status=review") == []
    assert found(f"patient={patient.pk}&status=new&collected_to=2026-02-01") == ["B-2"]
    assert api.get("/api/v1/patients/?q=ruth").json()["count"] == 1
    assert api.get("/api/v1/patients/?mrn=nobody").json()["count"] == 0


@pytest.mark.parametrize("query", ["q=%00", "status=x", "collected_from=x", "patient=x"])
def test_a_filter_that_is_not_understood_is_a_400(api_for, clinician, query):
    assert api_for(clinician).get(f"/api/v1/cases/?{query}").status_code == 400


def test_a_smear_is_described(api_for, clinician, smear):
    facts = api_for(clinician).get(f"/api/v1/smears/{smear.pk}/").json()
    assert (facts["sha256"], facts["width"], facts["height"]) == (smear.sha256, 640, 480)
    assert facts["case"] == str(smear.case_id)
    case = api_for(clinician).get(f"/api/v1/cases/{smear.case_id}/").json()
    assert case["smears"] == [str(smear.pk)]
