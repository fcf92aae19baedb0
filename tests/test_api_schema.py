"""Whatever a client sends within or beyond the schema, the API answers without a server error."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from knox.models import AuthToken
from schemathesis.checks import not_a_server_error


@pytest.fixture
def api_schema(pathologist, done_run):
    from django.conf import settings as django_settings

    from wbcportal.wsgi import application

    django_settings.ALLOWED_HOSTS = ["*"]
    token = AuthToken.objects.create(pathologist)[1]
    schema = schemathesis.openapi.from_wsgi("/api/schema/", application)
    schema.config.update(headers={"Authorization": f"Token {token}"})
    return schema


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_causes_a_server_error(case):
    response = case.call()
    case.validate_response(response, checks=[not_a_server_error])
    assert response.status_code < 500
