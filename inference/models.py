"""What the machine found in a smear, and what the people who looked at it said."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from inference.hand_models import IdentityCheck as IdentityCheck
from inference.hand_models import ManualCount as ManualCount
from inference.network_models import CandidateNetwork as CandidateNetwork
from inference.network_models import NetworkChoice as NetworkChoice
from inference.network_models import Rehearsal as Rehearsal
from inference.network_models import RehearsedCase as RehearsedCase
from inference.queued_work import QueuedWork as QueuedWork
from inference.sign_off_models import CriticalCall as CriticalCall
from inference.sign_off_models import GateAnswer as GateAnswer
from inference.sign_off_models import SeenField as SeenField


def overlay_path(run: "AnalysisRun", filename: str) -> str:
    return f"runs/{run.id}/overlay.png"


def crop_path(cell: "Cell", filename: str) -> str:
    return f"runs/{cell.run_id}/cells/{cell.number}.png"


def heatmap_path(cell: "Cell", filename: str) -> str:
    return f"runs/{cell.run_id}/heatmaps/{cell.number}.png"


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
    written for, `measures` what was measured on a classified red cell; each is empty where there was none.
    `embedding` is what cells called by the same network are
    compared by: float16, little-endian, of length 1. `stakes` are what the call of an open cell could change,
    None until that was looked at (inference.what_matters), and `matters` whether there are any.
    `double_reading` says where the second pathologist's call stands, "" where none is asked for.
    """

    class DoubleReading(models.TextChoices):
        WAITING = "waiting", _("waits for a second pathologist")
        AGREED = "agreed", _("two pathologists agree")
        DIFFERS = "differs", _("two pathologists differ")
        SETTLED = "settled", _("settled after two pathologists differed")

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
    measures = models.JSONField(default=dict)
    embedding = models.BinaryField(null=True)
    stakes = models.JSONField(null=True)
    matters = models.BooleanField(default=False)
    double_reading = models.CharField(max_length=12, blank=True, choices=DoubleReading.choices)
    crop = models.FileField(upload_to=crop_path, max_length=200, blank=True)
    heatmap = models.FileField(upload_to=heatmap_path, max_length=200, blank=True)

    class Meta:
        ordering = ["run", "number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="one_cell_per_number")]
        indexes = [
            models.Index(fields=["needs_review", "run"], name="cell_review_queue"),
            models.Index(fields=["run", "label", "kind"], name="cell_counts"),
            models.Index(
                fields=["run"],
                condition=Q(double_reading__in=["waiting", "differs"]),
                name="cell_double_reading_open",
            ),
        ]

    is_veiled = False
    """Whether this object in memory was stripped of the machine's call for its reader (inference.blind)."""

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"


class CellReview(PersonsWord):
    """A person's word on a cell, beside the machine's.

    `blind` says that the reader had not seen the machine's call; `settles` is the second pathologist's call
    that the word was chosen over or for, where two differed.
    """

    cell = models.ForeignKey(Cell, models.CASCADE, related_name="reviews")
    blind = models.BooleanField(default=False)
    settles = models.ForeignKey("SecondReview", models.CASCADE, null=True, related_name="settled_by")

    class Meta(PersonsWord.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["cell"], condition=Q(undone_at__isnull=True), name="one_standing_review_per_cell"
            )
        ]

    def __str__(self) -> str:
        return f"{self.cell_id}: {self.label}"


class SecondReview(PersonsWord):
    """What a second pathologist called a cell, without having seen the `first` one's call.

    `blind` says that the machine's call was hidden as well; `informed` that the reader had called
    the cell before and so may have seen the first one.
    """

    cell = models.ForeignKey(Cell, models.CASCADE, related_name="second_reviews")
    first = models.ForeignKey(CellReview, models.CASCADE, related_name="second_reviews")
    blind = models.BooleanField(default=False)
    informed = models.BooleanField(default=False)

    class Meta(PersonsWord.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["first"], condition=Q(undone_at__isnull=True), name="one_second_review_per_review"
            )
        ]

    def __str__(self) -> str:
        return f"{self.cell_id}: {self.label}"


class CellSkip(models.Model):
    """That a reader left a cell open for now, and why."""

    class Reason(models.TextChoices):
        UNCLEAR = "unclear", _("cannot be told by its looks")
        PICTURE = "picture", _("picture not good enough")
        COLLEAGUE = "colleague", _("better for a colleague")
        FACTS = "facts", _("waits for clinical facts or other tests")
        OTHER = "other", _("another reason")

    cell = models.ForeignKey(Cell, models.CASCADE, related_name="skips")
    reader = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    reason = models.CharField(max_length=12, choices=Reason.choices)
    comment = models.CharField(max_length=500, blank=True)
    skipped_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["skipped_at", "id"]
        indexes = [models.Index(fields=["cell", "reader"], name="cell_skipped_by")]

    def __str__(self) -> str:
        return f"{self.cell_id}: {self.reason}"


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
