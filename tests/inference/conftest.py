"""A worker for the tests of what callers wait for, requests for staging, and more readers than one."""

import json

import pytest

from accounts import services
from accounts.models import DoubleReading, Role
from accounts.services import offer_staging
from inference import answers, staging_requests, tasks
from inference.models import StageCall
from tests.conftest import person


@pytest.fixture
def colleague(lab):
    return person(lab, Role.PATHOLOGIST, "Petra Peer")


@pytest.fixture
def third(lab):
    return person(lab, Role.PATHOLOGIST, "Theo Third")


@pytest.fixture
def always(administrator):
    """A second pathologist calls every reviewed cell."""
    services.save_review_settings(administrator, DoubleReading.ALL, 0)


@pytest.fixture
def all_blind(administrator):
    """Every cell in review is called without the machine's call in sight."""
    services.save_review_settings(administrator, DoubleReading.OFF, 100)


@pytest.fixture
def at_once(monkeypatch):
    """A worker who answers within the request: the task itself, without a broker in between."""
    given = {}

    def answer_of(task, arguments):
        getattr(tasks, task.rpartition(".")[2])("here", *arguments)
        return json.loads(given["here"])

    monkeypatch.setattr(answers, "give", lambda place, said: given.update({place: json.dumps(said)}))
    monkeypatch.setattr(answers, "_answer_of", answer_of)


@pytest.fixture
def sent(monkeypatch):
    """What is handed to the broker, by the name of the task."""
    messages = []
    monkeypatch.setattr(
        "celery.current_app.send_task", lambda name, args=(), **_: messages.append((name, *args))
    )
    return messages


@pytest.fixture
def offered(administrator, sent):
    offer_staging(administrator, True)


@pytest.fixture
def requested(offered, done_run, clinician):
    """An analysed smear whose staging is requested afterwards."""
    staging_requests.request(clinician, done_run.smear.case)
    return StageCall.objects.get(run=done_run)
