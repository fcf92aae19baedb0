"""Pages of the laboratory administration and of one's own API tokens."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from . import selectors, services
from .forms import (
    AuditFilterForm,
    DiameterForm,
    GradeForm,
    RangeForm,
    ReviewForm,
    RoleForm,
    SignOffForm,
    StagingForm,
    ThemeForm,
    TokenForm,
)
from .models import Role, User
from .permissions import PersonRequest, Verb, verb_required
from .ranges import LEUKOCYTES, RED_CELLS, RedCellLimits

DECISIONS: dict[str, Callable[[User, User], None]] = {
    "approve": services.approve,
    "refuse": services.refuse,
    "suspend": services.suspend,
    "readmit": services.readmit,
}
LINES_PER_PAGE = 50


@verb_required(Verb.LAB_PEOPLE)
@require_http_methods(["GET", "HEAD"])
def people(request: PersonRequest) -> HttpResponse:
    everyone = selectors.people_for(request.user)
    waiting = [person for person in everyone if person.status == User.Status.PENDING]
    known = [person for person in everyone if person.status != User.Status.PENDING]
    context = {"waiting": waiting, "known": known, "roles": Role.choices, "nav_section": "laboratory"}
    return render(request, "accounts/people.html", context)


@verb_required(Verb.LAB_PEOPLE)
@require_POST
def decide(request: PersonRequest, pk: UUID, decision: str) -> HttpResponse:
    if decision not in DECISIONS:
        raise Http404
    person = get_object_or_404(selectors.people_for(request.user), pk=pk)
    return _done(request, person, lambda: DECISIONS[decision](request.user, person))


@verb_required(Verb.LAB_PEOPLE)
@require_POST
def change_role(request: PersonRequest, pk: UUID) -> HttpResponse:
    person = get_object_or_404(selectors.people_for(request.user), pk=pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return HttpResponse(_("There is no such role."), status=422, content_type="text/plain")
    role = Role(form.cleaned_data["role"])
    return _done(request, person, lambda: services.set_role(request.user, person, role))


def _done(request: PersonRequest, person: User, verb: Callable[[], None]) -> HttpResponse:
    """Carries the verb out and says on the next page how the account stands, or why it was left as it is."""
    try:
        verb()
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    else:
        facts = {"name": person, "role": person.get_role_display(), "status": person.get_status_display()}
        messages.info(request, _("%(name)s: %(role)s, %(status)s.") % facts)
    return redirect("accounts:people")


@verb_required(Verb.LAB_RANGES)
@require_http_methods(["GET", "HEAD", "POST"])
def ranges(request: PersonRequest) -> HttpResponse:
    known = selectors.ranges_of(request.user.lab_id)
    forms = [_range_form(request, cell_class, known.get(cell_class)) for cell_class in LEUKOCYTES]
    valid = [form.is_valid() for form in forms]
    if request.method == "POST" and all(valid):
        services.save_ranges(request.user, dict(_limits(form) for form in forms if form.has_limits))
        messages.info(request, _("The reference ranges are saved. Signed reports keep the ranges they have."))
        return redirect("accounts:ranges")
    rows = list(zip(LEUKOCYTES.values(), forms, strict=True))
    offered = selectors.staging_is_offered(request.user.lab_id)
    staging_form = StagingForm(initial={"offered": offered})
    context = {"rows": rows, "staging_form": staging_form, "nav_section": "laboratory"}
    return render(request, "accounts/ranges.html", context, status=422 if request.POST else 200)


def _range_form(request: PersonRequest, cell_class: str, limits: tuple[float, float] | None) -> RangeForm:
    low, high = limits or (None, None)
    data = request.POST if request.method == "POST" else None
    name = str(LEUKOCYTES[cell_class])
    return RangeForm(data, cell_class=cell_class, name=name, initial={"low": low, "high": high})


def _limits(form: RangeForm) -> tuple[str, tuple[float, float]]:
    return form.cell_class, (form.cleaned_data["low"], form.cleaned_data["high"])


@verb_required(Verb.LAB_RANGES)
@require_http_methods(["GET", "HEAD", "POST"])
def red_cells(request: PersonRequest) -> HttpResponse:
    """Normal diameters and the limits of grades."""
    known = selectors.red_cell_limits(request.user.lab_id)
    data = request.POST if request.method == "POST" else None
    low, high = known.diameter_um
    sizes = DiameterForm(data, prefix="diameter", initial={"low": low, "high": high})
    forms = [GradeForm(data, key, str(name), known.grades_percent[key]) for key, name in RED_CELLS.items()]
    valid = [form.is_valid() for form in (sizes, *forms)]
    if data is not None and all(valid):
        diameter_um = sizes.cleaned_data["low"], sizes.cleaned_data["high"]
        grades = {form.cell_class: form.limits for form in forms}
        services.save_red_cell_limits(request.user, RedCellLimits(diameter_um, grades))
        messages.info(request, _("The limits for red cells are saved. Signed reports keep their grades."))
        return redirect("accounts:red_cells")
    rows = list(zip(RED_CELLS.values(), forms, strict=True))
    context = {"sizes": sizes, "rows": rows, "nav_section": "laboratory"}
    return render(request, "accounts/red_cells.html", context, status=200 if data is None else 422)


@verb_required(Verb.LAB_RANGES)
@require_http_methods(["GET", "HEAD", "POST"])
def sign_off(request: PersonRequest) -> HttpResponse:
    """What the laboratory asks for before a slide is signed off."""
    known = selectors.sign_off_limits(request.user.lab_id)
    form = SignOffForm(request.POST or None, initial=SignOffForm.showing(known))
    if form.is_valid():
        services.save_sign_off_limits(request.user, form.limits)
        messages.info(request, _("The limits for the sign-off are saved. What is signed stays as it is."))
        return redirect("accounts:sign_off")
    context = {"form": form, "nav_section": "laboratory"}
    return render(request, "accounts/sign_off.html", context, status=422 if form.is_bound else 200)


@verb_required(Verb.LAB_STAGING)
@require_POST
def staging(request: PersonRequest) -> HttpResponse:
    """Offer leukemia staging, or offer it no longer; the form is on the page of the reference ranges."""
    form = StagingForm(request.POST)
    form.is_valid()
    offered = form.cleaned_data["offered"]
    services.offer_staging(request.user, offered)
    said = _("Leukemia staging is offered.") if offered else _("Leukemia staging is not offered.")
    messages.info(request, said)
    return redirect("accounts:ranges")


@verb_required(Verb.LAB_REVIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def review(request: PersonRequest) -> HttpResponse:
    """How cells are reviewed: second pathologist, blind share."""
    lab = request.user.lab
    kept = {"double_reading": lab.double_reading, "blind_percent": lab.blind_percent}
    form = ReviewForm(request.POST if request.method == "POST" else None, initial=kept)
    if form.is_valid():
        services.save_review_settings(request.user, **form.cleaned_data)
        messages.info(request, _("The settings of the review are saved. They count for calls from now on."))
        return redirect("accounts:review")
    context = {"form": form, "nav_section": "laboratory"}
    return render(request, "accounts/review.html", context, status=422 if form.is_bound else 200)


@verb_required(Verb.LAB_AUDIT)
@require_http_methods(["GET", "HEAD"])
def trail(request: PersonRequest) -> HttpResponse:
    form = AuditFilterForm(request.GET, verbs=selectors.audit_verbs(request.user))
    wanted = form.cleaned_data if form.is_valid() else {}
    events = selectors.filtered_audit(request.user, wanted)
    page = Paginator(events, LINES_PER_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "nav_section": "laboratory"}
    return render(request, "accounts/audit.html", context)


@never_cache
@verb_required(Verb.TOKEN_MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: PersonRequest) -> HttpResponse:
    """The secret is in the answer that made it, and nowhere afterwards."""
    form, secret = TokenForm(request.POST or None), ""
    if form.is_valid():
        secret, _expiry = services.create_token(request.user, form.cleaned_data["days"])
    context = {"form": form, "secret": secret, "tokens": selectors.tokens_for(request.user)}
    return render(request, "accounts/tokens.html", context)


@verb_required(Verb.TOKEN_MANAGE)
@require_POST
def revoke(request: PersonRequest, digest: str) -> HttpResponse:
    token = get_object_or_404(selectors.tokens_for(request.user), pk=digest)
    services.revoke_token(request.user, token)
    messages.info(request, _("The token is revoked."))
    return redirect("accounts:tokens")


@verb_required(Verb.THEME_CHOOSE)
@require_POST
def theme(request: PersonRequest) -> HttpResponse:
    """Stores the theme. A script has dressed the page already; without one the page is loaded again."""
    form = ThemeForm(request.POST)
    if not form.is_valid():
        return HttpResponse(
            _("There is no such theme: choose system, light or dark."), status=422, content_type="text/plain"
        )
    services.choose_theme(request.user, form.cleaned_data["theme"])
    if "HX-Request" in request.headers:
        return HttpResponse(status=204)
    back = request.POST.get("next", "")
    return redirect(back if url_has_allowed_host_and_scheme(back, {request.get_host()}) else "/")
