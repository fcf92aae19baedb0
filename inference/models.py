"""What the machine found in a smear, and what the people who looked at it said."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


def overlay_path(run: "AnalysisRun", filename: str) -> str:
    return f"runs/{run.id}/overlay.png"


def crop_path(cell: "Cell", filename: str) -> str:
    return f"runs/{cell.run_id}/cells/{cell.number}.png"


def heatmap_path(cell: "Cell", filename: str) -> str:
    return f"runs/{cell.run_id}/heatmaps/{cell.number}.png"


class QueuedWork(models.Model):
    """What a worker does to a row. `status` moves only by compare-and-swap, in `inference.claims`.

    queued → running → done | failed; failed → queued by retry; running → queued when its heart stopped.
    `claim_token` names the worker's present hold on the row: whoever lost it may not write any more.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED, db_index=True)
    attempts = models.IntegerField(default=0)
    claim_token = models.UUIDField(null=True)
    queued_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)

    class Meta:
        abstract = True


class PersonsWord(models.Model):
    """A person's word on what the machine said. Undone, it stays as a row with `undone_at`."""

    reviewer = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    label = models.CharField(max_length=40)
    comment = models.CharField(max_length=500, blank=True)
    decided_at = models.DateTimeField(default=timezone.now, editable=False)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True
        ordering = ["decided_at", "id"]


class AnalysisRun(QueuedWork):
    """One analysis of one smear."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    smear = models.ForeignKey("cases.Smear", models.PROTECT, related_name="runs")
    submitted_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    stage = models.CharField(max_length=40, blank=True)
    progress = models.FloatField(default=0.0)

    width = models.IntegerField(null=True)
    height = models.IntegerField(null=True)
    pixel_um = models.FloatField(null=True)
    pixel_um_source = models.CharField(max_length=20, blank=True)
    quality = models.JSONField(default=dict)
    coverage = models.JSONField(default=dict)
    notices = models.JSONField(default=list)
    networks = models.JSONField(default=list)
    seconds = models.JSONField(default=dict)
    overlay = models.FileField(upload_to=overlay_path, max_length=200, blank=True)

    review_claimed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    review_claimed_until = models.DateTimeField(null=True)
    signed_off_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    signed_off_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-queued_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["smear"], condition=Q(status__in=["queued", "running"]), name="one_open_run_per_smear"
            )
        ]

    def __str__(self) -> str:
        return str(self.id)


class Cell(models.Model):
    """A cell as the machine saw it; `label` is the machine's call and never changes ("" = not classified).

    `second_call` is a second network's, `explanation` what is known about the heat map beyond focus and
    strength, `remediation` what else was tried, `description` the cell in words with the class they were
    written for; each is empty where there was none. `embedding` is what cells called by the same network are
    compared by: float16, little-endian, of length 1.
    """

    run = models.ForeignKey(AnalysisRun, models.CASCADE, related_name="cells")
    number = models.IntegerField()
    kind = models.CharField(max_length=10)
    x0 = models.IntegerField()
    y0 = models.IntegerField()
    x1 = models.IntegerField()
    y1 = models.IntegerField()
    centroid_x = models.FloatField()
    centroid_y = models.FloatField()
    polygon = models.JSONField(default=list)
    area_px = models.IntegerField()
    segmentation_confidence = models.FloatField()
    label = models.CharField(max_length=40, blank=True)
    confidence = models.FloatField(null=True)
    probabilities = models.JSONField(default=dict)
    abstained = models.BooleanField(default=False)
    prediction_sets = models.JSONField(default=dict)
    ood_score = models.FloatField(null=True)
    out_of_distribution = models.BooleanField(default=False)
    second_call = models.JSONField(default=dict)
    review_reasons = models.JSONField(default=list)
    needs_review = models.BooleanField(default=False)
    focus_ratio = models.FloatField(null=True)
    heatmap_strength = models.FloatField(null=True)
    explanation = models.JSONField(default=dict)
    remediation = models.JSONField(default=dict)
    reading = models.JSONField(default=dict)
    description = models.JSONField(default=dict)
    embedding = models.BinaryField(null=True)
    crop = models.FileField(upload_to=crop_path, max_length=200, blank=True)
    heatmap = models.FileField(upload_to=heatmap_path, max_length=200, blank=True)

    class Meta:
        ordering = ["run", "number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="one_cell_per_number")]
        indexes = [
            models.Index(fields=["needs_review", "run"], name="cell_review_queue"),
            models.Index(fields=["run", "label", "kind"], name="cell_counts"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"


class CellReview(PersonsWord):
    """A person's word on a cell, beside the machine's."""

    cell = models.ForeignKey(Cell, models.CASCADE, related_name="reviews")

    class Meta(PersonsWord.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["cell"], condition=Q(undone_at__isnull=True), name="one_standing_review_per_cell"
            )
        ]

    def __str__(self) -> str:
        return f"{self.cell_id}: {self.label}"


class StageCall(QueuedWork):
    """The machine's word on the stage of leukemia in a run's smear, where it was requested for the case.

    `label` never changes ("" = none: not stageable, or the network abstains). A staging that was part of the
    analysis is done from the beginning. `field_calls` holds what was found in each field.
    """

    run = models.OneToOneField(AnalysisRun, models.CASCADE, related_name="stage_call")

    label = models.CharField(max_length=40, blank=True)
    probabilities = models.JSONField(default=dict)
    intervals_95 = models.JSONField(default=dict)
    field_calls = models.JSONField(default=list)
    reasons = models.JSONField(default=list)
    notices = models.JSONField(default=list)
    needs_review = models.BooleanField(default=False)
    network = models.CharField(max_length=60, blank=True)
    version = models.CharField(max_length=20, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["run"]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.label or self.status}"


class StageReview(PersonsWord):
    """A person's word on the stage, beside the machine's."""

    stage_call = models.ForeignKey(StageCall, models.CASCADE, related_name="reviews")

    class Meta(PersonsWord.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["stage_call"],
                condition=Q(undone_at__isnull=True),
                name="one_standing_review_per_stage_call",
            )
        ]

    def __str__(self) -> str:
        return f"{self.stage_call_id}: {self.label}"
