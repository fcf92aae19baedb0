"""The settings: off by default, whole or reported."""

import pytest

from inference import checks
from inference.second_reader.choices import in_house
from inference.second_reader.door import from_settings
from tests.inference.second_reader.conftest import CONTEXT, CROP, OVERLAY
from tests.inference.second_reader.model_server import GOOD, says, slow


@pytest.fixture(autouse=True)
def nothing_set(settings):
    """As delivered, whatever the environment of the test run holds."""
    for name in ("URL", "MODEL", "KEY", "GEMINI_KEY", "GEMINI_MODEL"):
        setattr(settings, f"SECOND_READER_{name}", "")


def test_off_by_default():
    assert from_settings() is None
    assert checks.second_reader_is_whole() == []


def test_a_named_endpoint_switches_it_on(settings, serving):
    settings.SECOND_READER_URL, settings.SECOND_READER_MODEL = f"{serving.start().url}/v1", "llava"
    reading = from_settings().read(CROP, OVERLAY, CONTEXT)
    assert (reading.provider, reading.model) == ("openai_compatible", "llava")
    assert checks.second_reader_is_whole() == []


def test_gemini_alone_and_as_fallback(settings, serving):
    good, broken = serving.start(), serving.start(says("no"))
    settings.SECOND_READER_GEMINI_URL = good.url
    settings.SECOND_READER_GEMINI_KEY, settings.SECOND_READER_GEMINI_MODEL = "k", "gemini-x"
    assert from_settings().read(CROP, OVERLAY, CONTEXT).provider == "gemini"
    settings.SECOND_READER_URL, settings.SECOND_READER_MODEL = broken.url, "llava"
    assert from_settings().read(CROP, OVERLAY, CONTEXT).provider == "gemini"
    assert len(broken.received) == 1


def test_one_who_waits_leaves_every_endpoint_its_share(settings, serving):
    settings.SECOND_READER_URL = serving.start(slow(5, says(GOOD))).url
    settings.SECOND_READER_MODEL = settings.SECOND_READER_GEMINI_MODEL = "m"
    settings.SECOND_READER_GEMINI_URL, settings.SECOND_READER_GEMINI_KEY = serving.start().url, "k"
    settings.SECOND_READER_RETRIES = 0
    reading = from_settings(seconds=1.0).read(CROP, OVERLAY, CONTEXT)
    assert reading.provider == "gemini"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"URL": "http://127.0.0.1:8000/v1"}, "SECOND_READER_MODEL is not"),
        ({"MODEL": "llava"}, "SECOND_READER_URL is not"),
        ({"KEY": "k"}, "SECOND_READER_URL is not"),
        ({"GEMINI_KEY": "k"}, "SECOND_READER_GEMINI_MODEL is not"),
        ({"GEMINI_MODEL": "gemini-x"}, "SECOND_READER_GEMINI_KEY is not"),
        ({"URL": "model.example", "MODEL": "m"}, "has to be http"),
        ({"URL": "https://user:hidden@model.example/v1", "MODEL": "m"}, "no user"),
        ({"URL": "https://model.example/v1?key=hidden", "MODEL": "m"}, "no query"),
        ({"URL": "https://model.example:hidden/v1", "MODEL": "m"}, "has to be http"),
        ({"URL": "https://model.example/v1", "MODEL": "m", "KEY": "hidden\n"}, "one line of ASCII"),
        ({"TIMEOUT": 0}, "SECOND_READER_TIMEOUT is 0"),
        ({"AT_ONCE": 0}, "SECOND_READER_AT_ONCE is 0"),
        ({"RETRIES": -1}, "SECOND_READER_RETRIES is -1"),
    ],
)
def test_what_is_set_by_half_is_an_error(settings, given, problem):
    for name, value in given.items():
        setattr(settings, f"SECOND_READER_{name}", value)
    (error,) = checks.second_reader_is_whole()
    assert error.is_serious() and problem in error.msg and "hidden" not in error.msg
    reader = from_settings()
    assert reader is None or "MODEL" in given


@pytest.mark.parametrize(
    ("url", "warnings"),
    [
        ("http://model.example/v1", 1),
        ("http://8.8.8.8/v1", 1),
        ("https://model.example/v1", 0),
        ("http://127.0.0.1:11434/v1", 0),
        ("http://localhost:11434/v1", 0),
        ("http://[::1]:8000/v1", 0),
        ("http://10.1.2.3:8000/v1", 0),
        ("http://vllm:8000/v1", 0),
        ("http://models.laboratory.internal/v1", 0),
    ],
)
def test_plain_http_to_a_host_outside_is_warned_of(settings, url, warnings):
    settings.SECOND_READER_URL, settings.SECOND_READER_MODEL = url, "m"
    found = checks.second_reader_is_whole()
    assert len(found) == warnings
    assert all("unencrypted" in warning.msg and not warning.is_serious() for warning in found)


def test_a_name_that_only_looks_private_is_not():
    assert not in_house("http://10.0.0.1.evil.example/v1")
    assert not in_house("http://localhost.evil.example/v1")


def test_django_registers_the_check():
    from django.core.checks.registry import registry

    assert checks.second_reader_is_whole in registry.get_checks()
