"""What may be read of people, ranges and the trail; always of one laboratory."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Model, Q, QuerySet
from knox.models import get_token_model

from .models import AuditEvent, Lab, Notification, RedCellGrade, ReferenceRange, User
from .permissions import Verb, roles_with
from .ranges import DEFAULT_GRADES_PERCENT, RedCellLimits
from .sign_off import SignOffLimits


def labs() -> QuerySet[Lab]:
    return Lab.objects.all()


def find_lab(name: str) -> Lab | None:
    return Lab.objects.filter(name=name).first()


def lab_by_slug(slug: str) -> Lab | None:
    return Lab.objects.filter(slug=slug).first()


def find_person(email: str) -> User | None:
    return User.objects.filter(email=email.lower()).first()


def people_for(user: User) -> QuerySet[User]:
    return User.objects.filter(lab=user.lab)


def pending_count(user: User) -> int:
    return people_for(user).filter(status=User.Status.PENDING).count()


def people_with(verb: Verb, lab_id: UUID) -> QuerySet[User]:
    """The people of a laboratory who may do something."""
    return User.objects.filter(lab_id=lab_id, role__in=roles_with(verb), status=User.Status.ACTIVE)


def notifications_for(user: User) -> QuerySet[Notification]:
    return Notification.objects.filter(recipient=user, lab=user.lab_id)


def unread_count(user: User) -> int:
    return notifications_for(user).filter(read_at=None).count()


def ranges_of(lab_id: UUID) -> dict[str, tuple[float, float]]:
    """The laboratory's reference ranges, % of leukocytes as (low, high) by cell class."""
    rows = ReferenceRange.objects.filter(lab_id=lab_id)
    return {row.cell_class: (row.low_percent, row.high_percent) for row in rows}


def red_cell_limits(lab_id: UUID) -> RedCellLimits:
    """The laboratory's limits for red cells; a class without a line of its own has the default ones."""
    low, high = Lab.objects.values_list("rbc_low_um", "rbc_high_um").get(pk=lab_id)
    return RedCellLimits((low, high), red_cell_grades(lab_id))


def red_cell_grades(lab_id: UUID) -> dict[str, tuple[float, float, float]]:
    """The limits of the grades of red cells, in % of the classified, by class."""
    rows = RedCellGrade.objects.filter(lab_id=lab_id)
    own = {row.cell_class: (row.one_percent, row.two_percent, row.three_percent) for row in rows}
    return {**DEFAULT_GRADES_PERCENT, **own}


def sign_off_limits(lab_id: UUID) -> SignOffLimits:
    """What the laboratory asks for before a slide is signed off."""
    lab = Lab.objects.get(pk=lab_id)
    return SignOffLimits(
        lab.unseen_percent,
        lab.least_wbc,
        lab.least_rbc,
        lab.least_rbc_for_platelets,
        tuple(lab.not_critical),
    )


def double_reading_of(lab_id: UUID) -> str:
    """Which of the reviewed cells a second pathologist calls as well, as a DoubleReading."""
    return Lab.objects.values_list("double_reading", flat=True).get(pk=lab_id)


def staging_is_offered(lab_id: UUID) -> bool:
    return Lab.objects.filter(pk=lab_id, staging_offered=True).exists()


def tokens_for(user: User) -> QuerySet[Any]:
    tokens: QuerySet[Any] = get_token_model().objects.filter(user=user)
    return tokens.order_by("-created")


def audit_for(user: User) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(lab=user.lab).select_related("actor")


def audit_verbs(user: User) -> list[str]:
    return list(audit_for(user).order_by("verb").values_list("verb", flat=True).distinct())


def audit_of(user: User, target: Model, accession: str = "") -> QuerySet[AuditEvent]:
    """The lines about one object; with its accession number also those about what belongs to the case."""
    about = Q(object_id=str(target.pk))
    if accession:
        about |= Q(object_name=accession)
    return audit_for(user).filter(about)


def filtered_audit(user: User, wanted: Mapping[str, Any]) -> QuerySet[AuditEvent]:
    """The trail narrowed by `who`, `verb`, `outcome`, `since`, `until` (dates, both included)."""
    events = audit_for(user)
    if who := wanted.get("who"):
        events = events.filter(
            Q(actor_name__icontains=who) | Q(actor__email__icontains=who) | Q(object_name__icontains=who)
        )
    if verb := wanted.get("verb"):
        events = events.filter(verb=verb)
    if outcome := wanted.get("outcome"):
        events = events.filter(outcome=outcome)
    if since := wanted.get("since"):
        events = events.filter(at__date__gte=since)
    if until := wanted.get("until"):
        events = events.filter(at__date__lte=until)
    return events
