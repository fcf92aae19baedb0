"""The API of reports: the four formats of a case's report."""

from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.permissions import MayVerb, Verb
from accounts.types import User

from . import documents, selectors, versions
from .documents import CONTENT_TYPES, Format


class Wanted(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, max_value=100_000, required=False, allow_null=True)


class ReportDocument(APIView):
    """The signed report that counts, or the draft while there is none; `?version=` asks for another one."""

    permission_classes = (MayVerb,)
    permission_verbs: ClassVar = {"get": Verb.REPORT_DOWNLOAD}
    form: Format

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """The address names the format, so that no Accept header can refuse it."""
        return super().perform_content_negotiation(request, force=True)

    def get(self, request: Request, case_id: UUID) -> HttpResponse:
        wanted = Wanted(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        user = cast(User, request.user)
        report = selectors.report_for(user, case_id, wanted.validated_data.get("version"))
        return documents.attachment(documents.download(user, report, self.form))


def described(form: Format) -> Any:
    """What the schema says of the address of one format."""
    json = form in (Format.JSON, Format.FHIR)
    return extend_schema_view(
        get=extend_schema(
            operation_id=f"report_{form.name.lower()}",
            tags=["reports"],
            parameters=[OpenApiParameter("version", int, description="A version of the report, from 1.")],
            responses={
                (200, CONTENT_TYPES[form].partition(";")[0]): OpenApiTypes.OBJECT
                if json
                else OpenApiTypes.BINARY,
                400: OpenApiResponse(description="`version` is not a whole number from 1."),
                401: OpenApiResponse(description="Not logged in."),
                403: OpenApiResponse(description="The role does not allow it."),
                404: OpenApiResponse(description="No such report, or of another laboratory."),
            },
        )
    )


@described(Format.PDF)
class ReportPdf(ReportDocument):
    """The report as PDF; a draft carries a watermark."""

    form = Format.PDF


@described(Format.JSON)
class ReportJson(ReportDocument):
    """The report as JSON."""

    form = Format.JSON


@described(Format.FHIR)
class ReportFhir(ReportDocument):
    """The report as a FHIR R4 transaction Bundle."""

    form = Format.FHIR


@described(Format.HL7)
class ReportHl7(ReportDocument):
    """The report as an HL7 v2.5.1 ORU^R01 message with the PDF embedded."""

    form = Format.HL7


class FigureChangeSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    name = serializers.CharField()
    before = serializers.CharField(help_text="As the report writes it; empty where it has none.")
    after = serializers.CharField()


class CellChangeSerializer(serializers.Serializer[Any]):
    """A cell that counts as another class, and the person's word that changed it."""

    run = serializers.UUIDField(source="cell.run_id")
    image = serializers.CharField(source="cell.image")
    cell_id = serializers.IntegerField(source="cell.number", help_text="Number of the cell within its run.")
    before = serializers.CharField(source="cell.before")
    after = serializers.CharField(source="cell.after")
    reviewer = serializers.CharField(source="word.reviewer", default=None, allow_null=True)
    decided_at = serializers.DateTimeField(source="word.at", default=None, allow_null=True)
    comment = serializers.CharField(source="word.comment", default="")
    taken_back = serializers.BooleanField(source="word.undone", default=False)


class ChangesSerializer(serializers.Serializer[Any]):
    """What changed between two versions of a report."""

    before = serializers.IntegerField(source="difference.before")
    after = serializers.IntegerField(source="difference.after")
    reason = serializers.CharField(help_text="Why the later version was begun.")
    cells = CellChangeSerializer(many=True)
    figures = FigureChangeSerializer(source="difference.figures", many=True)
    images_came = serializers.ListField(source="difference.images_came", child=serializers.CharField())
    images_went = serializers.ListField(source="difference.images_went", child=serializers.CharField())
    came = serializers.ListField(source="difference.came", child=serializers.CharField())
    went = serializers.ListField(source="difference.went", child=serializers.CharField())


class ReportChanges(APIView):
    """What changed from version `before` of a case's report to version `after`, cell by cell."""

    permission_classes = (MayVerb,)
    permission_verbs: ClassVar = {"get": Verb.REPORT_VIEW}

    @extend_schema(
        operation_id="report_changes",
        tags=["reports"],
        responses={
            200: ChangesSerializer,
            401: OpenApiResponse(description="Not logged in."),
            403: OpenApiResponse(description="The role does not allow it."),
            404: OpenApiResponse(description="No such version, or of another laboratory."),
        },
    )
    def get(self, request: Request, case_id: UUID, before: int, after: int) -> Response:
        user = cast(User, request.user)
        return Response(ChangesSerializer(versions.compared(user, case_id, before, after)).data)


urlpatterns = [
    path(
        "api/v1/cases/<uuid:case_id>/report/changes/<int:before>/<int:after>/",
        ReportChanges.as_view(),
        name="api-report-changes",
    ),
    path("api/v1/cases/<uuid:case_id>/report.pdf", ReportPdf.as_view(), name="api-report-pdf"),
    path("api/v1/cases/<uuid:case_id>/report.json", ReportJson.as_view(), name="api-report-json"),
    path("api/v1/cases/<uuid:case_id>/report.fhir.json", ReportFhir.as_view(), name="api-report-fhir"),
    path("api/v1/cases/<uuid:case_id>/report.hl7", ReportHl7.as_view(), name="api-report-hl7"),
]
