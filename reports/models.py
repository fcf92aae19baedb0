"""A report is frozen data, signed, then rendered."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


def pdf_path(report: "Report", filename: str) -> str:
    return f"reports/{report.case_id}/{report.id}-v{report.version}.pdf"


class Report(models.Model):
    """One version of a case's report. Once signed, `content` and `pdf` never change.

    draft → final; a final report becomes superseded when the version that amends it is signed.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", _("Draft")
        FINAL = "final", _("Final")
        SUPERSEDED = "superseded", _("Superseded")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    case = models.ForeignKey("cases.Case", models.PROTECT, related_name="reports")
    version = models.IntegerField()
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.DRAFT)
    comment = models.TextField(_("comment of the pathologist"), blank=True)
    amendment_reason = models.CharField(_("reason for the amendment"), max_length=300, blank=True)
    supersedes = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="superseded_by"
    )
    content = models.JSONField(default=dict)
    content_sha256 = models.CharField(max_length=64, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    signed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    signed_at = models.DateTimeField(null=True)
    pdf = models.FileField(upload_to=pdf_path, max_length=200, blank=True)
    pdf_sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["case", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["case", "version"], name="one_report_per_version"),
            models.UniqueConstraint(fields=["case"], condition=Q(status="draft"), name="one_draft_per_case"),
            models.UniqueConstraint(fields=["case"], condition=Q(status="final"), name="one_final_per_case"),
        ]

    def __str__(self) -> str:
        return f"{self.case_id} v{self.version}"
