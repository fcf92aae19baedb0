"""What people count by hand, and that they checked whose blood it is."""

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class ManualCount(models.Model):
    """A differential that a person counted at the microscope, beside the machine's and never part of it.

    `counts` holds cells by class and never changes; a count taken back stays as a row with `withdrawn_at`.
    The id comes with the page, so that a count sent twice is one row.
    """

    class Target(models.IntegerChoices):
        HUNDRED = 100, _("100 cells")
        TWO_HUNDRED = 200, _("200 cells")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    smear = models.ForeignKey("cases.Smear", models.PROTECT, related_name="manual_counts")
    reader = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    target = models.IntegerField(choices=Target.choices)
    counts = models.JSONField(default=dict)
    comment = models.CharField(max_length=500, blank=True)
    counted_at = models.DateTimeField(default=timezone.now, editable=False)
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["counted_at"]

    def __str__(self) -> str:
        return f"{self.smear_id}: {sum(self.counts.values())}"


class IdentityCheck(models.Model):
    """A person's word that a case is this patient's although its figures make that doubtful.

    It answers one alarm: the comparison with `earlier`, in the classes `classes`; another needs another.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    case = models.ForeignKey("cases.Case", models.PROTECT, related_name="identity_checks")
    earlier = models.ForeignKey("cases.Case", models.PROTECT, related_name="+")
    classes = models.JSONField(default=list)
    checked_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    checked_at = models.DateTimeField(default=timezone.now, editable=False)
    comment = models.CharField(max_length=500)

    class Meta:
        ordering = ["checked_at"]

    def __str__(self) -> str:
        return f"{self.case_id} after {self.earlier_id}"
