"""Typed reading of environment variables; a wrong value stops the start with a sentence."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import get_random_string


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def flag(name: str, default: bool = False) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value in ("", "0", "1", "true", "false", "yes", "no"):
        return value in ("1", "true", "yes") if value else default
    raise ImproperlyConfigured(f"{name} is {value!r}; use 1, true, yes or 0, false, no.")


def number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    try:
        return int(value) if value else default
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is {value!r}; it has to be a whole number.") from error


def names(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def secret(name: str, file: Path) -> str:
    """The variable, or else a key made once and kept in a file that only its owner can read."""
    if value := os.environ.get(name):
        return value
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(get_random_string(64))
    return file.read_text()


def database(url: str) -> dict[str, object]:
    """A DATABASE_URL as Django's DATABASES entry: ``postgresql://user:password@host:port/name``."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": parts.path,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    if parts.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured(
            f"DATABASE_URL starts with {parts.scheme!r}; use sqlite:///path or postgresql://…"
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": dict(parse_qsl(parts.query)),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


@dataclass(frozen=True, slots=True)
class MailServer:
    """Django's EMAIL_* settings; `folder` is where mail is written that goes to files."""

    backend: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    use_tls: bool = False
    use_ssl: bool = False
    folder: str = ""


SMTP_PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 465}


def mail(url: str) -> MailServer:
    """An EMAIL_URL: ``smtp+tls://user:password@host:587`` (STARTTLS), ``smtps://…``, ``smtp://…``,
    ``file:///folder`` or ``console:``."""
    parts, backends = urlsplit(url), "django.core.mail.backends"
    if parts.scheme == "console":
        return MailServer(f"{backends}.console.EmailBackend")
    if parts.scheme == "file" and parts.path:
        return MailServer(f"{backends}.filebased.EmailBackend", folder=parts.path)
    if parts.scheme not in SMTP_PORTS or not parts.hostname:
        raise ImproperlyConfigured(
            "EMAIL_URL has to be smtp://host, smtp+tls://user:password@host, smtps://user:password@host,"
            " file:///folder or console:"
        )
    return MailServer(
        f"{backends}.smtp.EmailBackend",
        host=parts.hostname,
        port=parts.port or SMTP_PORTS[parts.scheme],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        use_tls=parts.scheme == "smtp+tls",
        use_ssl=parts.scheme == "smtps",
    )
