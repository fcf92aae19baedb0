"""What all doors of the API share: the table of verbs, and one shape of refusal."""

from typing import Any, cast
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import refusals
from accounts.permissions import MayVerb, Verb
from accounts.types import User
from cases.parts import NoRoom, UploadBusy
from cases.resumable import UploadConflict
from cases.services import CaseReported, StagingRefused
from cases.uploads import UploadRefused
from inference import answers, blind, review, runs, selectors, stage_calls
from inference.models import AnalysisRun
from inference.serializers import ErrorAnswer

STATUS_OF: dict[type[Exception], int] = {
    UploadRefused: 422,
    UploadConflict: 409,
    UploadBusy: 423,
    NoRoom: 507,
    CaseReported: 409,
    review.InvalidDecision: 422,
    review.ReviewConflict: 409,
    blind.Hidden: 409,
    runs.RunConflict: 409,
    StagingRefused: 409,
    stage_calls.StagingConflict: 409,
    answers.Unavailable: 503,
    answers.Failed: 500,
    answers.Refused: 422,
}


def explain(error: Exception, context: dict[str, Any]) -> Response | None:
    """Our own refusals with their code and text, the framework's in the same shape."""
    for family, http in STATUS_OF.items():
        if isinstance(error, family):
            known: Any = error
            return refusals.refusal(known.code, known.text, 409 if known.code == "duplicate" else http)
    return refusals.explain(error, context)


REFUSALS = {
    401: OpenApiResponse(ErrorAnswer, "Not logged in."),
    403: OpenApiResponse(ErrorAnswer, "The role does not allow it."),
    404: OpenApiResponse(ErrorAnswer, "Not there, or of another laboratory."),
}
CONFLICT = {409: OpenApiResponse(ErrorAnswer, "Not in the state that was asked for.")}
WAITED_FOR = {
    500: OpenApiResponse(ErrorAnswer, "A fault of the program, which has been logged."),
    503: OpenApiResponse(ErrorAnswer, "No worker answered in time."),
}
REFUSED = {422: OpenApiResponse(ErrorAnswer, "Not accepted; the message says what would be right.")}


class Door(APIView):
    """What all views here share: the table of verbs, and one shape of refusal."""

    permission_classes = (MayVerb,)
    permission_verbs: dict[str, Verb] = {}

    @property
    def person(self) -> User:
        """Who asks: MayVerb has let nobody else in."""
        return cast(User, self.request.user)

    def get_exception_handler(self) -> Any:
        return explain


def finished_run(person: User, run_id: UUID) -> AnalysisRun:
    """A finished run. Raises RunConflict when it is not finished."""
    run = selectors.run_for(person, run_id)
    if run.status != AnalysisRun.Status.DONE:
        raise runs.RunConflict(_("This analysis is not finished; its status is “%s”.") % run.status)
    return run
