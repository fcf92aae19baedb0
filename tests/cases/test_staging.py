"""Staging is asked for when a case is opened, where the laboratory offers it."""

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEvent
from accounts.services import offer_staging
from cases.models import Case
from cases.selectors import case_facts
from cases.services import create_case, edit_case

pytestmark = pytest.mark.django_db
COLLECTED = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)


@pytest.fixture
def offered(administrator):
    offer_staging(administrator, True)


def test_a_case_is_opened_with_its_request(offered, clinician, patient):
    case = create_case(clinician, patient, accession="S-1", collected_at=COLLECTED, staging_requested=True)
    facts = case_facts(case.pk)
    assert facts.staging_requested_by == "Clara Clinic" and facts.staging_requested_at
    verbs = AuditEvent.objects.filter(object_name="S-1").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["case.create", "staging.request"]


def test_where_it_is_not_offered_no_case_is_opened_with_it(clinician, patient):
    with pytest.raises(ValidationError, match="does not offer") as refused:
        create_case(clinician, patient, accession="S-1", collected_at=COLLECTED, staging_requested=True)
    assert list(refused.value.message_dict) == ["staging_requested"]
    assert not Case.objects.exists()
    assert (
        case_facts(create_case(clinician, patient, accession="S-2", collected_at=COLLECTED).pk).status
        == "new"
    )


def test_a_request_is_no_column_that_is_edited(offered, clinician, case):
    with pytest.raises(TypeError):
        edit_case(clinician, case, staging_requested=True)


def entries(**more):
    typed = {"mrn": "MRN-001", "accession": "S-9", "priority": "routine", "collected_at": "2026-11-20T08:15"}
    return typed | more


def test_the_form_offers_what_the_laboratory_offers(client_for, clinician, administrator):
    client = client_for(clinician)
    assert b"staging_requested" not in client.get("/cases/new/").content
    offer_staging(administrator, True)
    assert b'name="staging_requested"' in client.get("/cases/new/").content


def test_the_form_requests_staging(client_for, clinician, patient, offered):
    answer = client_for(clinician).post(
        "/cases/new/", entries(known=str(patient.pk), staging_requested="on"), follow=True
    )
    assert answer.redirect_chain
    assert Case.objects.get(accession="S-9").staging_requested_by == clinician


def test_the_form_says_why_staging_is_refused(client_for, clinician, patient):
    answer = client_for(clinician).post("/cases/new/", entries(known=str(patient.pk), staging_requested="on"))
    assert b"This laboratory does not offer leukemia staging." in answer.content
    assert not Case.objects.exists()


def test_the_api_opens_a_case_with_its_request_and_changes_it_elsewhere(api_for, clinician, patient, offered):
    client = api_for(clinician)
    sent = {"patient": str(patient.pk), "accession": "S-9", "collected_at": COLLECTED.isoformat()}
    opened = client.post("/api/v1/cases/", sent | {"staging_requested": True}, format="json")
    assert opened.status_code == 201 and opened.json()["staging_requested"] is True
    address = f"/api/v1/cases/{opened.json()['id']}/"
    refused = client.patch(address, {"staging_requested": False}, format="json")
    assert refused.status_code == 400 and "staging/" in str(refused.json())
    kept = client.patch(address, {"staging_requested": True, "stain": "Wright"}, format="json")
    assert kept.status_code == 200 and kept.json()["stain"] == "Wright"


def test_the_api_refuses_where_it_is_not_offered(api_for, clinician, patient):
    sent = {"patient": str(patient.pk), "accession": "S-9", "collected_at": COLLECTED.isoformat()}
    answer = api_for(clinician).post("/api/v1/cases/", sent | {"staging_requested": True}, format="json")
    assert answer.status_code == 400 and "does not offer" in str(answer.json())
