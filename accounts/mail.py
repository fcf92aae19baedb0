"""Mail that accompanies a change; the change stands even when the mail server does not answer."""

import logging
from smtplib import SMTPException

from django.core.mail import send_mail
from django.db import transaction
from django.utils.translation import gettext as _

from .models import User
from .permissions import Verb
from .selectors import people_with

log = logging.getLogger(__name__)


def tell_administrators(newcomer: User) -> None:
    people = people_with(Verb.LAB_PEOPLE, newcomer.lab_id)
    text = _("%(name)s (%(email)s) asks for an account as %(role)s at %(lab)s.") % {
        "name": newcomer.full_name,
        "email": newcomer.email,
        "role": newcomer.get_role_display(),
        "lab": newcomer.lab.name,
    }
    _after_commit(_("An account waits for approval"), text, [person.email for person in people])


def tell_decision(person: User) -> None:
    text = _("Your account at %(lab)s: %(status)s.") % {
        "lab": person.lab.name,
        "status": person.get_status_display(),
    }
    _after_commit(_("Your account"), text, [person.email])


def _after_commit(subject: str, text: str, to: list[str]) -> None:
    transaction.on_commit(lambda: _send(f"WBC Portal: {subject}", text, to))


def _send(subject: str, text: str, to: list[str]) -> None:
    try:
        send_mail(subject, text, None, to)
    except (SMTPException, OSError):
        log.exception("mail was not sent: %s", subject)
