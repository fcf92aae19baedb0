"""The API of leukemia staging: requesting it for a case, its result for a smear, and a person's answer."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Verb
from cases.selectors import cases_for
from inference import stage_calls, stage_review, staging_requests
from inference.doors import CONFLICT, REFUSALS, REFUSED, WAITED_FOR, Door, finished_run
from inference.models import StageReview
from inference.pipeline.findings import Method
from inference.review_queue import WaitingSlide, waiting_slides
from inference.serializers import ErrorAnswer
from inference.staged import answers_to, staged
from inference.staging_heat_maps import field_heat_map
from inference.staging_serializers import (
    CaseStagingSerializer,
    FieldHeatMapSerializer,
    OpenStagingSerializer,
    StageReviewSerializer,
    StagingAnswerSerializer,
    StagingSerializer,
)


class CaseStaging(Door):
    """Whether staging was requested for a case. POST requests it, DELETE takes the request back."""

    permission_verbs = {
        "get": Verb.CASE_VIEW,
        "post": Verb.STAGING_REQUEST,
        "delete": Verb.STAGING_REQUEST,
    }

    def _case(self, case_id: UUID) -> Any:
        return get_object_or_404(cases_for(self.person), pk=case_id)

    @extend_schema(operation_id="case_staging_retrieve", responses={200: CaseStagingSerializer, **REFUSALS})
    def get(self, request: Request, case_id: UUID) -> Response:
        return Response(CaseStagingSerializer(self._case(case_id)).data)

    @extend_schema(
        operation_id="case_staging_request",
        request=None,
        responses={202: CaseStagingSerializer, **REFUSALS, **CONFLICT},
    )
    def post(self, request: Request, case_id: UUID) -> Response:
        case = self._case(case_id)
        staging_requests.request(self.person, case)
        return Response(CaseStagingSerializer(case).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        operation_id="case_staging_withdraw",
        responses={200: CaseStagingSerializer, **REFUSALS, **CONFLICT},
    )
    def delete(self, request: Request, case_id: UUID) -> Response:
        case = self._case(case_id)
        staging_requests.withdraw(self.person, case)
        return Response(CaseStagingSerializer(case).data)


class RunStaging(Door):
    """The staging of an analysed smear, as in its result."""

    permission_verbs = {"get": Verb.RUN_VIEW}

    @extend_schema(responses={200: StagingSerializer, **REFUSALS, **CONFLICT})
    def get(self, request: Request, run_id: UUID) -> Response:
        return Response(staged(finished_run(self.person, run_id)).part())


class FieldHeatMap(Door):
    """Where the staging network looked in a staged field, by any method, made while the caller waits."""

    permission_verbs = {"get": Verb.RUN_VIEW}

    @extend_schema(
        parameters=[
            OpenApiParameter("method", enum=[*Method], description="How the map is made."),
            OpenApiParameter(
                "number",
                int,
                OpenApiParameter.PATH,
                description="Place of the field in `field_calls`, from 1.",
            ),
        ],
        responses={200: FieldHeatMapSerializer, **REFUSALS, **CONFLICT, **REFUSED, **WAITED_FOR},
    )
    def get(self, request: Request, run_id: UUID, number: int) -> Response:
        run, method = finished_run(self.person, run_id), request.query_params.get("method", "")
        return Response(FieldHeatMapSerializer(field_heat_map(self.person, run, number, method)).data)


class StagingRetry(Door):
    """Queue a failed staging again."""

    permission_verbs = {"post": Verb.RUN_RETRY}

    @extend_schema(request=None, responses={202: StagingSerializer, **REFUSALS, **CONFLICT})
    def post(self, request: Request, run_id: UUID) -> Response:
        run = finished_run(self.person, run_id)
        stage_calls.retry(self.person, run)
        return Response(staged(run).part(), status=status.HTTP_202_ACCEPTED)


class DecideStaging(Door):
    """Put a person's word on the stage beside the machine's."""

    permission_verbs = {"post": Verb.REVIEW_DECIDE}

    @extend_schema(
        request=StagingAnswerSerializer,
        responses={
            201: StageReviewSerializer,
            400: OpenApiResponse(ErrorAnswer, "Fields are missing or malformed."),
            **REFUSALS,
            **CONFLICT,
            **REFUSED,
        },
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        run = finished_run(self.person, run_id)
        sent = StagingAnswerSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        said = stage_review.decide(self.person, run, **sent.validated_data)
        return Response(StageReviewSerializer(said).data, status=status.HTTP_201_CREATED)


class StagingAnswers(Door, generics.ListAPIView):
    """What people said of the stage of a smear, the latest first; what was taken back says when."""

    permission_verbs = {"get": Verb.RUN_VIEW}
    serializer_class = StageReviewSerializer
    queryset = StageReview.objects.none()
    filter_backends = ()

    def get_queryset(self) -> QuerySet[StageReview]:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        return answers_to(finished_run(self.person, self.kwargs["run_id"]))


class OpenStagings(Door, generics.ListAPIView):
    """The slides whose staging waits for a person's answer, in the order of the review queue."""

    permission_verbs = {"get": Verb.REVIEW_VIEW}
    serializer_class = OpenStagingSerializer
    queryset = StageReview.objects.none()
    filter_backends = ()

    def get_queryset(self) -> list[WaitingSlide]:  # type: ignore[override]
        if getattr(self, "swagger_fake_view", False):
            return []
        return [slide for slide in waiting_slides(self.person, 0) if slide.staging.is_open]


urlpatterns = [
    path("api/v1/cases/<uuid:case_id>/staging/", CaseStaging.as_view(), name="api-case-staging"),
    path("api/v1/runs/<uuid:run_id>/staging/", RunStaging.as_view(), name="api-staging"),
    path("api/v1/runs/<uuid:run_id>/staging/retry/", StagingRetry.as_view(), name="api-staging-retry"),
    path("api/v1/runs/<uuid:run_id>/staging/decide/", DecideStaging.as_view(), name="api-staging-decide"),
    path("api/v1/runs/<uuid:run_id>/staging/answers/", StagingAnswers.as_view(), name="api-staging-answers"),
    path(
        "api/v1/runs/<uuid:run_id>/staging/fields/<int:number>/heat-map/",
        FieldHeatMap.as_view(),
        name="api-field-heat-map",
    ),
    path("api/v1/review/stagings/", OpenStagings.as_view(), name="api-open-stagings"),
]
