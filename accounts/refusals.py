"""One shape for every refusal of the API: `{"error": {"code", "message"}}`, and `fields` for bad input."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler


def refusal(code: str, message: str, status: int) -> Response:
    return Response({"error": {"code": code, "message": message}}, status=status)


def explain(error: Exception, context: dict[str, Any]) -> Response | None:
    """The framework's answer in our shape; None, so a server error, for what the framework does not know."""
    answer = exception_handler(error, context)
    if answer is None:
        return None
    said: dict[str, Any] = {"code": _code(error), "message": _message(error)}
    if isinstance(error, ValidationError) and isinstance(error.detail, dict):
        said["fields"] = error.detail
    answer.data = {"error": said}
    return answer


def _code(error: Exception) -> str:
    if isinstance(error, Http404):
        return "not_found"
    if isinstance(error, PermissionDenied):
        return "permission_denied"
    return "invalid" if isinstance(error, ValidationError) else getattr(error, "default_code", "error")


def _message(error: Exception) -> str:
    if isinstance(error, Http404):
        return _("There is nothing here, or it belongs to another laboratory.")
    if isinstance(error, ValidationError):
        return _sentence(error.detail)
    return str(error.detail) if isinstance(error, APIException) else str(error)


def _sentence(detail: Any) -> str:
    if isinstance(detail, dict):
        return " ".join(f"{field}: {_sentence(inner)}" for field, inner in detail.items())
    return " ".join(map(_sentence, detail)) if isinstance(detail, list) else str(detail)
