"""The trail: who did what, when, on what, from where, and how it ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db.models import Model

from .models import AuditEvent, Lab, User

WORKER = "worker"
DONE, REFUSED, FAILED = AuditEvent.Outcome.DONE, AuditEvent.Outcome.REFUSED, AuditEvent.Outcome.FAILED


@dataclass
class Source:
    """Where the present work comes from, and the lines to write once its transactions are over."""

    ip_address: str | None
    later: list[Callable[[], AuditEvent]] = field(default_factory=list)


_source: ContextVar[Source | None] = ContextVar("audit_source", default=None)


@contextmanager
def source(ip_address: str | None) -> Iterator[None]:
    """Names where the work inside comes from; refused lines are written when it is left.

    A refusal ends the transaction it happens in, and with it every line written there: so it waits.
    """
    present = Source(ip_address)
    token = _source.set(present)
    try:
        yield
    finally:
        _source.reset(token)
        for write in present.later:
            write()


def record(
    actor: User | None,
    verb: str,
    target: Model | None = None,
    outcome: str = DONE,
    *,
    actor_name: str = WORKER,
    lab: Lab | None = None,
    **detail: Any,
) -> AuditEvent:
    """Writes one line, in the transaction of the verb itself.

    `detail` takes ids, counts and codes; never a secret and never the name of a patient.
    Without an actor the line is the worker's, unless `actor_name` says whose it is.
    """
    present = _source.get()
    return AuditEvent.objects.create(
        lab=lab or _lab(actor, target),
        actor=actor,
        actor_name=str(actor) if actor else actor_name,
        verb=str(verb),
        outcome=outcome,
        object_type=str(target._meta.model_name) if target else "",
        object_id=str(target.pk) if target else "",
        object_name=_name(target),
        ip_address=present.ip_address if present else None,
        detail=detail,
    )


def refused(actor: User, verb: str, target: Model | None = None) -> None:
    """Notes a refusal: at the end of the present source, or at once where there is none."""
    present = _source.get()
    if present is None:
        record(actor, verb, target, REFUSED)
        return
    line = partial(record, actor, verb, target, REFUSED)
    present.later.append(partial(_from, present.ip_address, line))


def _from(ip_address: str | None, line: Callable[[], AuditEvent]) -> AuditEvent:
    with source(ip_address):
        return line()


def _lab(actor: User | None, target: Model | None) -> Lab | None:
    if actor is not None:
        return actor.lab
    return target if isinstance(target, Lab) else getattr(target, "lab", None)


def _name(target: Model | None) -> str:
    """The accession number of the case it belongs to, or what names a person or laboratory; no patient."""
    for step in ("cell", "run", "smear", "case"):
        target = getattr(target, step, target)
    for attribute in ("accession", "email", "slug"):
        if name := getattr(target, attribute, ""):
            return str(name)[:200]
    return ""
