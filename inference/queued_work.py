"""What every row has that waits for a worker."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


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
