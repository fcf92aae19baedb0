"""Audit lines for what other packages do: logging in and out, locking, passwords, second factors."""

from typing import Any

from allauth.account.signals import password_changed, password_reset
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authentication_failed, authenticator_added, authenticator_removed
from axes.signals import user_locked_out
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver

from . import audit
from .lockout import username
from .models import User


@receiver(user_logged_in)
def logged_in(sender: Any, user: User, **_: Any) -> None:
    audit.record(user, "account.login", user)


@receiver(user_logged_out)
def logged_out(sender: Any, user: User | None, **_: Any) -> None:
    if user is not None:
        audit.record(user, "account.logout", user)


@receiver(user_login_failed)
def login_failed(sender: Any, credentials: dict[str, str], request: Any = None, **_: Any) -> None:
    name = username(request, credentials) if request is not None else ""
    _about(name, "account.login", audit.FAILED)


@receiver(user_locked_out)
def locked_out(sender: Any, username: str, **_: Any) -> None:
    _about(username, "account.locked", audit.REFUSED)


def _about(email: str, verb: str, outcome: str) -> None:
    """What was typed is kept only when it is somebody's address: people type passwords there, too."""
    person = User.objects.filter(email=email).select_related("lab").first()
    name = str(person.email) if person else "unknown"
    audit.record(None, verb, person, outcome, actor_name=name)


@receiver(password_changed)
def changed_password(sender: Any, user: User, **_: Any) -> None:
    audit.record(user, "account.password_changed", user)


@receiver(password_reset)
def reset_password(sender: Any, user: User, **_: Any) -> None:
    audit.record(user, "account.password_reset", user)


@receiver(authenticator_added)
def added_factor(sender: Any, user: User, authenticator: Authenticator, **_: Any) -> None:
    audit.record(user, "account.factor_added", user, kind=authenticator.type)


@receiver(authenticator_removed)
def removed_factor(sender: Any, user: User, authenticator: Authenticator, **_: Any) -> None:
    audit.record(user, "account.factor_removed", user, kind=authenticator.type)


@receiver(authentication_failed)
def wrong_code(sender: Any, user: User, **_: Any) -> None:
    audit.record(None, "account.second_factor", user, audit.FAILED, actor_name=user.email)
