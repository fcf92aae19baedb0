"""The API of many cells at once: calling them, and putting them back as they were."""

from dataclasses import asdict
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Verb
from inference import reclassify
from inference.doors import CONFLICT, REFUSALS, REFUSED, Door, finished_run
from inference.gallery_serializers import BackCellsSerializer, OutcomeSerializer, WantedCellsSerializer
from inference.serializers import ErrorAnswer

ANSWERS = {
    200: OutcomeSerializer,
    400: OpenApiResponse(ErrorAnswer, "Fields are missing or malformed."),
    **REFUSALS,
    **CONFLICT,
    **REFUSED,
}


class DecideMany(Door):
    """Put a person's word beside the machine's on many cells of a run, in one transaction."""

    permission_verbs = {"post": Verb.REVIEW_DECIDE}

    @extend_schema(operation_id="run_cells_decide", request=WantedCellsSerializer, responses=ANSWERS)
    def post(self, request: Request, run_id: UUID) -> Response:
        run = finished_run(self.person, run_id)
        sent = WantedCellsSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        wanted = [reclassify.Wanted(**cell) for cell in sent.validated_data["cells"]]
        return Response(asdict(reclassify.decide_many(self.person, run, wanted)))


class PutBack(Door):
    """Take one's own words on many cells of a run back, or say them again, in one transaction."""

    permission_verbs = {"post": Verb.REVIEW_DECIDE}

    @extend_schema(operation_id="run_cells_put_back", request=BackCellsSerializer, responses=ANSWERS)
    def post(self, request: Request, run_id: UUID) -> Response:
        run = finished_run(self.person, run_id)
        sent = BackCellsSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        backs = [reclassify.Back(**cell) for cell in sent.validated_data["cells"]]
        return Response(asdict(reclassify.put_back(self.person, run, backs)))


urlpatterns = [
    path("api/v1/runs/<uuid:run_id>/cells/decide/", DecideMany.as_view(), name="api-decide-many"),
    path("api/v1/runs/<uuid:run_id>/cells/put-back/", PutBack.as_view(), name="api-put-back"),
]
