"""Patients, cases and smears as the API speaks of them; writing goes through the services."""

from typing import Any

from django.core.exceptions import ValidationError as ServiceError
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import get_error_detail

from . import selectors, services, validators
from .forms import PIXEL_UM_RANGE
from .models import Case, Patient, Smear, Upload
from .services import CASE_FIELDS, PATIENT_FIELDS


class ServiceSerializer(serializers.ModelSerializer):
    """Hands validated fields to a service; what the service does not accept is a 400 by field."""

    def save(self, **kwargs: Any) -> Any:
        try:
            return super().save(**kwargs)
        except ServiceError as error:
            raise serializers.ValidationError(get_error_detail(error)) from error

    @property
    def user(self) -> Any:
        return self.context["request"].user


class PatientSerializer(ServiceSerializer):
    birth_date = serializers.DateField(
        required=False, allow_null=True, validators=[validators.birth_date], help_text="YYYY-MM-DD"
    )

    class Meta:
        model = Patient
        fields = ("id", *PATIENT_FIELDS, "created_at")
        read_only_fields = ("id", "created_at")

    def create(self, validated_data: dict[str, Any]) -> Patient:
        return services.create_patient(self.user, **validated_data)

    def update(self, instance: Patient, validated_data: dict[str, Any]) -> Patient:
        return services.edit_patient(self.user, instance, **validated_data)


class OwnPatientField(serializers.PrimaryKeyRelatedField):
    """A patient of one's own laboratory; another's is one that does not exist."""

    def get_queryset(self) -> Any:
        return selectors.patients_for(self.context["request"].user)


class CaseSerializer(ServiceSerializer):
    patient = OwnPatientField(queryset=Patient.objects.none(), help_text="Cannot be changed later.")
    collected_at = serializers.DateTimeField(validators=[validators.collection_time])
    pixel_um = serializers.FloatField(
        required=False,
        allow_null=True,
        min_value=PIXEL_UM_RANGE[0],
        max_value=PIXEL_UM_RANGE[1],
        help_text="Micrometres per pixel; null: estimated from the red cells.",
    )
    staging_requested = serializers.BooleanField(
        required=False, help_text="Leukemia staging; once the case is open, changed under `staging/`."
    )
    created_by: serializers.RelatedField = serializers.StringRelatedField(read_only=True)
    smears: Any = serializers.PrimaryKeyRelatedField(many=True, read_only=True)

    class Meta:
        model = Case
        fields = (
            "id",
            "patient",
            *CASE_FIELDS,
            "staging_requested",
            "status",
            "smears",
            "created_by",
            "created_at",
        )
        read_only_fields = ("id", "status", "created_at")

    def create(self, validated_data: dict[str, Any]) -> Case:
        return services.create_case(self.user, **validated_data)

    def update(self, instance: Case, validated_data: dict[str, Any]) -> Case:
        if validated_data.pop("patient", instance.patient) != instance.patient:
            raise serializers.ValidationError({"patient": ["The patient of a case cannot be changed."]})
        asked = instance.staging_requested
        if validated_data.pop("staging_requested", asked) != asked:
            text = "Request staging, or withdraw it, by POST or DELETE of `staging/` under the case."
            raise serializers.ValidationError({"staging_requested": [text]})
        return services.edit_case(self.user, instance, **validated_data)


class SmearSerializer(serializers.ModelSerializer):
    uploaded_by: serializers.RelatedField = serializers.StringRelatedField(read_only=True)

    class Meta:
        model = Smear
        fields = (
            "id",
            "case",
            "original_name",
            "sha256",
            "format",
            "size_bytes",
            "width",
            "height",
            "uploaded_by",
            "uploaded_at",
        )
        read_only_fields = fields


class RefusalSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()


class UploadSerializer(serializers.ModelSerializer):
    """A file on its way; `refusal` is null unless it was refused, `smear` until it is one."""

    url = serializers.SerializerMethodField(help_text="Where its parts are sent.")
    state = serializers.ChoiceField(Upload.State.choices, read_only=True)
    smear: Any = serializers.SerializerMethodField()
    refusal = serializers.SerializerMethodField()
    uploaded_by: serializers.RelatedField = serializers.StringRelatedField(read_only=True)

    class Meta:
        model = Upload
        fields = (
            "id",
            "url",
            "case",
            "original_name",
            "fingerprint",
            "size_bytes",
            "received_bytes",
            "state",
            "refusal",
            "smear",
            "uploaded_by",
            "created_at",
            "updated_at",
            "expires_at",
        )
        read_only_fields = fields

    def get_url(self, upload: Upload) -> str:
        return reverse("cases:api-upload", args=[upload.pk])

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_smear(self, upload: Upload) -> Any:
        return upload.smear.pk if upload.state == Upload.State.FINISHED else None

    @extend_schema_field(RefusalSerializer(allow_null=True))
    def get_refusal(self, upload: Upload) -> dict[str, str] | None:
        if not upload.refusal_code:
            return None
        return {"code": upload.refusal_code, "message": upload.refusal_text}
