"""What people are told about their cases: noted with the event itself, mailed by a worker afterwards."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from smtplib import SMTPDataError, SMTPRecipientsRefused
from typing import Any
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from kombu.exceptions import OperationalError as BrokerError

from . import audit
from .models import Notification, User
from .permissions import Verb, may, require
from .selectors import notifications_for

logger = logging.getLogger(__name__)
Kind, Mail = Notification.Kind, Notification.Mail

MAIL_TASK = "accounts.tasks.mail_notifications"
MAX_ATTEMPTS = 8
FIRST_PAUSE = timedelta(minutes=1)
SERVER_PAUSE = timedelta(minutes=5)
LOST_AFTER = timedelta(minutes=10)
"""An attempt that has not ended by then counts as lost with its worker."""

SENTENCES = {
    Kind.REPORT_SIGNED: gettext_lazy("The report of case %(accession)s has been signed."),
    Kind.REPORT_AMENDED: gettext_lazy("The report of case %(accession)s has been amended."),
    Kind.RUN_FAILED: gettext_lazy("An analysis of case %(accession)s has failed."),
    Kind.STAGING_FAILED: gettext_lazy("The leukemia staging of case %(accession)s has failed."),
    Kind.QUESTION_ASKED: gettext_lazy("A question was asked on case %(accession)s."),
    Kind.QUESTION_ANSWERED: gettext_lazy("A question on case %(accession)s has been answered."),
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a case; `key` is the same whenever the same thing is told again."""

    kind: Notification.Kind
    case: Any
    key: str


def notify(recipients: Iterable[User], event: Event) -> None:
    """Tell each person once, inside the transaction of the event; who may not see the case is left out."""
    people = {person.pk: person for person in recipients if may_be_told(person, event.case.lab_id)}
    noted = [_note(person, event) for person in people.values()]
    to_mail = [str(row.pk) for row, is_new in noted if is_new and row.mail == Mail.WAITING]
    if to_mail:
        transaction.on_commit(lambda: _send(to_mail))


def _note(person: User, event: Event) -> tuple[Notification, bool]:
    """The row of one person, and whether it is a new one."""
    columns = {
        "lab_id": event.case.lab_id,
        "kind": event.kind,
        "case_id": event.case.pk,
        "accession": event.case.accession,
        **_mail_columns(person),
    }
    return Notification.objects.get_or_create(recipient=person, key=_key(event), defaults=columns)


def _key(event: Event) -> str:
    return f"{event.kind}:{event.key}"


def may_be_told(person: User, lab_id: UUID) -> bool:
    return person.lab_id == lab_id and may(person, Verb.CASE_VIEW)


def _mail_columns(person: User) -> dict[str, object]:
    if not person.mail_wanted:
        return {"mail": Mail.UNWANTED}
    return {"mail": Mail.WAITING, "mail_due_at": timezone.now()}


# --- reading --------------------------------------------------------------------------------------
def read(actor: User, notification: Notification) -> None:
    require(actor, Verb.NOTIFICATION_VIEW)
    _mark(notifications_for(actor).filter(pk=notification.pk))


def read_all(actor: User) -> None:
    require(actor, Verb.NOTIFICATION_VIEW)
    _mark(notifications_for(actor))


def read_about(actor: User, case_id: UUID) -> None:
    """The person has the case before them: what they were told about it is no news any more."""
    _mark(notifications_for(actor).filter(case_id=case_id))


def settle(event: Event) -> None:
    """What several people were told has been seen to by one of them."""
    _mark(Notification.objects.filter(case_id=event.case.pk, key=_key(event)))


def _mark(rows: QuerySet[Notification]) -> None:
    rows.filter(read_at=None).update(read_at=timezone.now())


# --- mail -----------------------------------------------------------------------------------------
def _send(keys: list[str]) -> None:
    """Ask the worker for mails. A broker that is down is logged: the sweeper sends them later."""
    try:
        current_app.send_task(MAIL_TASK, args=[keys])
    except BrokerError as error:
        logger.warning("The broker does not answer; mails %s wait for the sweeper: %s", keys, error)


