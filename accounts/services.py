"""The verbs about laboratories and people: each checks, writes and audits in one transaction."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils.crypto import get_random_string
from django.utils.text import slugify
from django.utils.translation import gettext as _
from knox.models import get_token_model

from . import audit, mail
from .models import DoubleReading, Lab, RedCellGrade, ReferenceRange, Role, User
from .permissions import Verb, require
from .ranges import DEFAULT_RANGES_PERCENT, RedCellLimits
from .sign_off import SignOffLimits

TOKEN_DAYS = 90

# What follows, in the transaction of the change, where a laboratory changes its limits, and how or by whom it
# reviews; apps further right add theirs when they get ready.
LIMITS_CHANGED: list[Callable[[UUID], None]] = []
REVIEW_CHANGED: list[Callable[[UUID], None]] = []


@transaction.atomic
def create_lab(name: str, *, address: str = "") -> Lab:
    """A new tenant with the default table of reference ranges."""
    lab = Lab(name=name, slug=_free_slug(name), address=address)
    lab.full_clean()
    lab.save()
    _write_ranges(lab, DEFAULT_RANGES_PERCENT)
    audit.record(None, "lab.create", lab, actor_name="command line")
    return lab


def _free_slug(name: str) -> str:
    slug = slugify(name)[:50] or "laboratory"
    taken = Lab.objects.filter(slug=slug).exists()
    return f"{slug}-{get_random_string(6).lower()}" if taken else slug


def _write_ranges(lab: Lab, ranges: dict[str, tuple[float, float]]) -> None:
    lab.reference_ranges.all().delete()
    for cell_class, (low, high) in ranges.items():
        line = ReferenceRange(lab=lab, cell_class=cell_class, low_percent=low, high_percent=high)
        line.full_clean()
        line.save()


def new_password() -> str:
    """Four groups of five letters and digits that are not mistaken for each other, about 100 bits."""
    return "-".join(get_random_string(5, "abcdefghijkmnpqrstuvwxyz23456789") for _ in range(4))


@transaction.atomic
def create_person(lab: Lab, role: Role, email: str, full_name: str, password: str) -> User:
    """An account made from the command line: active at once."""
    user = User(email=email.lower(), full_name=full_name, lab=lab, role=role, status=User.Status.ACTIVE)
    user.set_password(password)
    user.full_clean()
    user.save()
    audit.record(None, "people.create", user, actor_name="command line", role=role.value)
    return user


@transaction.atomic
def register(user: User, *, full_name: str, lab: Lab, role: str) -> User:
    """A person, whose password is set already, asks for an account; an administrator decides."""
    user.full_name, user.lab, user.role = full_name, lab, role
    user.status = User.Status.PENDING
    user.save()
    audit.record(user, "people.register", user, role=role)
    mail.tell_administrators(user)
    return user


def approve(actor: User, person: User) -> None:
    _move(actor, person, "approve", {User.Status.PENDING}, User.Status.ACTIVE)


def refuse(actor: User, person: User) -> None:
    _move(actor, person, "refuse", {User.Status.PENDING}, User.Status.REFUSED)


def suspend(actor: User, person: User) -> None:
    """Their sessions and API tokens end at once."""
    _move(actor, person, "suspend", {User.Status.ACTIVE}, User.Status.SUSPENDED)


def readmit(actor: User, person: User) -> None:
    _move(actor, person, "readmit", {User.Status.SUSPENDED, User.Status.REFUSED}, User.Status.ACTIVE)


def _move(actor: User, person: User, verb: str, expected: set[User.Status], to: User.Status) -> None:
    require(actor, Verb.LAB_PEOPLE, person)
    _not_oneself(actor, person)
    with transaction.atomic():
        moved = User.objects.filter(pk=person.pk, lab=actor.lab, status__in=expected).update(status=to)
        if not moved:
            raise ValidationError(_("Somebody changed this account meanwhile; look at it again."))
        person.refresh_from_db()
        if to != User.Status.ACTIVE:
            get_token_model().objects.filter(user=person).delete()
            _tell(REVIEW_CHANGED, actor.lab_id)
        audit.record(actor, f"people.{verb}", person)
        mail.tell_decision(person)


def set_role(actor: User, person: User, role: Role) -> None:
    require(actor, Verb.LAB_PEOPLE, person)
    _not_oneself(actor, person)
    with transaction.atomic():
        before = person.role
        if not User.objects.filter(pk=person.pk, lab=actor.lab, role=before).update(role=role):
            raise ValidationError(_("Somebody changed this account meanwhile; look at it again."))
        person.refresh_from_db()
        audit.record(actor, "people.role", person, before=before, after=role.value)
        _tell(REVIEW_CHANGED, actor.lab_id)


def _not_oneself(actor: User, person: User) -> None:
    """So a laboratory never loses its last administrator."""
    if actor.pk == person.pk:
        raise ValidationError(_("Another administrator has to change your own account."))


def save_ranges(actor: User, ranges: dict[str, tuple[float, float]]) -> None:
    """Replaces the laboratory's table; percentages of leukocytes as (low, high) by class."""
    require(actor, Verb.LAB_RANGES, actor.lab)
    with transaction.atomic():
        _write_ranges(actor.lab, ranges)
        audit.record(
            actor, "lab.ranges", actor.lab, ranges={name: list(pair) for name, pair in ranges.items()}
        )
        _tell(LIMITS_CHANGED, actor.lab_id)


