"""API tokens: made, used, revoked, and only ever one's own."""

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.utils import timezone
from knox.models import get_token_model
from rest_framework.test import APIClient

from accounts import services
from accounts.models import AuditEvent, User
from tests.accounts.test_login import SECRET, code_now
from tests.conftest import PASSWORD

ADDRESS = "/api/v1/auth/token/"


def trade(email, password=PASSWORD, **more):
    return APIClient().post(ADDRESS, {"email": email, "password": password, **more})


def bearing(token) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def test_credentials_are_traded_for_a_token_that_ends(clinician):
    answer = trade(clinician.email.upper())
    assert answer.status_code == 200
    assert answer.data["token"].startswith("wbc_")
    row = get_token_model().objects.get()
    assert row.user == clinician
    assert 89 <= (row.expiry - timezone.now()).days <= 90
    verbs = set(AuditEvent.objects.filter(actor=clinician).values_list("verb", flat=True))
    assert verbs == {"account.login", "token.create"}
    assert answer.data["token"] not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize("body", [{}, {"email": "x"}, {"email": "a@b.example"}, {"password": "x"}, []])
def test_a_malformed_request_is_answered_as_one(db, body):
    assert APIClient().post(ADDRESS, body, format="json").status_code == 400


def test_a_wrong_password_is_refused_and_counts_towards_the_lock(clinician):
    for _ in range(4):
        assert trade(clinician.email, "wrong").status_code == 401
    assert trade(clinician.email, "wrong").status_code == 429
    locked = trade(clinician.email)
    assert locked.status_code == 429
    assert locked.json()["error"]["code"] == "locked"


@pytest.mark.parametrize("status", [User.Status.PENDING, User.Status.SUSPENDED])
def test_an_account_that_is_not_active_gets_none(clinician, status):
    User.objects.update(status=status)
    assert trade(clinician.email).status_code == 401


def test_a_second_factor_is_asked_for(clinician, settings):
    settings.MFA_TOTP_TOLERANCE = 1
    TOTP.activate(clinician, SECRET)
    assert trade(clinician.email).status_code == 401
    assert trade(clinician.email, otp="000000").status_code == 401
    assert trade(clinician.email, otp=code_now()).status_code == 200


def test_wrong_second_factors_lock(clinician):
    TOTP.activate(clinician, SECRET)
    statuses = [trade(clinician.email, otp="000000").status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 401, 429]
    assert trade(clinician.email, otp=code_now()).status_code == 429


def test_a_token_revokes_itself(clinician):
    token, _expiry = services.create_token(clinician)
    assert bearing(token).delete(ADDRESS).status_code == 204
    assert bearing(token).delete(ADDRESS).status_code == 401
    assert AuditEvent.objects.filter(verb="token.revoke", actor=clinician).count() == 1


def test_a_token_ends_with_the_account(clinician, administrator):
    token, _expiry = services.create_token(clinician)
    services.suspend(administrator, clinician)
    assert bearing(token).delete(ADDRESS).status_code == 401
    services.readmit(administrator, clinician)
    assert bearing(token).delete(ADDRESS).status_code == 401


def test_the_page_shows_a_token_once(client_for, clinician):
    client = client_for(clinician)
    page = client.post("/tokens/", {"days": 30})
    secret = page.context["secret"]
    assert secret.encode() in page.content
    assert bearing(secret).delete(ADDRESS).status_code == 204
    assert secret.encode() not in client.get("/tokens/").content
    assert client.post("/tokens/", {"days": 100_000}).context["secret"] == ""


def test_nobody_revokes_the_token_of_somebody_else(client_for, clinician, pathologist):
    services.create_token(clinician)
    digest = get_token_model().objects.get().digest
    assert client_for(pathologist).post(f"/tokens/{digest}/revoke/").status_code == 404
    assert client_for(None).post(f"/tokens/{digest}/revoke/").status_code == 302
    assert get_token_model().objects.count() == 1
    assert client_for(clinician).post(f"/tokens/{digest}/revoke/").status_code == 302
    assert get_token_model().objects.count() == 0
