"""Laboratories, the people in them, and the trail of what they did."""

import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class DoubleReading(models.TextChoices):
    """Which of the reviewed cells a second pathologist calls as well."""

    OFF = "off", _("No cell")
    NEAR = "near", _("Cells near a decision limit on which the two networks disagree")
    ALL = "all", _("Every reviewed cell")


class Lab(models.Model):
    """A tenant: everything clinical belongs to exactly one laboratory."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=120, unique=True)
    slug = models.SlugField(_("short name"), max_length=60, unique=True)
    address = models.CharField(_("address"), max_length=250, blank=True)
    staging_offered = models.BooleanField(_("offer leukemia staging"), default=False)
    rbc_low_um = models.FloatField(_("least normal diameter of a red cell, µm"), default=6.2)
    rbc_high_um = models.FloatField(_("greatest normal diameter of a red cell, µm"), default=8.2)
    unseen_percent = models.FloatField(_("share of a field that may stay unviewed, %"), default=20.0)
    least_wbc = models.PositiveIntegerField(_("least leukocytes"), default=100)
    least_rbc = models.PositiveIntegerField(_("least red cells"), default=100)
    least_rbc_for_platelets = models.PositiveIntegerField(
        _("least red cells beside which platelets are judged"), default=1000
    )
    not_critical = models.JSONField(_("critical findings that are not called"), default=list, blank=True)
    double_reading = models.CharField(
        _("second pathologist"), max_length=10, choices=DoubleReading.choices, default=DoubleReading.NEAR
    )
    blind_percent = models.PositiveSmallIntegerField(_("share of cells called blind, %"), default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(unseen_percent__gte=0) & models.Q(unseen_percent__lte=100),
                name="unseen_is_a_share",
            ),
            models.CheckConstraint(
                condition=models.Q(blind_percent__lte=100), name="blind_share_is_a_percentage"
            ),
            models.CheckConstraint(
                condition=models.Q(rbc_low_um__gt=0) & models.Q(rbc_low_um__lt=models.F("rbc_high_um")),
                name="diameters_are_a_range",
            ),
        ]

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


class RedCellGrade(models.Model):
    """One line of a laboratory's own table of grades, in % of the classified red cells: a finding is 1+ and
    2+ from the first two limits on and 3+ above the third. A class without a line has the default limits."""

    lab = models.ForeignKey(Lab, models.CASCADE, related_name="red_cell_grades")
    cell_class = models.CharField(_("cell class"), max_length=40)
    one_percent = models.FloatField(_("1+ from, %"))
    two_percent = models.FloatField(_("2+ from, %"))
    three_percent = models.FloatField(_("3+ above, %"))

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["lab", "cell_class"], name="one_grading_per_class"),
            models.CheckConstraint(
                condition=models.Q(one_percent__gt=0)
                & models.Q(one_percent__lt=models.F("two_percent"))
                & models.Q(two_percent__lt=models.F("three_percent"))
                & models.Q(three_percent__lte=100),
                name="grades_ascend",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cell_class} {self.one_percent}, {self.two_percent}, {self.three_percent} %"


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

    class Theme(models.TextChoices):
        SYSTEM = "system", _("System")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(_("e-mail address"), unique=True)
    full_name = models.CharField(_("full name"), max_length=120)
    lab = models.ForeignKey(Lab, models.PROTECT, related_name="people")
    role = models.CharField(_("role"), max_length=20, choices=Role.choices, default=Role.CLINICIAN)
    status = models.CharField(_("status"), max_length=20, choices=Status.choices, default=Status.PENDING)
    mail_wanted = models.BooleanField(_("notifications by mail as well"), default=True)
    theme = models.CharField(_("theme"), max_length=10, choices=Theme.choices, default=Theme.SYSTEM)
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


class Notification(models.Model):
    """What one person should know about one case. It holds no patient: a number, and where to look.

    `key` names the event, so that no event is told to a person twice. `mail` moves by compare-and-swap:
    waiting → sending → sent; sending → waiting when the server refused, and given up after several attempts.
    `mail_due_at` is when it is tried next or, while it is being sent, when that attempt counts as lost.
    """

    class Kind(models.TextChoices):
        REPORT_SIGNED = "report.signed", _("Report signed")
        REPORT_AMENDED = "report.amended", _("Report amended")
        RUN_FAILED = "run.failed", _("Analysis failed")
        STAGING_FAILED = "staging.failed", _("Leukemia staging failed")
        QUESTION_ASKED = "question.asked", _("Question to the pathologist")
        QUESTION_ANSWERED = "question.answered", _("Question answered")

    class Mail(models.TextChoices):
        UNWANTED = "unwanted", _("No mail")
        WAITING = "waiting", _("Waiting")
        SENDING = "sending", _("Being sent")
        SENT = "sent", _("Sent")
        GIVEN_UP = "given_up", _("Given up")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey(Lab, models.PROTECT, related_name="+")
    recipient = models.ForeignKey(User, models.PROTECT, related_name="notifications")
    kind = models.CharField(max_length=30, choices=Kind.choices)
    case_id = models.UUIDField(db_index=True)
    accession = models.CharField(max_length=40)
    key = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    read_at = models.DateTimeField(null=True)
    mail = models.CharField(max_length=10, choices=Mail.choices, default=Mail.UNWANTED)
    mail_attempts = models.IntegerField(default=0)
    mail_due_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["recipient", "key"], name="one_notification_per_event")
        ]
        indexes = [
            models.Index(fields=["recipient", "read_at"], name="notification_unread"),
            models.Index(fields=["mail", "mail_due_at"], name="notification_mail"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.accession}"

    def get_absolute_url(self) -> str:
        """The page that shows it: the report, or the case and the place on it."""
        if self.kind in (self.Kind.REPORT_SIGNED, self.Kind.REPORT_AMENDED):
            return reverse("reports:report", args=[self.case_id])
        asked = self.kind in (self.Kind.QUESTION_ASKED, self.Kind.QUESTION_ANSWERED)
        return reverse("cases:case", args=[self.case_id]) + ("#questions" if asked else "")
