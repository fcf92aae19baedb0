"""Who is told what, once; and the mail about it, which a broken server never loses and never doubles."""

from datetime import timedelta
from smtplib import SMTPRecipientsRefused, SMTPServerDisconnected

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.urls import reverse
from django.utils import timezone

from accounts import notifications, selectors, services, tasks
from accounts.models import AuditEvent, Notification, User
from accounts.notifications import MAX_ATTEMPTS, Event, Kind, Mail

SECRETS = ("Ames", "Ruth", "MRN-001", "1961", "Leukocytosis")


@pytest.fixture
def tell(case, django_capture_on_commit_callbacks):
    """Tells people, as a service does, and commits; the broker of the tests is gone."""

    def do(*people, kind=Kind.REPORT_SIGNED, key="v1"):
        with django_capture_on_commit_callbacks(execute=True):
            notifications.notify(people, Event(kind, case, key))

    return do


@pytest.fixture
def broken(monkeypatch):
    """A mail server that hangs up on everybody; `mended()` ends that."""

    def hang_up(*args):
        raise SMTPServerDisconnected("gone")

    monkeypatch.setattr(EmailBackend, "send_messages", hang_up)
    return monkeypatch.undo


def due_now():
    Notification.objects.exclude(mail_due_at=None).update(mail_due_at=timezone.now() - timedelta(seconds=1))


# --- who ------------------------------------------------------------------------------------------
def test_a_person_is_told_once_of_one_event(clinician, pathologist, tell):
    tell(clinician, clinician, pathologist)
    tell(clinician, pathologist)
    tell(clinician, key="v2")
    assert selectors.unread_count(clinician) == 2
    assert selectors.unread_count(pathologist) == 1


def test_who_may_not_see_the_case_is_not_told(clinician, stranger, tell):
    clinician.status = User.Status.SUSPENDED
    tell(clinician, stranger)
    assert not Notification.objects.exists()


def test_a_person_who_moved_to_another_laboratory_reads_nothing_here(clinician, other_lab, tell):
    tell(clinician)
    clinician.lab = other_lab
    clinician.save()
    assert selectors.unread_count(clinician) == 0
    tasks.sweep_mail()
    assert mail.outbox == []
    assert Notification.objects.get().mail == Mail.UNWANTED


# --- mail -----------------------------------------------------------------------------------------
def test_the_mail_says_which_case_and_where_and_nothing_of_the_patient(clinician, case, tell, settings):
    settings.SITE_URL = "https://portal.example/"
    tell(clinician)
    tasks.sweep_mail()
    (sent,) = mail.outbox
    assert sent.to == [clinician.email]
    assert sent.subject == "WBC Portal: Report signed, case H26-0001"
    assert f"https://portal.example/cases/{case.pk}/report/\n" in sent.body
    assert "For Research Use Only. Not for use in diagnostic procedures." in sent.body
    assert not any(secret in sent.body + sent.subject for secret in SECRETS)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_its_sentence_and_its_page(kind, clinician, case, tell, client_for):
    tell(clinician, kind=kind)
    tasks.sweep_mail()
    (sent,) = mail.outbox
    assert "case H26-0001" in sent.body and str(case.pk) in sent.body
    address = Notification.objects.get().get_absolute_url()
    assert client_for(clinician).get(address).status_code == 200


def test_a_task_that_runs_twice_sends_one_mail(clinician, tell):
    tell(clinician)
    key = str(Notification.objects.get().pk)
    tasks.mail_notifications([key])
    tasks.mail_notifications([key, key])
    tasks.sweep_mail()
    assert len(mail.outbox) == 1
    assert Notification.objects.get().mail == Mail.SENT
    assert list(
        AuditEvent.objects.filter(verb="notification.mail").values_list("object_name", "outcome")
    ) == [("H26-0001", "done")]


def test_a_worker_at_work_is_not_overtaken(clinician, tell):
    tell(clinician)
    key = Notification.objects.get().pk
    assert notifications._claim(key) is not None
    tasks.mail_notifications([str(key)])
    assert mail.outbox == []
    due_now()
    tasks.sweep_mail()
    assert len(mail.outbox) == 1


def test_the_task_is_sent_after_the_commit(case, clinician, monkeypatch, django_capture_on_commit_callbacks):
    sent = []
    monkeypatch.setattr("celery.current_app.send_task", lambda name, args: sent.append((name, *args)))
    with django_capture_on_commit_callbacks(execute=True):
        notifications.notify([clinician], Event(Kind.RUN_FAILED, case, "x"))
        assert sent == []
    assert sent == [("accounts.tasks.mail_notifications", [str(Notification.objects.get().pk)])]


def test_a_broken_server_is_tried_again_after_a_pause(clinician, tell, broken):
    tell(clinician)
    tasks.sweep_mail()
    row = Notification.objects.get()
    assert (row.mail, row.mail_attempts) == (Mail.WAITING, 1)
    assert row.mail_due_at > timezone.now()
    broken()
    tasks.sweep_mail()
    assert mail.outbox == []
    due_now()
    tasks.sweep_mail()
    assert len(mail.outbox) == 1


