"""Whatever a client sends within or beyond the schema, the API answers without a server error."""

import pytest
import schemathesis
from django.core import signals
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from knox.models import AuthToken

EXAMPLES = 12
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@pytest.fixture
def one_connection():
    """The application is called within the test's transaction, which must not end with the first request;
    Django's own test client does the same."""
    begun_and_ended = (signals.request_started, signals.request_finished)
    for signal in begun_and_ended:
        signal.disconnect(close_old_connections)
    yield
    for signal in begun_and_ended:
        signal.connect(close_old_connections)


@pytest.fixture
def operations(settings, done_run, one_connection):
    from wbcportal.wsgi import application

    settings.ALLOWED_HOSTS = ["*"]
    schema = schemathesis.openapi.from_wsgi("/api/schema/", application)
    return [result.ok() for result in schema.get_all_operations()]


def test_the_schema_names_every_fixed_address(operations):
    paths = {operation.path.removeprefix("/api/v1/") for operation in operations}
    fixed = ("auth/token/", "patients/", "cases/", "review/", "predict/")
    assert set(fixed) <= paths
    assert {"runs/{run_id}/", "runs/{run_id}/result/", "cases/{case_id}/report.fhir.json"} <= paths


def test_no_request_causes_a_server_error(operations, pathologist):
    """A token for every operation: one of them revokes the one it comes with."""
    for operation in operations:
        answers = check(operation, {"Authorization": f"Token {AuthToken.objects.create(pathologist)[1]}"})
        assert answers - {401}, operation.label


def check(operation, headers) -> set[int]:
    """The status codes of requests made up from the schema, by someone who is logged in."""
    seen = set()

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def send(case):
        response = case.call(headers=headers)
        seen.add(response.status_code)
        assert response.status_code < 500 or response.status_code == 503, f"{case.method} {case.path}"

    send()
    return seen
