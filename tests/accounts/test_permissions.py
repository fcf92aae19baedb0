"""The table of roles and verbs, and the doors that ask it."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from accounts import audit
from accounts.models import AuditEvent, Role, User
from accounts.permissions import ROLE_VERBS, MayVerb, Refused, Verb, may, require, verb_required

REVIEWING = {
    Verb.QUESTION_ANSWER,
    Verb.REVIEW_CLAIM,
    Verb.REVIEW_DECIDE,
    Verb.SMEAR_COUNT,
    Verb.SLIDE_SIGN_OFF,
    Verb.REPORT_DRAFT,
    Verb.REPORT_SIGN,
    Verb.REPORT_AMEND,
}
ADMINISTERING = {
    Verb.LAB_PEOPLE,
    Verb.LAB_RANGES,
    Verb.LAB_STAGING,
    Verb.LAB_NETWORKS,
    Verb.LAB_REVIEW,
    Verb.LAB_AGREEMENT,
    Verb.LAB_AUDIT,
}


def test_every_role_is_in_the_table_and_every_verb_is_held_by_somebody():
    assert set(ROLE_VERBS) == set(Role)
    assert frozenset().union(*ROLE_VERBS.values()) == set(Verb)


def test_only_pathologists_review_and_sign():
    assert ROLE_VERBS[Role.PATHOLOGIST] >= REVIEWING
    assert not REVIEWING & (ROLE_VERBS[Role.CLINICIAN] | ROLE_VERBS[Role.ADMINISTRATOR])


def test_only_administrators_administer_and_they_change_nothing_clinical():
    assert ROLE_VERBS[Role.ADMINISTRATOR] >= ADMINISTERING
    assert not ADMINISTERING & (ROLE_VERBS[Role.CLINICIAN] | ROLE_VERBS[Role.PATHOLOGIST])
    clinical = ROLE_VERBS[Role.ADMINISTRATOR] - ADMINISTERING - {Verb.TOKEN_MANAGE, Verb.THEME_CHOOSE}
    assert all(verb.value.endswith(".view") for verb in clinical)


def test_a_pathologist_may_all_a_clinician_may():
    assert ROLE_VERBS[Role.PATHOLOGIST] > ROLE_VERBS[Role.CLINICIAN]


@pytest.mark.parametrize("status", [User.Status.PENDING, User.Status.SUSPENDED, User.Status.REFUSED])
def test_without_an_active_account_nothing_is_allowed(pathologist, status):
    assert may(pathologist, Verb.REPORT_SIGN)
    pathologist.status = status
    assert not may(pathologist, Verb.REPORT_SIGN)


def test_the_anonymous_may_nothing():
    assert not any(may(AnonymousUser(), verb) for verb in Verb)


def test_a_refusal_says_why_and_leaves_a_line(clinician):
    with pytest.raises(Refused, match=r"Your role \(Clinician\) cannot sign reports\."):
        require(clinician, Verb.REPORT_SIGN, clinician)
    line = AuditEvent.objects.get(verb="report.sign")
    assert (line.actor, line.outcome, line.object_id) == (clinician, "refused", str(clinician.pk))


@pytest.mark.django_db(transaction=True)
def test_a_refused_line_outlives_the_transaction_it_happened_in(clinician):
    with pytest.raises(PermissionDenied), audit.source("192.0.2.7"), transaction.atomic():
        audit.record(clinician, "case.create")
        require(clinician, Verb.REPORT_SIGN)
    lines = AuditEvent.objects.filter(actor=clinician)
    assert [(line.verb, line.outcome, line.ip_address) for line in lines] == [
        ("report.sign", "refused", "192.0.2.7")
    ]


def test_a_page_sends_the_anonymous_to_the_login_page(rf):
    page = verb_required(Verb.CASE_VIEW)(lambda request: HttpResponse("inside"))
    request = rf.get("/somewhere/")
    request.user = AnonymousUser()
    answer = page(request)
    assert answer.status_code == 302
    assert answer.url == "/accounts/login/?next=/somewhere/"


def test_a_page_opens_to_who_may(rf, clinician):
    page = verb_required(Verb.CASE_VIEW)(lambda request: HttpResponse("inside"))
    request = rf.get("/somewhere/")
    request.user = clinician
    assert page(request).content == b"inside"


class Signing(APIView):
    permission_classes = (MayVerb,)
    permission_verbs = {"get": Verb.REPORT_VIEW, "post": Verb.REPORT_SIGN}

    def get(self, request):
        return Response("read")

    def post(self, request):
        return Response("signed")


def answer(method, user=None):
    request = APIRequestFactory().generic(method, "/")
    if user is not None:
        force_authenticate(request, user)
    return Signing.as_view()(request)


def test_the_api_asks_the_table_by_method(clinician, pathologist):
    assert answer("GET", clinician).status_code == 200
    assert answer("HEAD", clinician).status_code == 200
    assert answer("POST", clinician).status_code == 403
    assert "cannot sign reports" in str(answer("POST", clinician).data["error"]["message"])
    assert answer("POST", pathologist).status_code == 200
    assert answer("PUT", pathologist).status_code == 405
    assert answer("GET").status_code == 401
