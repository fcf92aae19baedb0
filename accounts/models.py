"""Laboratories, the people in them, and the trail of what they did."""

import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Lab(models.Model):
    """A tenant: everything clinical belongs to exactly one laboratory."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=120, unique=True)
    slug = models.SlugField(_("short name"), max_length=60, unique=True)
    address = models.CharField(_("address"), max_length=250, blank=True)
    staging_offered = models.BooleanField(_("offer leukemia staging"), default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ReferenceRange(models.Model):
    """One line of a laboratory's own table of reference ranges, in % of leukocytes."""

    lab = models.ForeignKey(Lab, models.CASCADE, related_name="reference_ranges")
    cell_class = models.CharField(_("cell class"), max_length=40)
    low_percent = models.FloatField(_("low, %"))
    high_percent = models.FloatField(_("high, %"))

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["lab", "cell_class"], name="one_range_per_class"),
            models.CheckConstraint(
                condition=models.Q(low_percent__gte=0)
                & models.Q(high_percent__lte=100)
                & models.Q(low_percent__lt=models.F("high_percent")),
                name="range_is_a_range",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cell_class} {self.low_percent}–{self.high_percent} %"


class Role(models.TextChoices):
    CLINICIAN = "clinician", _("Clinician")
    PATHOLOGIST = "pathologist", _("Pathologist")
    ADMINISTRATOR = "administrator", _("Laboratory administrator")


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser):
    """A person of one laboratory. Inactive until an administrator approves, or after one suspends."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Waiting for approval")
        ACTIVE = "active", _("Active")
        REFUSED = "refused", _("Refused")
        SUSPENDED = "suspended", _("Suspended")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(_("e-mail address"), unique=True)
    full_name = models.CharField(_("full name"), max_length=120)
    lab = models.ForeignKey(Lab, models.PROTECT, related_name="people")
    role = models.CharField(_("role"), max_length=20, choices=Role.choices, default=Role.CLINICIAN)
    status = models.CharField(_("status"), max_length=20, choices=Status.choices, default=Status.PENDING)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()
    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["full_name"]

    class Meta:
        ordering = ["full_name"]

    def __str__(self) -> str:
        return self.full_name or self.email

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        return self.status == self.Status.ACTIVE

    def get_full_name(self) -> str:
        return self.full_name


class AuditEvent(models.Model):
    """One verb that was tried: who, when, what, on what, from where, and how it ended. Never changed."""

    class Outcome(models.TextChoices):
        DONE = "done", _("Done")
        REFUSED = "refused", _("Refused")
        FAILED = "failed", _("Failed")

    at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)
    lab = models.ForeignKey(Lab, models.PROTECT, null=True, related_name="+")
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    actor_name = models.CharField(max_length=160)
    verb = models.CharField(max_length=60, db_index=True)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.DONE)
    object_type = models.CharField(max_length=40, blank=True)
    object_id = models.CharField(max_length=64, blank=True, db_index=True)
    object_name = models.CharField(max_length=200, blank=True)
    ip_address = models.GenericIPAddressField(null=True)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.object_type} {self.object_id}"
