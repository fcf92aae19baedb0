"""The API of smears, runs, results and the review of cells; that of the staging is in `staging_api`."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import FileResponse, Http404
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat
from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from accounts.permissions import Verb
from cases.selectors import cases_for, uploads_for
from cases.uploads import UploadRefused
from inference import blind, handing_in, heat_maps, predictions, review, review_queue, runs, selectors
from inference.agreements import lab_agreement
from inference.doors import CONFLICT, REFUSALS, REFUSED, WAITED_FOR, Door, finished_run
from inference.models import AnalysisRun, Cell
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.findings import Kind, Method
from inference.serializers import (
    CaseSmearSerializer,
    DecisionSerializer,
    ErrorAnswer,
    HeatMapSerializer,
    LabAgreementSerializer,
    OpenCellSerializer,
    PredictionSerializer,
    ReviewSerializer,
    RunSerializer,
    SimilarSerializer,
    SkippedSerializer,
    SkipSerializer,
    SmearUploadSerializer,
)
from inference.similar import similar


def _refuse_large(size_bytes: int) -> None:
    """A file in one piece is held whole by every server on its way."""
    if size_bytes > settings.UPLOAD_MAX_BYTES:
        text = _(
            "A file sent in one piece may have at most %(limit)s. Send this one in parts, under `uploads/`."
        )
        raise UploadRefused("too_large", text % {"limit": filesizeformat(settings.UPLOAD_MAX_BYTES)})


class CaseSmears(Door, generics.ListAPIView):
    """The smears of a case, each with its newest run; POST hands another one in."""

    parser_classes = (MultiPartParser,)
    permission_verbs = {"get": Verb.RUN_VIEW, "post": Verb.SMEAR_UPLOAD}
    queryset = AnalysisRun.objects.none()
    filter_backends = ()

    def get_serializer_class(self) -> type[Serializer]:
        return SmearUploadSerializer if self.request.method == "POST" else CaseSmearSerializer

    def get_queryset(self) -> QuerySet[AnalysisRun]:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        case = get_object_or_404(cases_for(self.person), pk=self.kwargs["case_id"])
        return selectors.case_runs(self.person, case.pk)

    @extend_schema(
        operation_id="case_smears_list", responses={200: CaseSmearSerializer(many=True), **REFUSALS}
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="case_smears_create",
        request={"multipart/form-data": SmearUploadSerializer},
        responses={
            201: CaseSmearSerializer,
            400: OpenApiResponse(ErrorAnswer, "No file."),
            **REFUSALS,
            409: OpenApiResponse(ErrorAnswer, "The same file is already in this case."),
            **REFUSED,
        },
    )
    def post(self, request: Request, case_id: UUID) -> Response:
        case = get_object_or_404(cases_for(self.person), pk=case_id)
        sent = SmearUploadSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        file = sent.validated_data["file"]
        _refuse_large(file.size)
        run = runs.submit(self.person, case, file)
        return Response(CaseSmearSerializer(run).data, status=status.HTTP_201_CREATED)


class FinishUpload(Door):
    """Examine a file that has come in parts, and queue its analysis; asked again, it answers the same run."""

    permission_verbs = {"post": Verb.SMEAR_UPLOAD}

    @extend_schema(
        operation_id="upload_finish",
        tags=["uploads"],
        request=None,
        responses={
            201: CaseSmearSerializer,
            **REFUSALS,
            409: OpenApiResponse(ErrorAnswer, "Not whole yet, reported meanwhile, or already in this case."),
            **REFUSED,
            423: OpenApiResponse(ErrorAnswer, "Being examined for another request: ask again in a moment."),
            507: OpenApiResponse(ErrorAnswer, "The storage has no room for it."),
        },
    )
    def post(self, request: Request, upload_id: UUID) -> Response:
        upload = get_object_or_404(uploads_for(self.person), pk=upload_id)
        run = handing_in.finish(self.person, upload)
        return Response(CaseSmearSerializer(run).data, status=status.HTTP_201_CREATED)


class Run(Door):
    """Where an analysis stands."""

    permission_verbs = {"get": Verb.RUN_VIEW}

    @extend_schema(responses={200: RunSerializer, **REFUSALS})
    def get(self, request: Request, run_id: UUID) -> Response:
        return Response(RunSerializer(selectors.run_for(self.person, run_id)).data)


class RunResult(Door):
    """What an analysis found, with people's corrections."""

    permission_verbs = {"get": Verb.RUN_VIEW}

    @extend_schema(responses={200: OpenApiTypes.OBJECT, **REFUSALS, **CONFLICT})
    def get(self, request: Request, run_id: UUID) -> Response:
        run = finished_run(self.person, run_id)
        return Response(selectors.result_payload(run, blind.veil(self.person, run).over_all))


