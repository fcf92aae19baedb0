"""Every address refuses the wrong person: a visitor is sent to log in, another laboratory finds nothing.

Addresses are read from the resolver, so that a new one is tried from its first day.
"""

import pytest
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse

from accounts.models import Role
from tests.conftest import person

OPEN = ("account_", "mfa_", "api-schema", "api-docs")
"""Prefixes of the addresses anybody may open: logging in and the description of the API."""

OWN = ("accounts:tokens", "accounts:api-token", "inference:api-predict")
"""Addresses that answer everyone with an account, about nobody's things but the person's own."""

SECRETS = ("H26-0001", "MRN-001", "Ames", "Clara Clinic", "1.1.0+ames")
"""Words that only people of the first laboratory may read."""


def walk(patterns, namespace=""):
    for entry in patterns:
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from walk(entry.url_patterns, inner)
        elif isinstance(entry, URLPattern) and entry.name:
            yield f"{namespace}{entry.name}", tuple(entry.pattern.converters)


ADDRESSES = sorted({pair for pair in walk(get_resolver().url_patterns) if not pair[0].startswith(OPEN)})
WITHOUT_THINGS = [name for name, arguments in ADDRESSES if not arguments and name not in OWN]
WITH_THINGS = [(name, arguments) for name, arguments in ADDRESSES if arguments]


@pytest.fixture
def things(lab, case, patient, done_run, clinician, administrator, pathologist):
    """What an argument of an address may stand for; one name may stand for several things."""
    from knox.models import AuthToken

    from accounts.notifications import Event, Kind, notify
    from accounts.selectors import notifications_for
    from cases.questions import ask
    from cases.resumable import begin
    from inference.models import CandidateNetwork, CriticalCall, ManualCount, Rehearsal
    from inference.selectors import runs_for

    run = runs_for(pathologist).get(pk=done_run.pk)
    cell = run.cells.get(number=8)
    token = AuthToken.objects.create(clinician)[0]
    upload = begin(clinician, case, name="slide.svs", size_bytes=1000)
    count = ManualCount.objects.create(
        lab=lab, smear=run.smear, reader=pathologist, target=100, counts={"neutrophil": 1}
    )
    network = CandidateNetwork.objects.create(lab=lab, version="1.1.0+ames", sha256="0" * 64)
    rehearsal = Rehearsal.objects.create(
        lab=lab, candidate=network, requested_by=administrator, cases_wanted=1
    )
    question = ask(clinician, case, "Ames again?")
    call = CriticalCall.objects.create(
        lab=lab,
        case=case,
        finding="first_blasts",
        says="Ames",
        told="Dr Wade",
        told_by="Paul Path",
        told_at=case.collected_at,
        how="phone",
        read_back=True,
        recorded_by=pathologist,
    )
    notify([clinician], Event(Kind.REPORT_SIGNED, case, "once"))
    told = notifications_for(clinician).get()
    everything = (case.pk, patient.pk, run.smear_id, run.pk, cell.pk, clinician.pk, upload.pk, told.pk)
    return {
        "pk": everything,
        "case_id": (case.pk,),
        "patient_id": (patient.pk,),
        "smear_id": (run.smear_id,),
        "run_id": (run.pk,),
        "upload_id": (upload.pk,),
        "question_id": (question.pk,),
        "call_id": (call.pk,),
        "cell_id": (cell.pk,),
        "count_id": (count.pk,),
        "candidate_id": (network.pk,),
        "rehearsal_id": (rehearsal.pk,),
        "reader_id": (pathologist.pk,),
        "number": (8,),
        "kind": ("WBC",),
        "level": (0,),
        "column": (0,),
        "row": (0,),
        "version": (1,),
        "before": (1,),
        "after": (1,),
        "form": ("report.pdf", "report.json", "pdf", "json"),
        "digest": (token.digest,),
        "decision": ("suspend", "approve"),
    }


def paths(name, arguments, things):
    """Every address that the things can be put into."""
    candidates = [{}]
    for argument in arguments:
        candidates = [{**chosen, argument: thing} for chosen in candidates for thing in things[argument]]
    found = []
    for chosen in candidates:
        try:
            found.append(reverse(name, kwargs=chosen))
        except NoReverseMatch:
            continue
    assert found, f"no thing fits {name} {arguments}"
    return found


def answers(client, path):
    return {method: getattr(client, method)(path) for method in ("get", "post", "put", "patch", "delete")}


def test_the_list_of_addresses_is_whole():
    assert len(WITH_THINGS) > 25
    assert len(WITHOUT_THINGS) > 8


@pytest.mark.parametrize(("name", "arguments"), WITH_THINGS)
def test_another_laboratory_finds_nothing(name, arguments, things, stranger, other_lab, client_for):
    """404, or 403/405 where the role or the method is refused before anything is looked for."""
    outsider = person(other_lab, Role.ADMINISTRATOR, "Otto Outside")
    seen = set()
    for who in (stranger, outsider):
        for path in paths(name, arguments, things):
            for method, response in answers(client_for(who), path).items():
                assert response.status_code in (403, 404, 405), f"{who.role} {method} {path}"
                assert not any(word in response.content.decode() for word in SECRETS)
                seen.add(response.status_code)
    assert 404 in seen, f"{name} never looked for anything"


@pytest.mark.parametrize(("name", "arguments"), WITH_THINGS)
def test_a_visitor_is_sent_to_log_in(name, arguments, things, client_for):
    for path in paths(name, arguments, things):
        assert not let_in(client_for(None), path)


@pytest.mark.parametrize("name", WITHOUT_THINGS)
def test_a_visitor_sees_no_list(name, db, client_for):
    assert not let_in(client_for(None), reverse(name))


def let_in(visitor, path) -> list[str]:
    """The methods that answered anything but a refusal or the way to the login page."""
    return [
        f"{method} {path}: {response.status_code}"
        for method, response in answers(visitor, path).items()
        if response.status_code not in (401, 403, 404, 405)
        and not (response.status_code == 302 and "/accounts/login/" in response["Location"])
    ]


@pytest.mark.parametrize("name", WITHOUT_THINGS)
def test_lists_of_another_laboratory_name_nobody_here(name, things, stranger, other_lab, client_for):
    outsider = person(other_lab, Role.ADMINISTRATOR, "Otto Outside")
    for who in (stranger, outsider):
        response = client_for(who).get(reverse(name))
        assert response.status_code in (200, 204, 302, 403, 405)
        assert not any(word in response.content.decode() for word in SECRETS)
