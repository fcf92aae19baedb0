"""The administrator's pages, and that nobody else has them."""

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from accounts import selectors, services
from accounts.models import AuditEvent, Role, User
from accounts.ranges import DEFAULT_RANGES_PERCENT
from tests.conftest import person

PAGES = ["/laboratory/people/", "/laboratory/ranges/", "/laboratory/audit/"]


@pytest.fixture
def pending(lab) -> User:
    newcomer = person(lab, Role.CLINICIAN, "Nora Newcomer")
    User.objects.filter(pk=newcomer.pk).update(status=User.Status.PENDING)
    newcomer.refresh_from_db()
    return newcomer


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_open_to_administrators_only(client_for, administrator, clinician, pathologist, page):
    assert client_for(administrator).get(page).status_code == 200
    assert client_for(None).get(page).url.startswith("/accounts/login/")
    for other in (clinician, pathologist):
        assert client_for(other).get(page).status_code == 403
    refused = AuditEvent.objects.filter(outcome="refused", ip_address="127.0.0.1")
    assert {line.actor for line in refused} == {clinician, pathologist}


def test_nobody_sees_another_laboratory(client_for, other_lab, stranger, administrator, clinician):
    page = client_for(administrator).get("/laboratory/people/").content
    assert clinician.email.encode() in page
    assert stranger.email.encode() not in page
    for address in (f"{stranger.pk}/suspend/", f"{stranger.pk}/role/"):
        answer = client_for(administrator).post(f"/laboratory/people/{address}", {"role": "clinician"})
        assert answer.status_code == 404
    stranger.refresh_from_db()
    assert (stranger.status, stranger.role) == ("active", "pathologist")


@pytest.mark.parametrize(
    ("decision", "before", "after"),
    [
        ("approve", "pending", "active"),
        ("refuse", "pending", "refused"),
        ("suspend", "active", "suspended"),
        ("readmit", "suspended", "active"),
        ("readmit", "refused", "active"),
        ("approve", "refused", "refused"),
        ("suspend", "pending", "pending"),
    ],
)
def test_decisions_move_an_account_only_from_where_they_apply(
    client_for, administrator, pending, decision, before, after
):
    User.objects.filter(pk=pending.pk).update(status=before)
    answer = client_for(administrator).post(f"/laboratory/people/{pending.pk}/{decision}/", follow=True)
    pending.refresh_from_db()
    assert pending.status == after
    moved = AuditEvent.objects.filter(verb=f"people.{decision}").exists()
    assert moved == (before != after)
    assert (b"Somebody changed this account meanwhile" in answer.content) == (not moved)


def test_an_unknown_decision_does_not_exist(client_for, administrator, pending):
    assert client_for(administrator).post(f"/laboratory/people/{pending.pk}/crown/").status_code == 404


def test_a_role_is_changed(client_for, administrator, clinician):
    client = client_for(administrator)
    client.post(f"/laboratory/people/{clinician.pk}/role/", {"role": "pathologist"})
    clinician.refresh_from_db()
    assert clinician.role == "pathologist"
    line = AuditEvent.objects.get(verb="people.role")
    assert line.detail == {"before": "clinician", "after": "pathologist"}
    assert client.post(f"/laboratory/people/{clinician.pk}/role/", {"role": "king"}).status_code == 422


def test_no_administrator_changes_their_own_account(administrator):
    with pytest.raises(ValidationError):
        services.suspend(administrator, administrator)
    with pytest.raises(ValidationError):
        services.set_role(administrator, administrator, Role.CLINICIAN)


def test_services_refuse_who_may_not_even_without_a_page(clinician, pathologist):
    with pytest.raises(PermissionDenied):
        services.suspend(clinician, pathologist)
    pathologist.refresh_from_db()
    assert pathologist.is_active
    assert AuditEvent.objects.get(verb="lab.people", outcome="refused").actor == clinician


def test_a_new_laboratory_has_the_default_ranges(lab):
    assert selectors.ranges_of(lab.pk) == DEFAULT_RANGES_PERCENT


def fields(**limits: tuple[str, str]) -> dict[str, str]:
    lows = {f"{name}-low": low for name, (low, _) in limits.items()}
    return lows | {f"{name}-high": high for name, (_, high) in limits.items()}


def test_ranges_are_replaced(client_for, administrator, other_lab):
    given = fields(neutrophil=("40", "72.5"), blast=("0", "0.5"), monocyte=("", ""))
    assert client_for(administrator).post("/laboratory/ranges/", given).status_code == 302
    assert selectors.ranges_of(administrator.lab_id) == {"neutrophil": (40, 72.5), "blast": (0, 0.5)}
    assert selectors.ranges_of(other_lab.pk) == DEFAULT_RANGES_PERCENT
    assert AuditEvent.objects.get(verb="lab.ranges").detail["ranges"]["blast"] == [0, 0.5]


@pytest.mark.parametrize(
    "limits", [("70", "50"), ("50", "50"), ("5", ""), ("-1", "5"), ("5", "101"), ("a", "5")]
)
def test_a_range_that_is_none_is_not_saved(client_for, administrator, limits):
    answer = client_for(administrator).post("/laboratory/ranges/", fields(neutrophil=limits))
    assert answer.status_code == 422
    assert b"errorlist" in answer.content
    assert selectors.ranges_of(administrator.lab_id) == DEFAULT_RANGES_PERCENT


def test_the_navigation_counts_who_waits(client_for, administrator, pending):
    assert client_for(administrator).get("/laboratory/people/").context["nav_counts"]["people"] == 1


def test_staging_is_not_offered_until_an_administrator_says_so(client_for, administrator, lab, other_lab):
    assert not selectors.staging_is_offered(lab.pk)
    client = client_for(administrator)
    for offered, typed in ((True, {"offered": "on"}), (False, {})):
        answer = client.post("/laboratory/staging/", typed, follow=True)
        assert answer.redirect_chain == [("/laboratory/ranges/", 302)]
        assert selectors.staging_is_offered(lab.pk) is offered
        assert not selectors.staging_is_offered(other_lab.pk)
    client.post("/laboratory/staging/", {})
    lines = AuditEvent.objects.filter(verb="lab.staging").order_by("id")
    assert [line.detail for line in lines] == [{"offered": True}, {"offered": False}]


def test_only_an_administrator_offers_staging(client_for, clinician, pathologist, lab):
    for who in (clinician, pathologist):
        assert client_for(who).post("/laboratory/staging/", {"offered": "on"}).status_code == 403
    assert not selectors.staging_is_offered(lab.pk)


# --- the theme of one's own pages ---------------------------------------------------------------------
def test_a_person_chooses_a_theme(client_for, administrator):
    client = client_for(administrator)
    assert b'data-theme="system"' in client.get("/tokens/").content
    assert client.post("/theme/", {"theme": "dark", "next": "/tokens/"})["Location"] == "/tokens/"
    assert b'data-theme="dark" data-bs-theme="dark"' in client.get("/tokens/").content
    assert client.post("/theme/", {"theme": "light"}, headers={"HX-Request": "true"}).status_code == 204
    administrator.refresh_from_db()
    assert administrator.theme == "light"


def test_a_theme_that_is_none_is_refused(client_for, administrator):
    answer = client_for(administrator).post("/theme/", {"theme": "pink"})
    assert answer.status_code == 422
    assert b"choose system, light or dark" in answer.content
    administrator.refresh_from_db()
    assert administrator.theme == "system"


def test_the_way_back_leads_to_no_other_site(client_for, administrator):
    answer = client_for(administrator).post("/theme/", {"theme": "dark", "next": "https://example.org/"})
    assert answer["Location"] == "/"
