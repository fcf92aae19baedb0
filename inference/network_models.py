"""A laboratory's own networks for white cells: registered, rehearsed on signed cases, chosen."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from inference.queued_work import QueuedWork


class CandidateNetwork(models.Model):
    """A network that was registered for one laboratory; it serves no other. Never changed.

    Card and weights lie in a folder of NETWORKS_DIR named by the id; both sha256 were taken when they were
    copied there. `told` holds what the card says of data, training and figures.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    version = models.CharField(max_length=60)
    sha256 = models.CharField(max_length=64)
    card_sha256 = models.CharField(max_length=64)
    told = models.JSONField(default=dict)
    registered_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-registered_at"]
        constraints = [
            models.UniqueConstraint(fields=["lab", "sha256"], name="one_candidate_per_laboratory_and_weights")
        ]

    def __str__(self) -> str:
        return self.version


class Rehearsal(QueuedWork):
    """What would change if a candidate had called the cells of the newest signed cases of its laboratory."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    candidate = models.ForeignKey(CandidateNetwork, models.PROTECT, related_name="rehearsals")
    requested_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    cases_wanted = models.IntegerField()
    progress = models.FloatField(default=0.0)

    class Meta:
        ordering = ["-queued_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["candidate"],
                condition=Q(status__in=["queued", "running"]),
                name="one_open_rehearsal_per_candidate",
            )
        ]

    def __str__(self) -> str:
        return f"{self.candidate_id}: {self.status}"


class RehearsedCase(models.Model):
    """What would change in one signed case, as `inference.rehearsal_figures` says it."""

    rehearsal = models.ForeignKey(Rehearsal, models.CASCADE, related_name="cases")
    case = models.ForeignKey("cases.Case", models.PROTECT, related_name="+")
    place = models.IntegerField()
    result = models.JSONField()

    class Meta:
        ordering = ["rehearsal", "place"]
        constraints = [models.UniqueConstraint(fields=["rehearsal", "case"], name="a_case_is_rehearsed_once")]

    def __str__(self) -> str:
        return f"{self.rehearsal_id}: {self.case_id}"


class NetworkChoice(models.Model):
    """Which network calls a laboratory's white cells from then on; the one with the highest number counts.

    Without a candidate it is the shipped one, of the version and sha256 it had then. Never changed.
    """

    class Kind(models.TextChoices):
        ACTIVATED = "activated", _("Activated")
        ROLLED_BACK = "rolled_back", _("Rolled back")

    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    number = models.IntegerField()
    kind = models.CharField(max_length=12, choices=Kind.choices)
    candidate = models.ForeignKey(CandidateNetwork, models.PROTECT, null=True, related_name="choices")
    rehearsal = models.ForeignKey(Rehearsal, models.PROTECT, null=True, related_name="+")
    version = models.CharField(max_length=60)
    sha256 = models.CharField(max_length=64)
    reason = models.CharField(max_length=500)
    chosen_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    chosen_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["lab", "number"], name="choices_of_a_network_have_an_order")
        ]

    def __str__(self) -> str:
        return f"{self.lab_id} {self.number}: {self.version}"
