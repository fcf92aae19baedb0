"""The patient, the case, and the smear as it was handed in."""

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Patient(models.Model):
    class Sex(models.TextChoices):
        FEMALE = "female", _("Female")
        MALE = "male", _("Male")
        OTHER = "other", _("Other")
        UNKNOWN = "unknown", _("Unknown")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    mrn = models.CharField(_("medical record number"), max_length=40)
    family_name = models.CharField(_("family name"), max_length=80)
    given_name = models.CharField(_("given name"), max_length=80, blank=True)
    birth_date = models.DateField(_("birth date"), null=True, blank=True)
    sex = models.CharField(_("sex"), max_length=10, choices=Sex.choices, default=Sex.UNKNOWN)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["family_name", "given_name"]
        constraints = [models.UniqueConstraint(fields=["lab", "mrn"], name="one_patient_per_mrn")]

    def __str__(self) -> str:
        return f"{self.name} ({self.mrn})"

    @property
    def name(self) -> str:
        return f"{self.family_name}, {self.given_name}" if self.given_name else self.family_name


class Case(models.Model):
    """One order: a patient's blood at one time. `status` is moved only by services, by compare-and-swap."""

    class Priority(models.TextChoices):
        STAT = "stat", _("STAT")
        ROUTINE = "routine", _("Routine")

    class Status(models.TextChoices):
        NEW = "new", _("No smear yet")
        ANALYSING = "analysing", _("Being analysed")
        ATTENTION = "attention", _("Analysis failed")
        REVIEW = "review", _("In review")
        READY = "ready", _("Ready to report")
        REPORTED = "reported", _("Reported")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    patient = models.ForeignKey(Patient, models.PROTECT, related_name="cases")
    accession = models.CharField(_("accession number"), max_length=40)
    indication = models.CharField(_("indication"), max_length=300, blank=True)
    priority = models.CharField(
        _("priority"), max_length=10, choices=Priority.choices, default=Priority.ROUTINE
    )
    collected_at = models.DateTimeField(_("collected at"))
    stain = models.CharField(_("stain"), max_length=60, blank=True)
    scanner = models.CharField(_("microscope or scanner"), max_length=80, blank=True)
    pixel_um = models.FloatField(_("pixel size, µm"), null=True, blank=True)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.NEW, db_index=True)
    status_since = models.DateTimeField(default=timezone.now, editable=False)
    staging_requested_by = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, blank=True, related_name="+"
    )
    staging_requested_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["lab", "accession"], name="one_case_per_accession"),
            models.CheckConstraint(
                condition=models.Q(pixel_um__isnull=True) | models.Q(pixel_um__gt=0),
                name="pixel_size_is_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.accession

    @property
    def staging_requested(self) -> bool:
        """Whether leukemia staging was asked for; without it none is run."""
        return self.staging_requested_at is not None


class CaseLook(models.Model):
    """When a person last had a case before them, and how it stood then."""

    case = models.ForeignKey(Case, models.CASCADE, related_name="looks")
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="+")
    status = models.CharField(max_length=12, choices=Case.Status.choices)
    looked_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["case", "person"], name="one_look_per_person")]

    def __str__(self) -> str:
        return f"{self.person_id} {self.case_id}: {self.status}"


class Question(models.Model):
    """What somebody asks the pathologist about a case; open until it has an answer. Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    case = models.ForeignKey(Case, models.PROTECT, related_name="questions")
    text = models.TextField()
    asked_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["asked_at", "id"]

    def __str__(self) -> str:
        return f"{self.case_id}: {self.pk}"


class Answer(models.Model):
    """An answer to a question; a later one adds to it. Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    question = models.ForeignKey(Question, models.PROTECT, related_name="answers")
    text = models.TextField()
    answered_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    answered_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["answered_at", "id"]

    def __str__(self) -> str:
        return f"{self.question_id}: {self.pk}"


def original_path(smear: "Smear", filename: str) -> str:
    """Originals are named by content; the name they came with is a column."""
    return f"originals/{smear.case_id}/{smear.sha256}{smear.suffix}"


def preview_path(smear: "Smear", filename: str) -> str:
    return f"previews/{smear.case_id}/{smear.sha256}.jpg"


class Upload(models.Model):
    """A file on its way into a case: `received_bytes` of it lie safely in UPLOAD_DIR, the rest is to come."""

    class State(models.TextChoices):
        RECEIVING = "receiving", _("Not finished")
        FINISHED = "finished", _("In the case")
        REFUSED = "refused", _("Refused")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    case = models.ForeignKey(Case, models.PROTECT, related_name="uploads")
    original_name = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=100, blank=True)
    size_bytes = models.BigIntegerField()
    received_bytes = models.BigIntegerField(default=0)
    refusal_code = models.CharField(max_length=40, blank=True)
    refusal_text = models.TextField(blank=True)
    uploaded_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(received_bytes__gte=0)
                & models.Q(received_bytes__lte=models.F("size_bytes")),
                name="no_more_received_than_there_is",
            ),
        ]

    def __str__(self) -> str:
        return self.original_name

    @property
    def state(self) -> State:
        if hasattr(self, "smear"):
            return self.State.FINISHED
        return self.State.REFUSED if self.refusal_code else self.State.RECEIVING

    @property
    def percent(self) -> int:
        """Rounded down, so that 100 means every byte."""
        return 100 * self.received_bytes // self.size_bytes


class Smear(models.Model):
    """One image of a case's smear. The original file is never changed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lab = models.ForeignKey("accounts.Lab", models.PROTECT, related_name="+")
    case = models.ForeignKey(Case, models.PROTECT, related_name="smears")
    upload = models.OneToOneField(Upload, models.PROTECT, null=True, editable=False, related_name="smear")
    original = models.FileField(upload_to=original_path, max_length=200)
    preview = models.FileField(upload_to=preview_path, max_length=200)
    sha256 = models.CharField(max_length=64)
    original_name = models.CharField(max_length=200)
    format = models.CharField(max_length=10)
    suffix = models.CharField(max_length=8)
    size_bytes = models.BigIntegerField()
    width = models.IntegerField()
    height = models.IntegerField()
    uploaded_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["uploaded_at"]
        constraints = [models.UniqueConstraint(fields=["case", "sha256"], name="one_smear_per_file_and_case")]

    def __str__(self) -> str:
        return self.original_name
