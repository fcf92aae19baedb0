"""Resumable uploads: tus 1.0.0 (https://tus.io/protocols/resumable-upload) with creation, termination and
expiration. What the protocol leaves open is in docs/uploads.md."""

import base64
import binascii
from typing import Any, cast

from django.conf import settings
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.http import http_date
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import refusals
from accounts.permissions import MayVerb, Verb
from accounts.types import User

from . import resumable, selectors
from .models import Case, Upload
from .parts import NoRoom, UploadBusy
from .resumable import Chunk, UploadConflict
from .serializers import UploadSerializer
from .services import CaseReported
from .uploads import UploadRefused

VERSION = "1.0.0"
EXTENSIONS = "creation,termination,expiration"
CHUNK_TYPE = "application/offset+octet-stream"
FINGERPRINT_MAX = 100
STATUS_OF = {UploadRefused: 422, UploadConflict: 409, CaseReported: 409, UploadBusy: 423, NoRoom: 507}
STATUS_OF_CODE = {"too_large": 413, "too_long": 413, "gone": 410}
VERSION_HEADER = OpenApiParameter("Tus-Resumable", str, "header", required=True, enum=[VERSION])


class WrongVersion(APIException):
    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "tus_version"


class LengthRequired(APIException):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"


def explain(error: Exception, context: dict[str, Any]) -> Response | None:
    """Our own refusals with their code and text, the framework's in the same shape."""
    http = STATUS_OF.get(type(error)) or (409 if isinstance(error, UploadConflict) else None)
    if http is None:
        return refusals.explain(error, context)
    known: Any = error
    return refusals.refusal(known.code, known.text, STATUS_OF_CODE.get(known.code, http))


class TusDoor(APIView):
    """What both addresses share: the version of the protocol, and one shape of refusal."""

    permission_classes = (IsAuthenticated, MayVerb)
    permission_verbs: dict[str, Verb] = {}

    @property
    def person(self) -> User:
        return cast(User, self.request.user)

    def get_exception_handler(self) -> Any:
        return explain

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Tus-Resumable"] = VERSION
        if answer.status_code == status.HTTP_412_PRECONDITION_FAILED:
            answer["Tus-Version"] = VERSION
        return answer

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """What this server can do."""
        facts = {
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(settings.SLIDE_MAX_BYTES),
        }
        return Response(status=status.HTTP_204_NO_CONTENT, headers=facts)


def _check_version(request: Request) -> None:
    if request.headers.get("Tus-Resumable") != VERSION:
        raise WrongVersion(_("Send “Tus-Resumable: 1.0.0”; this server speaks no other version of tus."))


def _whole_number(request: Request, name: str) -> int:
    value = request.headers.get(name, "")
    if not (value.isascii() and value.isdecimal()):
        raise ParseError(_("“%(name)s” has to be a whole number of bytes.") % {"name": name})
    return int(value)


def _metadata(request: Request) -> dict[str, str]:
    """`Upload-Metadata`: pairs of a key and a value in Base64, separated by commas."""
    pairs = (pair.split() for pair in request.headers.get("Upload-Metadata", "").split(","))
    try:
        return {key: _decoded(value) for key, *value in filter(None, pairs)}
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ParseError(_("“Upload-Metadata” has to hold keys with values in Base64.")) from error


def _decoded(words: list[str]) -> str:
    """The value behind a key; a key may stand alone."""
    return base64.b64decode("".join(words), validate=True).decode()


