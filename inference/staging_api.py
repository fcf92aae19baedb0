"""The API of leukemia staging: requesting it for a case, its result for a smear, and a person's answer."""

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Verb
from cases.selectors import cases_for
from inference import stage_calls, stage_review, staging_requests
from inference.doors import CONFLICT, REFUSALS, REFUSED, Door, finished_run
from inference.serializers import ErrorAnswer
from inference.staged import staged
from inference.staging_serializers import (
    CaseStagingSerializer,
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


urlpatterns = [
    path("api/v1/cases/<uuid:case_id>/staging/", CaseStaging.as_view(), name="api-case-staging"),
    path("api/v1/runs/<uuid:run_id>/staging/", RunStaging.as_view(), name="api-staging"),
    path("api/v1/runs/<uuid:run_id>/staging/retry/", StagingRetry.as_view(), name="api-staging-retry"),
    path("api/v1/runs/<uuid:run_id>/staging/decide/", DecideStaging.as_view(), name="api-staging-decide"),
]
