"""From asking for an account to logging in with two factors."""

import re
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from axes.models import AccessAttempt
from django.core import mail
from django.utils import timezone

from accounts.models import AuditEvent, User
from tests.conftest import PASSWORD

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
NEW_PASSWORD = "seven quiet erythrocytes"


def code_now() -> str:
    return format_hotp_value(hotp_value(SECRET, int(time.time()) // 30))


def ask(client, at, **changes):
    wish = {
        "full_name": "Nora Newcomer",
        "email": "Nora@Example.org",
        "lab": at.pk,
        "role": "pathologist",
        "password1": NEW_PASSWORD,
        "password2": NEW_PASSWORD,
    }
    return client.post("/accounts/signup/", wish | changes, follow=True)


def log_in(client, email, password=PASSWORD):
    return client.post("/accounts/login/", {"login": email, "password": password})


def trail(verb):
    return list(AuditEvent.objects.filter(verb=verb).values_list("actor_name", "outcome"))


@pytest.fixture
def newcomer(client, lab) -> User:
    ask(client, lab)
    return User.objects.get(email="nora@example.org")


def test_every_entry_page_opens_and_says_what_the_product_is_for(client, lab):
    for page in ("login", "signup", "inactive", "password/reset", "password/reset/done"):
        answer = client.get(f"/accounts/{page}/")
        assert answer.status_code == 200
        assert b"For Research Use Only. Not for use in diagnostic procedures." in answer.content


@pytest.mark.parametrize("page", ["email", "confirm-email", "password/set", "login/code/confirm"])
def test_pages_of_allauth_that_are_not_used_do_not_exist(client, db, page):
    assert client.get(f"/accounts/{page}/").status_code == 404


def test_a_newcomer_waits_is_approved_and_logs_in(client, client_for, lab, administrator, mailoutbox):
    page = ask(client, lab)
    assert b"Waiting for approval" in page.content
    assert lab.name.encode() in page.content
    person = User.objects.get(email="nora@example.org")
    assert (person.status, person.role, person.lab) == ("pending", "pathologist", lab)
    assert log_in(client, person.email, NEW_PASSWORD).url == "/accounts/inactive/"

    client_for(administrator).post(f"/laboratory/people/{person.pk}/approve/")
    assert log_in(client, person.email, NEW_PASSWORD).url == "/"
    assert client.get("/tokens/").status_code == 200
    assert trail("people.register") == [("Nora Newcomer", "done")]
    assert trail("people.approve") == [("Ada Admin", "done")]
    assert ("Nora Newcomer", "done") in trail("account.login")


def test_administrators_hear_of_a_newcomer_and_the_newcomer_of_the_decision(
    client, client_for, lab, administrator, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        ask(client, lab)
        person = User.objects.get(email="nora@example.org")
        client_for(administrator).post(f"/laboratory/people/{person.pk}/approve/")
    assert [message.to for message in mail.outbox] == [[administrator.email], [person.email]]


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "administrator"},
        {"lab": "00000000-0000-0000-0000-000000000000"},
        {"full_name": ""},
        {"password1": "short", "password2": "short"},
        {"password2": "something else entirely"},
    ],
)
def test_a_request_that_cannot_be_is_not_taken(client, lab, changes):
    assert ask(client, lab, **changes).context["form"].errors
    assert not User.objects.exists()


def test_one_address_has_one_account(client, lab, newcomer):
    assert ask(client, lab).context["form"].errors["email"]
    assert User.objects.count() == 1


@pytest.mark.parametrize("status", [User.Status.REFUSED, User.Status.SUSPENDED])
def test_who_was_refused_or_suspended_reads_so(client, clinician, status):
    User.objects.update(status=status)
    assert log_in(client, clinician.email).url == "/accounts/inactive/"
    assert clinician.lab.name.encode() in client.get("/accounts/inactive/").content


def test_a_suspended_session_ends_at_once(client_for, clinician):
    client = client_for(clinician)
    assert client.get("/tokens/").status_code == 200
    User.objects.update(status=User.Status.SUSPENDED)
    assert client.get("/tokens/").url == "/accounts/login/?next=/tokens/"