class CaseUploads(TusDoor, generics.ListAPIView):
    """The files on their way into a case; POST announces another one."""

    permission_verbs = {"get": Verb.CASE_VIEW, "post": Verb.SMEAR_UPLOAD}
    queryset = Upload.objects.none()
    serializer_class = UploadSerializer
    filterset_fields = ("original_name", "size_bytes", "fingerprint")

    def get_queryset(self) -> QuerySet[Upload]:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        return selectors.unfinished_uploads(self.person, self._case())

    def _case(self) -> Case:
        return get_object_or_404(selectors.cases_for(self.person), pk=self.kwargs["case_id"])

    @extend_schema(operation_id="case_uploads_list", tags=["uploads"])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="case_uploads_create",
        tags=["uploads"],
        request=None,
        parameters=[
            VERSION_HEADER,
            OpenApiParameter("Upload-Length", int, "header", required=True, description="Bytes of the file."),
            OpenApiParameter(
                "Upload-Metadata",
                str,
                "header",
                required=True,
                description="`filename` and, if wanted, `fingerprint`, each followed by its value in Base64.",
            ),
        ],
        responses={
            201: OpenApiResponse(description="`Location` is where the parts are sent."),
            409: OpenApiResponse(description="The case has been reported."),
            412: OpenApiResponse(description="Another version of tus."),
            413: OpenApiResponse(description="The file is too large."),
            422: OpenApiResponse(description="Files of this kind are not accepted."),
            507: OpenApiResponse(description="The server has no room for it."),
        },
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        case = self._case()
        _check_version(request)
        said = _metadata(request)
        upload = resumable.begin(
            self.person,
            case,
            name=said.get("filename", ""),
            size_bytes=_whole_number(request, "Upload-Length"),
            fingerprint=said.get("fingerprint", "").replace("\x00", "")[:FINGERPRINT_MAX],
        )
        place = {"Location": reverse("cases:api-upload", args=[upload.pk]), **_state(upload)}
        return Response(status=status.HTTP_201_CREATED, headers=place)


def _state(upload: Upload) -> dict[str, str]:
    return {
        "Upload-Offset": str(upload.received_bytes),
        "Upload-Expires": http_date(upload.expires_at.timestamp()),
    }


@extend_schema(tags=["uploads"])
class OneUpload(TusDoor):
    """One file on its way: HEAD says how much has arrived, PATCH brings more, DELETE gives up."""

    permission_verbs = {
        "get": Verb.CASE_VIEW,
        "patch": Verb.SMEAR_UPLOAD,
        "delete": Verb.SMEAR_UPLOAD,
    }

    def _upload(self) -> Upload:
        return get_object_or_404(selectors.uploads_for(self.person), pk=self.kwargs["upload_id"])

    @extend_schema(operation_id="upload_retrieve", responses={200: UploadSerializer})
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(UploadSerializer(self._upload()).data)

    def head(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        upload = self._upload()
        _check_version(request)
        facts = {"Upload-Length": str(upload.size_bytes), "Cache-Control": "no-store", **_state(upload)}
        return Response(status=status.HTTP_200_OK, headers=facts)

    @extend_schema(
        operation_id="upload_append",
        parameters=[
            VERSION_HEADER,
            OpenApiParameter("Upload-Offset", int, "header", required=True, description="Where it begins."),
        ],
        request={CHUNK_TYPE: OpenApiTypes.BINARY},
        responses={
            204: OpenApiResponse(description="`Upload-Offset` says how much has arrived."),
            409: OpenApiResponse(description="It does not begin where the last part ended, or all is here."),
            410: OpenApiResponse(description="Discarded or expired."),
            412: OpenApiResponse(description="Another version of tus."),
            413: OpenApiResponse(description="It goes beyond the end of the file."),
            415: OpenApiResponse(description="Another type of content."),
            423: OpenApiResponse(description="Another request is sending to it."),
            507: OpenApiResponse(description="The server has no room for it."),
        },
    )
    def patch(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        upload = self._upload()
        _check_version(request)
        if request.content_type != CHUNK_TYPE:
            raise UnsupportedMediaType(request.content_type or "")
        if not request.headers.get("Content-Length"):
            raise LengthRequired(_("Send “Content-Length”: parts of unknown length are not taken."))
        length = _whole_number(request, "Content-Length")
        chunk = Chunk(_whole_number(request, "Upload-Offset"), length, request._request)
        upload = resumable.receive(self.person, upload, chunk)
        return Response(status=status.HTTP_204_NO_CONTENT, headers=_state(upload))

    @extend_schema(operation_id="upload_discard", parameters=[VERSION_HEADER], responses={204: None})
    def delete(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        upload = self._upload()
        _check_version(request)
        resumable.discard(self.person, upload)
        return Response(status=status.HTTP_204_NO_CONTENT)


urlpatterns = [
    path("api/v1/cases/<uuid:case_id>/uploads/", CaseUploads.as_view(), name="api-case-uploads"),
    path("api/v1/uploads/<uuid:upload_id>/", OneUpload.as_view(), name="api-upload"),
]