def deliver_all(keys: Iterable[UUID | str]) -> None:
    """Mail one after the other. A server that is gone is not asked for every single one, which would keep a
    worker from its analyses: whatever is due waits for some minutes."""
    for key in keys:
        if not deliver(key):
            _due().filter(mail=Mail.WAITING).update(mail_due_at=timezone.now() + SERVER_PAUSE)
            break


def deliver(key: UUID | str) -> bool:
    """Mail one notification that is due; false when the mail server is gone.

    Its row is claimed first, so that a task that runs twice sends one mail.
    """
    row = _claim(key)
    if row is None:
        return True
    if not _is_wanted(row):
        _end(row, Mail.UNWANTED)
        return True
    if row.mail_attempts > MAX_ATTEMPTS:
        _give_up(row)
        return True
    try:
        _message(row).send()
    except OSError as error:  # what smtplib raises is one of them
        logger.warning("Mail %s was not sent, attempt %d: %s", row.pk, row.mail_attempts, error)
        _put_off(row)
        return isinstance(error, SMTPRecipientsRefused | SMTPDataError)
    with transaction.atomic():
        _end(row, Mail.SENT)
        audit.record(None, "notification.mail", row, kind=row.kind, attempts=row.mail_attempts)
    return True


def sweep() -> None:
    """Mail what is due because the broker, a worker or the mail server was gone."""
    deliver_all(_due().values_list("pk", flat=True))


def _due() -> QuerySet[Notification]:
    unsent = Q(mail__in=[Mail.WAITING, Mail.SENDING])
    return Notification.objects.filter(unsent, mail_due_at__lte=timezone.now()).order_by("mail_due_at")


def _claim(key: UUID | str) -> Notification | None:
    """waiting, or sending and lost → sending; None when it is not due, or somebody else was faster."""
    row = _due().filter(pk=key).select_related("recipient__lab").first()
    if row is None:
        return None
    as_seen = _due().filter(pk=key, mail_attempts=row.mail_attempts)
    lost_at = timezone.now() + LOST_AFTER
    if not as_seen.update(mail=Mail.SENDING, mail_attempts=F("mail_attempts") + 1, mail_due_at=lost_at):
        return None
    row.mail_attempts += 1
    return row


def _end(row: Notification, mail: Notification.Mail) -> None:
    _held(row).update(mail=mail, mail_due_at=None)


def _put_off(row: Notification) -> None:
    """Tried again later, each time after twice the pause."""
    if row.mail_attempts >= MAX_ATTEMPTS:
        _give_up(row)
        return
    pause = FIRST_PAUSE * 2 ** (row.mail_attempts - 1)
    _held(row).update(mail=Mail.WAITING, mail_due_at=timezone.now() + pause)


def _give_up(row: Notification) -> None:
    with transaction.atomic():
        _end(row, Mail.GIVEN_UP)
        audit.record(None, "notification.mail", row, audit.FAILED, attempts=row.mail_attempts)


def _held(row: Notification) -> QuerySet[Notification]:
    return Notification.objects.filter(pk=row.pk, mail=Mail.SENDING, mail_attempts=row.mail_attempts)


def _is_wanted(row: Notification) -> bool:
    """Asked again when it leaves: people change their mind, and their laboratory."""
    return row.recipient.mail_wanted and may_be_told(row.recipient, row.lab_id)


def _message(row: Notification) -> EmailMessage:
    """Never a word about the patient. Its id stays the same, should it leave twice after all."""
    accession = " ".join(row.accession.split())
    context = {
        "sentence": SENTENCES[Kind(row.kind)] % {"accession": accession},
        "link": _address(row.get_absolute_url()),
        "settings_link": _address(reverse("accounts:notification-settings")),
    }
    subject = _("WBC Portal: %(kind)s, case %(accession)s")
    return EmailMessage(
        subject % {"kind": row.get_kind_display(), "accession": accession},
        render_to_string("accounts/mail/notification.txt", context),
        to=[row.recipient.email],
        headers={"Message-ID": f"<{row.pk}@wbc-portal>", "Auto-Submitted": "auto-generated"},
    )


def _address(path: str) -> str:
    return settings.SITE_URL.rstrip("/") + path
