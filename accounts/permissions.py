"""Who may do what: one table from role to verbs, and the three doors that ask it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model, TextChoices
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as translate
from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from . import audit
from .models import Role, User


class Verb(TextChoices):
    """What a person can do here; the label completes "Your role cannot …"."""

    PATIENT_VIEW = "patient.view", _("see patients")
    PATIENT_CREATE = "patient.create", _("enter new patients")
    PATIENT_EDIT = "patient.edit", _("change patients")
    CASE_VIEW = "case.view", _("see cases")
    CASE_CREATE = "case.create", _("open cases")
    CASE_EDIT = "case.edit", _("change cases")
    STAGING_REQUEST = "staging.request", _("request leukemia staging")
    QUESTION_ASK = "question.ask", _("ask the pathologist a question")
    QUESTION_ANSWER = "question.answer", _("answer questions")
    SMEAR_UPLOAD = "smear.upload", _("upload smears")
    RUN_VIEW = "run.view", _("see analyses")
    RUN_RETRY = "run.retry", _("repeat an analysis")
    REVIEW_VIEW = "review.view", _("see the review queue")
    REVIEW_CLAIM = "review.claim", _("claim a slide for review")
    REVIEW_DECIDE = "review.decide", _("review cells")
    SMEAR_COUNT = "smear.count", _("count cells by hand")
    SLIDE_SIGN_OFF = "slide.sign_off", _("sign off slides")
    REPORT_VIEW = "report.view", _("see reports")
    REPORT_DRAFT = "report.draft", _("draft reports")
    REPORT_SIGN = "report.sign", _("sign reports")
    REPORT_AMEND = "report.amend", _("amend reports")
    REPORT_DOWNLOAD = "report.download", _("download reports")
    LAB_PEOPLE = "lab.people", _("manage the people of the laboratory")
    LAB_RANGES = "lab.ranges", _("change reference ranges")
    LAB_STAGING = "lab.staging", _("change whether leukemia staging is offered")
    LAB_NETWORKS = "lab.networks", _("choose the network of the laboratory")
    LAB_REVIEW = "lab.review", _("change how cells are reviewed")
    LAB_AGREEMENT = "lab.agreement", _("see how far readers agree")
    LAB_AUDIT = "lab.audit", _("read the audit trail")
    NOTIFICATION_VIEW = "notification.view", _("see notifications")
    TOKEN_MANAGE = "token.manage", _("manage API tokens")
    THEME_CHOOSE = "theme.choose", _("choose a theme")


EVERYONE = frozenset({Verb.NOTIFICATION_VIEW, Verb.TOKEN_MANAGE, Verb.THEME_CHOOSE})
CLINICIAN = EVERYONE | {
    Verb.PATIENT_VIEW,
    Verb.PATIENT_CREATE,
    Verb.PATIENT_EDIT,
    Verb.CASE_VIEW,
    Verb.CASE_CREATE,
    Verb.CASE_EDIT,
    Verb.STAGING_REQUEST,
    Verb.QUESTION_ASK,
    Verb.SMEAR_UPLOAD,
    Verb.RUN_VIEW,
    Verb.RUN_RETRY,
    Verb.REPORT_VIEW,
    Verb.REPORT_DOWNLOAD,
}
PATHOLOGIST = CLINICIAN | {
    Verb.QUESTION_ANSWER,
    Verb.REVIEW_VIEW,
    Verb.REVIEW_CLAIM,
    Verb.REVIEW_DECIDE,
    Verb.SMEAR_COUNT,
    Verb.SLIDE_SIGN_OFF,
    Verb.REPORT_DRAFT,
    Verb.REPORT_SIGN,
    Verb.REPORT_AMEND,
}
ADMINISTRATOR = EVERYONE | {
    Verb.PATIENT_VIEW,
    Verb.CASE_VIEW,
    Verb.RUN_VIEW,
    Verb.REPORT_VIEW,
    Verb.LAB_PEOPLE,
    Verb.LAB_RANGES,
    Verb.LAB_STAGING,
    Verb.LAB_NETWORKS,
    Verb.LAB_REVIEW,
    Verb.LAB_AGREEMENT,
    Verb.LAB_AUDIT,
}
ROLE_VERBS: dict[Role, frozenset[Verb]] = {
    Role.CLINICIAN: CLINICIAN,
    Role.PATHOLOGIST: PATHOLOGIST,
    Role.ADMINISTRATOR: ADMINISTRATOR,
}


class Refused(PermissionDenied):
    """The person's role does not hold the verb; the text is for the person."""

    def __init__(self, user: User, verb: Verb) -> None:
        super().__init__(
            translate("Your role (%(role)s) cannot %(verb)s.")
            % {
                "role": user.get_role_display(),
                "verb": verb.label,
            }
        )
        self.verb = verb


def may(user: User | AnonymousUser, verb: Verb) -> bool:
    """Whether the role of this person holds the verb; nobody without an active account holds any."""
    return isinstance(user, User) and user.is_active and verb in ROLE_VERBS[Role(user.role)]


def roles_with(verb: Verb) -> list[Role]:
    """The roles that hold a verb."""
    return [role for role, verbs in ROLE_VERBS.items() if verb in verbs]


def require(user: User | AnonymousUser, verb: Verb, target: Model | None = None) -> None:
    """Raises Refused, and leaves a refused audit line that outlives the transaction, when `may` says no."""
    if may(user, verb):
        return
    if not isinstance(user, User):
        raise PermissionDenied(translate("Sign in first."))
    audit.refused(user, verb, target)
    raise Refused(user, verb)


View = Callable[..., HttpResponseBase]


class PersonRequest(HttpRequest):
    """A request that `verb_required` let through: somebody with an active account made it."""

    user: User


def verb_required(verb: Verb) -> Callable[[View], View]:
    """Opens a page to people whose role holds the verb; the anonymous are sent to the login page."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            require(request.user, verb)
            return view(request, *args, **kwargs)

        return login_required(checked)

    return decorate


class MayVerb(BasePermission):
    """Asks the table for the verb of `view.permission_verbs`, by action or, in a plain APIView, by method."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not request.user.is_authenticated:
            return False
        if verb := _verb_of(request, view):
            require(request.user, verb)
        return True


def _verb_of(request: Request, view: APIView) -> Verb | None:
    """None for OPTIONS and for methods the view does not have, which end as 405."""
    verbs: dict[str, Verb] = view.permission_verbs  # type: ignore[attr-defined]
    method = (request.method or "").lower()
    if method == "options":
        return None
    if hasattr(view, "action"):
        return verbs[view.action] if view.action else None
    return verbs["get" if method == "head" else method] if hasattr(view, method) else None