class RunOverlay(Door):
    """The image with all cells drawn in, as PNG."""

    permission_verbs = {"get": Verb.RUN_VIEW}

    @extend_schema(responses={(200, "image/png"): OpenApiTypes.BINARY, **REFUSALS, **CONFLICT})
    def get(self, request: Request, run_id: UUID) -> FileResponse:
        run = finished_run(self.person, run_id)
        if not run.overlay:
            raise Http404
        if blind.veil(self.person, run).machine:
            raise blind.Hidden
        return FileResponse(run.overlay.open(), content_type="image/png")


class SimilarCells(Door):
    """The confirmed cells of the laboratory that are most like a cell of a run."""

    permission_verbs = {"get": Verb.RUN_VIEW}

    @extend_schema(responses={200: SimilarSerializer, **REFUSALS, **CONFLICT})
    def get(self, request: Request, run_id: UUID, number: int) -> Response:
        cell = get_object_or_404(finished_run(self.person, run_id).cells, number=number)
        blind.refuse_hidden(self.person, cell)
        return Response(SimilarSerializer(similar(self.person, cell)).data)


class RunRetry(Door):
    """Queue a failed analysis again."""

    permission_verbs = {"post": Verb.RUN_RETRY}

    @extend_schema(request=None, responses={202: RunSerializer, **REFUSALS, **CONFLICT})
    def post(self, request: Request, run_id: UUID) -> Response:
        run = selectors.run_for(self.person, run_id)
        runs.retry(self.person, run)
        again = selectors.run_for(self.person, run_id)
        return Response(RunSerializer(again).data, status=status.HTTP_202_ACCEPTED)


class CellHeatMap(Door):
    """Where a network looked when it called a cell, by any method, made while the caller waits."""

    permission_verbs = {"get": Verb.RUN_VIEW}

    @extend_schema(
        parameters=[
            OpenApiParameter("method", enum=[*Method], description="How the map is made."),
            OpenApiParameter(
                "label",
                enum=[*WBC_CLASSES, *heat_maps.EXPLAINED[Kind.RBC]],
                description="The class it speaks for; the network's own call. One of the cell's own kind.",
            ),
            OpenApiParameter(
                "network",
                description="Name of the network that is explained; the one whose call counts. Of a white"
                " cell with a `second_call`, that network as well.",
            ),
        ],
        responses={
            200: HeatMapSerializer,
            **REFUSALS,
            **CONFLICT,
            **REFUSED,
            **WAITED_FOR,
        },
    )
    def get(self, request: Request, run_id: UUID, number: int) -> Response:
        cell = get_object_or_404(finished_run(self.person, run_id).cells, number=number)
        blind.refuse_hidden(self.person, cell)
        asked = heat_maps.Asked.of(request.query_params.dict())
        return Response(HeatMapSerializer(heat_maps.heat_map(self.person, cell, asked)).data)


class ReviewQueue(Door, generics.ListAPIView):
    """The cells that wait for the caller, across cases: first those whose call could change a flag, a
    threshold or the side of a reference limit, then STAT, then the oldest; what the caller skipped last. Of
    cells called blind, what the machine says is null until the caller has called them."""

    permission_verbs = {"get": Verb.REVIEW_VIEW}
    serializer_class = OpenCellSerializer
    queryset = Cell.objects.none()
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Cell]:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        return review_queue.queue(self.person)

    def paginate_queryset(self, queryset: Any) -> list[Any] | None:
        page = super().paginate_queryset(queryset)
        return None if page is None else [blind.for_reader(cell) for cell in page]


