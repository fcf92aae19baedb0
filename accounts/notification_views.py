"""Pages of what a person has been told, and how they want to be told."""

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from . import notifications, selectors, services
from .forms import MailForm
from .permissions import PersonRequest, Verb, verb_required

PER_PAGE = 50


@verb_required(Verb.NOTIFICATION_VIEW)
@require_safe
@never_cache
def notification_list(request: PersonRequest) -> HttpResponse:
    page = Paginator(selectors.notifications_for(request.user), PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "accounts/notifications.html", {"page": page})


@verb_required(Verb.NOTIFICATION_VIEW)
@require_GET
@never_cache
def bell(request: PersonRequest) -> HttpResponse:
    """The bell of the top bar, asked for now and then; nothing while its count is what the page shows."""
    if request.GET.get("was") == str(selectors.unread_count(request.user)):
        return HttpResponse(status=204)
    return render(request, "partials/bell.html")


@verb_required(Verb.NOTIFICATION_VIEW)
@require_POST
def read(request: PersonRequest, pk: UUID) -> HttpResponse:
    row = get_object_or_404(selectors.notifications_for(request.user), pk=pk)
    notifications.read(request.user, row)
    return redirect("accounts:notifications")


@verb_required(Verb.NOTIFICATION_VIEW)
@require_POST
def read_all(request: PersonRequest) -> HttpResponse:
    notifications.read_all(request.user)
    return redirect("accounts:notifications")


@verb_required(Verb.NOTIFICATION_VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: PersonRequest) -> HttpResponse:
    posted = request.POST if request.method == "POST" else None
    form = MailForm(posted, initial={"wanted": request.user.mail_wanted})
    if form.is_valid():
        services.choose_mail(request.user, form.cleaned_data["wanted"])
        wanted = request.user.mail_wanted
        said = _("Notifications come by mail as well.") if wanted else _("Notifications do not come by mail.")
        messages.info(request, said)
        return redirect("accounts:notification-settings")
    return render(request, "accounts/notification_settings.html", {"form": form})