def test_wrong_passwords_lock_and_the_page_says_until_when(client, clinician, pathologist):
    for _ in range(4):
        assert log_in(client, clinician.email, "wrong").status_code == 200
    assert log_in(client, clinician.email.upper(), "wrong").status_code == 429
    page = log_in(client, clinician.email)
    assert page.status_code == 429
    minutes = (page.context["until"] - timezone.now()).total_seconds() / 60
    assert 14 < minutes <= 15
    assert b"Nobody can sign in to this account" in page.content
    assert log_in(client, pathologist.email).status_code == 302
    assert set(trail("account.locked")) == {(clinician.email, "refused")}
    assert (clinician.email, "failed") in trail("account.login")


def test_the_lock_ends_by_itself(client, clinician):
    for _ in range(5):
        log_in(client, clinician.email, "wrong")
    assert log_in(client, clinician.email).status_code == 429
    earlier = timezone.now() - timezone.timedelta(minutes=16)
    AccessAttempt.objects.update(attempt_time=earlier)
    assert log_in(client, clinician.email).status_code == 302


def test_what_an_unknown_person_typed_is_not_kept(client, lab):
    log_in(client, "my-secret-password@example.org", "wrong")
    assert trail("account.login") == [("unknown", "failed")]


def test_logging_out_leaves_a_line(client_for, clinician):
    assert client_for(clinician).post("/accounts/logout/").status_code == 302
    assert trail("account.logout") == [("Clara Clinic", "done")]


def test_a_forgotten_password_is_replaced_by_mail(client, clinician):
    client.post("/accounts/password/reset/", {"email": clinician.email})
    link = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", mail.outbox[0].body)
    assert link
    form = client.get(link[1], follow=True)
    done = client.post(form.request["PATH_INFO"], {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert done.url == "/accounts/password/reset/key/done/"
    assert client.get(done.url).status_code == 200
    assert trail("account.password_reset") == [("Clara Clinic", "done")]
    assert log_in(client, clinician.email, NEW_PASSWORD).status_code == 302
    assert b"does not work any more" in client.get(link[1], follow=True).content


def test_an_unknown_address_gets_the_same_answer(client, lab):
    answer = client.post("/accounts/password/reset/", {"email": "nobody@example.org"})
    assert answer.url == "/accounts/password/reset/done/"
    assert "No active account" in mail.outbox[0].body


def test_changing_the_password_leaves_a_line(client_for, clinician):
    client = client_for(clinician)
    assert client.get("/accounts/password/change/").status_code == 200
    fields = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert client.post("/accounts/password/change/", fields).status_code == 302
    assert trail("account.password_changed") == [("Clara Clinic", "done")]


def test_a_second_factor_is_set_up_and_asked_for(
    client, clinician, settings, monkeypatch, django_capture_on_commit_callbacks
):
    settings.MFA_TOTP_TOLERANCE = 1
    log_in(client, clinician.email)
    monkeypatch.setattr("allauth.mfa.totp.internal.auth.generate_totp_secret", lambda length=20: SECRET)
    assert client.get("/accounts/2fa/totp/activate/").url.startswith("/accounts/reauthenticate/")
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/")
    assert SECRET.encode() in page.content
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/accounts/2fa/totp/activate/", {"code": code_now()})
    assert ("Clara Clinic", "done") in trail("account.factor_added")
    assert SECRET not in str(Authenticator.objects.get(type="totp").data)
    for inside in ("2fa/", "2fa/recovery-codes/", "2fa/recovery-codes/generate/", "2fa/totp/deactivate/"):
        assert client.get(f"/accounts/{inside}").status_code == 200

    client.post("/accounts/logout/")
    assert log_in(client, clinician.email).url.startswith("/accounts/2fa/authenticate/")
    assert client.get("/tokens/").status_code == 302
    wrong = client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    assert wrong.status_code == 200
    assert trail("account.second_factor") == [(clinician.email, "failed")]
    assert client.post("/accounts/2fa/authenticate/", {"code": code_now()}).url == "/"
    assert client.get("/tokens/").status_code == 200


def test_a_sensitive_step_asks_for_the_password_again(client_for, clinician):
    client = client_for(clinician)
    TOTP.activate(clinician, SECRET)
    answer = client.get("/accounts/2fa/totp/deactivate/", follow=True)
    assert b"Confirm that it is you" in answer.content