def test_a_server_that_stays_broken_is_given_up(clinician, tell, broken):
    tell(clinician)
    for _ in range(MAX_ATTEMPTS + 2):
        due_now()
        tasks.sweep_mail()
    row = Notification.objects.get()
    assert (row.mail, row.mail_attempts, row.read_at) == (Mail.GIVEN_UP, MAX_ATTEMPTS, None)
    assert AuditEvent.objects.get(verb="notification.mail").outcome == "failed"


def test_a_server_that_is_gone_is_asked_once_for_all(clinician, pathologist, administrator, tell, broken):
    tell(clinician, pathologist, administrator)
    tasks.sweep_mail()
    tasks.sweep_mail()
    assert sorted(Notification.objects.values_list("mail_attempts", flat=True)) == [0, 0, 1]
    broken()
    due_now()
    tasks.sweep_mail()
    assert len(mail.outbox) == 3


def test_an_address_that_is_refused_holds_nobody_up(clinician, pathologist, tell, monkeypatch):
    taken = EmailBackend.send_messages

    def choosy(backend, messages):
        if messages[0].to == [clinician.email]:
            raise SMTPRecipientsRefused({clinician.email: (550, b"no such user")})
        return taken(backend, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", choosy)
    tell(clinician, pathologist)
    tasks.sweep_mail()
    assert [message.to for message in mail.outbox] == [[pathologist.email]]
    assert Notification.objects.get(recipient=clinician).mail == Mail.WAITING


def test_a_number_with_a_line_end_cannot_write_headers(clinician, case, tell):
    type(case).objects.update(accession="H26\nBcc: x@y.example")
    case.refresh_from_db()
    tell(clinician)
    tasks.sweep_mail()
    assert mail.outbox[0].subject.endswith("case H26 Bcc: x@y.example")
    assert mail.outbox[0].recipients() == [clinician.email]


# --- choosing -------------------------------------------------------------------------------------
def test_each_person_chooses_mail_and_keeps_the_bell(clinician, pathologist, tell, client_for):
    client, address = client_for(clinician), reverse("accounts:notification-settings")
    assert b"checked" in client.get(address).content
    assert client.post(address, {}).status_code == 302
    clinician.refresh_from_db()
    assert not clinician.mail_wanted
    tell(clinician, pathologist)
    tasks.sweep_mail()
    assert [message.to for message in mail.outbox] == [[pathologist.email]]
    assert selectors.unread_count(clinician) == 1
    client.post(address, {"wanted": "on"})
    clinician.refresh_from_db()
    assert clinician.mail_wanted
    lines = AuditEvent.objects.filter(verb="account.mail", actor=clinician).order_by("id")
    assert [line.detail for line in lines] == [{"wanted": False}, {"wanted": True}]


def test_mail_switched_off_meanwhile_does_not_leave(clinician, tell):
    tell(clinician)
    services.choose_mail(clinician, False)
    tasks.sweep_mail()
    assert mail.outbox == []


# --- pages ----------------------------------------------------------------------------------------
def test_the_bell_counts_what_is_unread(clinician, tell, client_for):
    client = client_for(clinician)
    assert "bell-count" not in client.get("/").content.decode()
    tell(clinician)
    page = client.get("/").content.decode()
    assert "1 unread" in page and 'aria-hidden="true">1</span>' in page
    assert client.get(reverse("accounts:bell"), {"was": 1}).status_code == 204
    assert b"1 unread" in client.get(reverse("accounts:bell"), {"was": 0}).content


def test_the_list_and_marking_read(clinician, tell, client_for):
    client, address = client_for(clinician), reverse("accounts:notifications")
    assert b"No notification yet" in client.get(address).content
    tell(clinician)
    tell(clinician, kind=Kind.RUN_FAILED)
    tell(clinician, kind=Kind.QUESTION_ANSWERED)
    page = client.get(address).content.decode()
    assert page.count(">Mark as read<") == 3 and "Analysis failed" in page
    client.post(reverse("accounts:read", args=[Notification.objects.get(kind=Kind.RUN_FAILED).pk]))
    assert selectors.unread_count(clinician) == 2
    client.post(reverse("accounts:read-all"))
    assert selectors.unread_count(clinician) == 0
    assert client.get(reverse("accounts:read-all")).status_code == 405


def test_opening_the_case_reads_what_was_said_about_it(clinician, case, tell, client_for):
    tell(clinician)
    client_for(clinician).get(reverse("cases:case", args=[case.pk]))
    assert selectors.unread_count(clinician) == 0


def test_nobody_reads_or_marks_another_person_s(clinician, pathologist, stranger, tell, client_for):
    tell(clinician)
    row = Notification.objects.get()
    for other in (pathologist, stranger):
        client = client_for(other)
        assert client.post(reverse("accounts:read", args=[row.pk])).status_code == 404
        client.post(reverse("accounts:read-all"))
        assert b"H26-0001" not in client.get(reverse("accounts:notifications")).content
    row.refresh_from_db()
    assert row.read_at is None
