"""Leukemia staging as the API writes and reads it."""

from typing import Any

from rest_framework import serializers

from inference.models import StageReview
from inference.pipeline.findings import FieldState, StagingStatus
from inference.review import MAX_COMMENT
from inference.serializers import ErrorSerializer, ReceiptSerializer
from inference.stage_review import ANSWERS


class StagingAnswerSerializer(serializers.Serializer):
    label = serializers.ChoiceField(choices=list(ANSWERS))  # type: ignore[assignment]
    comment = serializers.CharField(max_length=MAX_COMMENT, allow_blank=True, default="")


class StageReviewSerializer(serializers.ModelSerializer):
    """A person's word on the stage of a smear, with the machine's beside it; that is empty for no stage."""

    run = serializers.UUIDField(source="stage_call.run_id")
    machine_label = serializers.CharField(source="stage_call.label")
    reviewer = serializers.CharField(source="reviewer.full_name")

    class Meta:
        model = StageReview
        fields = ["id", "run", "label", "machine_label", "comment", "reviewer", "decided_at", "undone_at"]


class OpenStagingSerializer(serializers.Serializer):
    """A slide whose staging waits for a person, with the machine's word; that is empty for no stage."""

    run = serializers.UUIDField(source="run.pk")
    case = serializers.UUIDField(source="run.smear.case_id")
    accession = serializers.CharField(source="run.smear.case.accession")
    priority = serializers.CharField(source="run.smear.case.priority")
    machine_label = serializers.CharField(source="staging.machine_label")
    reasons = serializers.ListField(source="staging.found.reasons", child=serializers.CharField())
    analysed_at = serializers.DateTimeField(source="run.finished_at")


class FieldCountsSerializer(serializers.Serializer):
    """How many fields were staged, and how many were left out for which reason."""

    used = serializers.IntegerField()
    left_out = serializers.DictField(child=serializers.IntegerField())


class FieldCallSerializer(serializers.Serializer):
    """One field of a smear; no label and no probabilities unless it was staged."""

    bbox = serializers.ListField(child=serializers.IntegerField(), help_text="x0, y0, x1, y1 in pixels.")
    status = serializers.ChoiceField(choices=[*FieldState])
    label = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    probabilities = serializers.DictField(child=serializers.FloatField())
    nucleated_cells = serializers.IntegerField()
    blast_share = serializers.FloatField(
        allow_null=True, help_text="Share of its leukocytes that the white-cell network calls blasts, 0-1."
    )
    disagrees = serializers.BooleanField(
        allow_null=True,
        help_text="Whether its stage does not fit that share; null where none can be compared.",
    )


class FieldHeatMapSerializer(serializers.Serializer):
    """Where the staging network looked in a field."""

    method = serializers.CharField()
    bbox = serializers.ListField(
        source="box", child=serializers.IntegerField(), help_text="x0, y0, x1, y1 in pixels of the image."
    )
    label = serializers.CharField(help_text="The stage that the field was called.")  # type: ignore[assignment]
    field = serializers.CharField(
        help_text="Data URI of a PNG: the field as the network saw it, squeezed into a square."
    )
    picture = serializers.CharField(help_text="Data URI of a PNG with alpha, to lie over the field.")
    strength = serializers.FloatField(help_text="The map's maximum before it was scaled to be shown.")
    focus_ratio = serializers.FloatField(help_text="Share of the map's energy on nucleated cells, 0-1.")
    covered_ratio = serializers.FloatField(help_text="Share of the field that those cells cover, 0-1.")
    receipt = ReceiptSerializer()


class StagingSerializer(serializers.Serializer):
    """The `staging` of a result: the machine's word and a person's beside it. Only `status`, `label` and
    `probabilities` are there where nothing was staged."""

    status = serializers.ChoiceField(choices=[*StagingStatus])
    label = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    probabilities = serializers.DictField(child=serializers.FloatField())
    intervals_95 = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField()),
        required=False,
        help_text="Of each mean probability over the fields.",
    )
    fields_ = FieldCountsSerializer(required=False)
    field_calls = FieldCallSerializer(many=True, required=False)
    network = serializers.DictField(child=serializers.CharField(), required=False)
    reasons = serializers.ListField(child=serializers.CharField(), required=False)
    requires_manual_review = serializers.BooleanField(required=False)
    reviewed_label = serializers.CharField(required=False, help_text="A person's word, if there is one.")
    notices = serializers.ListField(child=serializers.DictField(), required=False)
    error = ErrorSerializer(required=False, help_text="Where the staging failed.")

    def get_fields(self) -> dict[str, Any]:
        """`fields` is a word of the framework's own, so the field gets its name here."""
        fields = super().get_fields()
        return {"fields" if name == "fields_" else name: field for name, field in fields.items()}


class CaseStagingSerializer(serializers.Serializer):
    """Whether staging was requested for a case, by whom and when."""

    requested = serializers.BooleanField(source="staging_requested")
    requested_by = serializers.CharField(source="staging_requested_by", allow_null=True)
    requested_at = serializers.DateTimeField(source="staging_requested_at", allow_null=True)
