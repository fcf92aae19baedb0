"""Patients, cases and smears under /api/v1/. Nothing is deleted here."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.urls import include, path
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.permissions import IsAuthenticated
from rest_framework.routers import SimpleRouter

from accounts.permissions import MayVerb, Verb

from . import selectors
from .filters import CaseFilter, PatientFilter
from .models import Case, Patient, Smear
from .serializers import CaseSerializer, PatientSerializer, SmearSerializer


class OwnRows(viewsets.GenericViewSet):
    """The rows of one's laboratory; the schema is drawn without anybody being there."""

    permission_classes = (IsAuthenticated, MayVerb)
    lookup_value_converter = "uuid"
    rows: Callable[[Any], QuerySet[Any]]

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return self.rows(self.request.user)


class Writable(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    OwnRows,
):
    """What can be listed, read, made and changed, and not deleted."""


@extend_schema(tags=["patients"])
class PatientViewSet(Writable):
    """Patients of one's laboratory."""

    queryset = Patient.objects.none()
    rows = staticmethod(selectors.patients_for)
    serializer_class = PatientSerializer
    filterset_class = PatientFilter
    permission_verbs = {
        "list": Verb.PATIENT_VIEW,
        "retrieve": Verb.PATIENT_VIEW,
        "create": Verb.PATIENT_CREATE,
        "update": Verb.PATIENT_EDIT,
        "partial_update": Verb.PATIENT_EDIT,
    }


@extend_schema(tags=["cases"])
class CaseViewSet(Writable):
    """Cases of one's laboratory; `status` follows the analyses, the review and the report."""

    queryset = Case.objects.none()
    rows = staticmethod(selectors.cases_with_smears)
    serializer_class = CaseSerializer
    filterset_class = CaseFilter
    permission_verbs = {
        "list": Verb.CASE_VIEW,
        "retrieve": Verb.CASE_VIEW,
        "create": Verb.CASE_CREATE,
        "update": Verb.CASE_EDIT,
        "partial_update": Verb.CASE_EDIT,
    }


@extend_schema(tags=["smears"])
class SmearViewSet(mixins.RetrieveModelMixin, OwnRows):
    """A smear as it was handed in."""

    queryset = Smear.objects.none()
    rows = staticmethod(selectors.smears_for)
    serializer_class = SmearSerializer
    permission_verbs = {"retrieve": Verb.CASE_VIEW}


router = SimpleRouter(use_regex_path=False)
router.register("patients", PatientViewSet, basename="api-patient")
router.register("cases", CaseViewSet, basename="api-case")
router.register("smears", SmearViewSet, basename="api-smear")
urlpatterns = [path("api/v1/", include(router.urls))]