def save_red_cell_limits(actor: User, limits: RedCellLimits) -> None:
    """Replaces the laboratory's limits for red cells. Analyses that are done keep the sizes they found;
    grades that no signed report holds follow the new limits."""
    require(actor, Verb.LAB_RANGES, actor.lab)
    low, high = limits.diameter_um
    with transaction.atomic():
        Lab.objects.filter(pk=actor.lab_id).update(rbc_low_um=low, rbc_high_um=high)
        _write_grades(actor.lab, limits)
        grades = {name: list(three) for name, three in limits.grades_percent.items()}
        audit.record(actor, "lab.red_cells", actor.lab, diameter_um=[low, high], grades=grades)
        _tell(LIMITS_CHANGED, actor.lab_id)
    actor.lab.refresh_from_db(fields=["rbc_low_um", "rbc_high_um"])


def _write_grades(lab: Lab, limits: RedCellLimits) -> None:
    lab.red_cell_grades.all().delete()
    for cell_class, (one, two, three) in limits.grades_percent.items():
        line = RedCellGrade(
            lab=lab, cell_class=cell_class, one_percent=one, two_percent=two, three_percent=three
        )
        line.full_clean()
        line.save()


def save_sign_off_limits(actor: User, limits: SignOffLimits) -> None:
    """Replaces what the laboratory asks for before a slide is signed off; what is signed stays so."""
    require(actor, Verb.LAB_RANGES, actor.lab)
    wanted = asdict(limits) | {"not_critical": sorted(limits.not_critical)}
    with transaction.atomic():
        Lab.objects.filter(pk=actor.lab_id).update(**wanted)
        audit.record(actor, "lab.sign_off", actor.lab, **wanted)
    actor.lab.refresh_from_db(fields=list(wanted))


def offer_staging(actor: User, offered: bool) -> None:
    """Whether clinicians of the laboratory can request leukemia staging; what was requested stays so."""
    require(actor, Verb.LAB_STAGING, actor.lab)
    with transaction.atomic():
        changed = Lab.objects.filter(pk=actor.lab_id).exclude(staging_offered=offered)
        if changed.update(staging_offered=offered):
            audit.record(actor, Verb.LAB_STAGING, actor.lab, offered=offered)
    actor.lab.refresh_from_db(fields=["staging_offered"])


def save_review_settings(actor: User, double_reading: DoubleReading, blind_percent: int) -> None:
    """Which cells a second pathologist calls as well, and which share is called without the machine's call in
    sight. It counts for calls from now on; second readings that nobody has begun end where they are asked for
    no more."""
    require(actor, Verb.LAB_REVIEW, actor.lab)
    chosen: dict[str, Any] = {"double_reading": double_reading, "blind_percent": blind_percent}
    with transaction.atomic():
        if Lab.objects.filter(pk=actor.lab_id).exclude(**chosen).update(**chosen):
            audit.record(actor, Verb.LAB_REVIEW, actor.lab, **chosen)
            _tell(REVIEW_CHANGED, actor.lab_id)
    actor.lab.refresh_from_db(fields=[*chosen])


def _tell(followers: list[Callable[[UUID], None]], lab_id: UUID) -> None:
    for follow in followers:
        follow(lab_id)


def choose_mail(actor: User, wanted: bool) -> None:
    """Whether what a person is notified of comes by mail as well; what already waits for a server follows."""
    require(actor, Verb.NOTIFICATION_VIEW, actor)
    with transaction.atomic():
        if User.objects.filter(pk=actor.pk).exclude(mail_wanted=wanted).update(mail_wanted=wanted):
            audit.record(actor, "account.mail", actor, wanted=wanted)
    actor.refresh_from_db(fields=["mail_wanted"])


def choose_theme(actor: User, theme: User.Theme) -> None:
    """How a person's own pages look. It is no act on anything, so that no audit line is left."""
    require(actor, Verb.THEME_CHOOSE, actor)
    User.objects.filter(pk=actor.pk).update(theme=theme)
    actor.theme = theme


def create_token(actor: User, days: int = TOKEN_DAYS) -> tuple[str, datetime]:
    """The secret of a new API token, readable only now, and when it ends."""
    require(actor, Verb.TOKEN_MANAGE)
    with transaction.atomic():
        row, secret = get_token_model().objects.create(user=actor, expiry=timedelta(days=days))
        audit.record(actor, "token.create", actor, token=row.token_key, days=days)
    return secret, row.expiry


def revoke_token(actor: User, token: Any) -> None:
    """`token` is a row of the actor's own tokens."""
    require(actor, Verb.TOKEN_MANAGE)
    with transaction.atomic():
        token.delete()
        audit.record(actor, "token.revoke", actor, token=token.token_key)


def confirm_password(request: HttpRequest, user: User, password: str) -> bool:
    """Whether a logged-in person typed their own password again; failures count towards the lock-out."""
    return authenticate(request, email=user.email, password=password) == user
