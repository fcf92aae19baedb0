"""The trail."""

import pytest

from accounts import audit, selectors
from accounts.models import AuditEvent


def test_a_line_says_who_what_when_on_what_and_from_where(clinician, pathologist):
    with audit.source("192.0.2.7"):
        line = audit.record(clinician, "people.greet", pathologist, count=2)
    line.refresh_from_db()
    assert (line.actor, line.actor_name, line.lab) == (clinician, "Clara Clinic", clinician.lab)
    assert (line.object_type, line.object_id) == ("user", str(pathologist.pk))
    assert (line.object_name, line.ip_address, line.detail) == (pathologist.email, "192.0.2.7", {"count": 2})
    assert line.at is not None


def test_without_an_actor_it_is_the_worker_in_the_laboratory_of_the_object(pathologist):
    line = audit.record(None, "run.done", pathologist)
    assert (line.actor, line.actor_name, line.lab) == (None, "worker", pathologist.lab)
    assert line.ip_address is None


def test_sources_nest(clinician):
    with audit.source("192.0.2.1"):
        with audit.source("192.0.2.2"):
            inner = audit.record(clinician, "a")
        outer = audit.record(clinician, "b")
    assert (inner.ip_address, outer.ip_address) == ("192.0.2.2", "192.0.2.1")


def test_the_object_is_named_by_accession_and_never_by_patient(clinician, case, patient):
    assert audit.record(clinician, "x", case).object_name == "H26-0001"
    assert audit.record(clinician, "x", patient).object_name == ""


@pytest.fixture
def lines(clinician, pathologist, administrator, stranger):
    AuditEvent.objects.all().delete()
    audit.record(clinician, "case.create", clinician)
    audit.record(pathologist, "report.sign", pathologist)
    audit.record(clinician, "report.sign", clinician, audit.REFUSED)
    audit.record(stranger, "case.create", stranger)


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ({}, 3),
        ({"who": "paul"}, 1),
        ({"who": "clinic@"}, 2),
        ({"verb": "report.sign"}, 2),
        ({"outcome": "refused"}, 1),
        ({"verb": "report.sign", "outcome": "done"}, 1),
        ({"since": "2001-01-01", "until": "2001-01-02"}, 0),
    ],
)
def test_the_trail_is_filtered_within_the_laboratory(administrator, lines, wanted, number):
    assert selectors.filtered_audit(administrator, wanted).count() == number


def test_the_days_given_are_included(administrator, lines):
    day = AuditEvent.objects.first().at.date()
    assert selectors.filtered_audit(administrator, {"since": day, "until": day}).count() == 3


def test_the_page_filters_and_pages(client_for, administrator, clinician, lines):
    for _ in range(60):
        audit.record(clinician, "case.view")
    client = client_for(administrator)
    assert b"1\xe2\x80\x9350 of" in client.get("/laboratory/audit/").content
    page = client.get("/laboratory/audit/?outcome=refused&verb=report.sign")
    assert page.status_code == 200
    assert page.content.count(b"<tr>") == 2
    assert b"Nothing in the trail" in client.get("/laboratory/audit/?who=nobody").content
    assert client.get("/laboratory/audit/?since=yesterday&outcome=odd&page=x").status_code == 200
