"""What people did before a slide is signed off: what they looked at, what they answered, whom they told."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class SeenField(models.Model):
    """What one person had before them of a run's smear, near enough to tell cells.

    `squares` is a bitmap over the squares of `inference.seen`, rows first, eight to a byte.
    """

    run = models.ForeignKey("inference.AnalysisRun", models.CASCADE, related_name="seen_fields")
    person = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    squares = models.BinaryField()
    looked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "person"], name="one_seen_field_per_person")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.person_id}"


class GateAnswer(models.Model):
    """A person's word on a check of the sign-off that figures do not settle.

    It answers for the analyses in `runs` and no others. Never changed: taken back it stays as a row with
    `withdrawn_at`, and so it does when another one takes its place.
    """

    class Check(models.TextChoices):
        WHITE_CELLS = "white_cells", _("White cells")
        RED_CELLS = "red_cells", _("Red cells")
        PLATELETS = "platelets", _("Platelets")
        SEEN = "seen", _("Field looked at")

    class Answer(models.TextChoices):
        ENOUGH = "enough", _("enough for this case")
        NOT_ASSESSABLE = "not_assessable", _("not assessable")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    case = models.ForeignKey("cases.Case", models.PROTECT, related_name="gate_answers")
    check_key = models.CharField(max_length=20, choices=Check.choices)
    runs = models.JSONField(default=list)
    answer = models.CharField(max_length=20, choices=Answer.choices)
    says = models.CharField(max_length=300)
    reason = models.CharField(max_length=500)
    answered_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    answered_at = models.DateTimeField(default=timezone.now, editable=False)
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["answered_at"]

    def __str__(self) -> str:
        return f"{self.case_id}: {self.check_key} {self.answer}"


class CriticalCall(models.Model):
    """Somebody was told of a critical finding of a case. Never changed; a mistaken one is withdrawn."""

    class How(models.TextChoices):
        PHONE = "phone", _("by phone")
        IN_PERSON = "in_person", _("in person")
        OTHER = "other", _("otherwise")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    case = models.ForeignKey("cases.Case", models.PROTECT, related_name="critical_calls")
    finding = models.CharField(max_length=40)
    says = models.CharField(max_length=300)
    told = models.CharField(_("who was told"), max_length=120)
    told_by = models.CharField(_("by whom"), max_length=120)
    told_at = models.DateTimeField(_("at"))
    how = models.CharField(_("how"), max_length=10, choices=How.choices)
    read_back = models.BooleanField(_("read back"))
    note = models.CharField(_("note"), max_length=500, blank=True)
    recorded_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField(default=timezone.now, editable=False)
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["told_at", "recorded_at"]
        indexes = [models.Index(fields=["case"], condition=Q(withdrawn_at=None), name="standing_calls")]

    def __str__(self) -> str:
        return f"{self.case_id}: {self.finding}"
