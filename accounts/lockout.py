"""How the lock-out after repeated failures names a person and answers them."""

from datetime import datetime

from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from .middleware import client_ip

LOCKED_STATUS = 429


def username(request: HttpRequest, credentials: dict[str, str] | None) -> str:
    """The e-mail address that was tried, in lower case: one account, one counter."""
    known = credentials or {}
    name = known.get("email") or known.get("login") or known.get("username") or request.POST.get("login", "")
    return str(name).strip().lower()[:255]


def response(
    request: HttpRequest, original: HttpResponse | None = None, credentials: dict[str, str] | None = None
) -> HttpResponse:
    """Says until when the account stays locked, to a person as a page and to a program as JSON."""
    until = locked_until(request, credentials)
    if request.path.startswith("/api/"):
        text = _("Too many failed attempts. Try again after %(time)s.") % {
            "time": date_format(timezone.localtime(until), "DATETIME_FORMAT")
        }
        return JsonResponse({"error": {"code": "locked", "message": text}}, status=LOCKED_STATUS)
    return render(request, "account/locked.html", {"until": until}, status=LOCKED_STATUS)


def locked_until(request: HttpRequest, credentials: dict[str, str] | None) -> datetime:
    tried = AccessAttempt.objects.filter(
        username=username(request, credentials), ip_address=client_ip(request)
    )
    last = tried.order_by("-attempt_time").values_list("attempt_time", flat=True).first()
    return (last or timezone.now()) + get_cool_off(request)