class Decide(Door):
    """Put a person's word beside the machine's; `id` is the cell's. Where a second pathologist's call is
    asked for, the word of another than the first is that call; where the two differ, a third one's settles
    it."""

    permission_verbs = {"post": Verb.REVIEW_DECIDE}

    @extend_schema(
        request=DecisionSerializer,
        responses={
            201: ReviewSerializer,
            400: OpenApiResponse(ErrorAnswer, "Fields are missing or malformed."),
            **REFUSALS,
            **CONFLICT,
            **REFUSED,
        },
    )
    def post(self, request: Request, cell_id: int) -> Response:
        cell = selectors.cell_for(self.person, cell_id)
        sent = DecisionSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        decided = review.decide(self.person, cell, **sent.validated_data)
        return Response(ReviewSerializer(decided).data, status=status.HTTP_201_CREATED)


class Skip(Door):
    """Leave a cell open for now: it moves behind the others for the caller; `id` is the cell's."""

    permission_verbs = {"post": Verb.REVIEW_DECIDE}

    @extend_schema(
        request=SkipSerializer,
        responses={
            201: SkippedSerializer,
            400: OpenApiResponse(ErrorAnswer, "Fields are missing or malformed."),
            **REFUSALS,
            **CONFLICT,
            **REFUSED,
        },
    )
    def post(self, request: Request, cell_id: int) -> Response:
        cell = selectors.cell_for(self.person, cell_id)
        sent = SkipSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        skipped = review.skip(self.person, cell, **sent.validated_data)
        return Response(SkippedSerializer(skipped).data, status=status.HTTP_201_CREATED)


class ReaderAgreement(Door):
    """How far the readers of the laboratory agree with each other and with the machine."""

    permission_verbs = {"get": Verb.LAB_AGREEMENT}

    @extend_schema(responses={200: LabAgreementSerializer, 401: REFUSALS[401], 403: REFUSALS[403]})
    def get(self, request: Request) -> Response:
        return Response(LabAgreementSerializer(lab_agreement(self.person)).data)


class Predict(Door):
    """Call the cell nearest the centre of one image."""

    parser_classes = (MultiPartParser,)
    permission_verbs = {"post": Verb.SMEAR_UPLOAD}

    @extend_schema(
        request={"multipart/form-data": SmearUploadSerializer},
        responses={
            200: PredictionSerializer,
            400: OpenApiResponse(ErrorAnswer, "No file."),
            401: REFUSALS[401],
            403: REFUSALS[403],
            **REFUSED,
            **WAITED_FOR,
        },
    )
    def post(self, request: Request) -> Response:
        sent = SmearUploadSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        return Response(predictions.predict(self.person, sent.validated_data["file"]))


urlpatterns = [
    path("api/v1/cases/<uuid:case_id>/smears/", CaseSmears.as_view(), name="api-case-smears"),
    path("api/v1/uploads/<uuid:upload_id>/finish/", FinishUpload.as_view(), name="api-upload-finish"),
    path("api/v1/runs/<uuid:run_id>/", Run.as_view(), name="api-run"),
    path("api/v1/runs/<uuid:run_id>/result/", RunResult.as_view(), name="api-result"),
    path(
        "api/v1/runs/<uuid:run_id>/cells/<int:number>/heat-map/", CellHeatMap.as_view(), name="api-heat-map"
    ),
    path("api/v1/runs/<uuid:run_id>/overlay.png", RunOverlay.as_view(), name="api-overlay"),
    path("api/v1/runs/<uuid:run_id>/cells/<int:number>/similar/", SimilarCells.as_view(), name="api-similar"),
    path("api/v1/runs/<uuid:run_id>/retry/", RunRetry.as_view(), name="api-retry"),
    path("api/v1/review/", ReviewQueue.as_view(), name="api-review"),
    path("api/v1/review/<int:cell_id>/decide/", Decide.as_view(), name="api-decide"),
    path("api/v1/review/<int:cell_id>/skip/", Skip.as_view(), name="api-skip"),
    path("api/v1/agreement/", ReaderAgreement.as_view(), name="api-agreement"),
    path("api/v1/predict/", Predict.as_view(), name="api-predict"),
]
