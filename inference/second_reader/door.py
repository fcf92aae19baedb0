"""The one place where the second reader meets the settings of the installation."""

from collections.abc import Iterator
from dataclasses import replace

from django.conf import settings

from inference.second_reader.choices import Choices, Endpoint, Speaks
from inference.second_reader.reader import SecondReader


def from_settings(seconds: float | None = None) -> SecondReader | None:
    """A second reader for one run, or None where none is set up.

    With `seconds`, for a person who waits, the budget ends by then at the latest, and every endpoint gets its
    share of it.
    """
    choices = _choices()
    if not choices.endpoints:
        return None
    if seconds is not None:
        budget = min(seconds, choices.seconds)
        share = min(choices.timeout, budget / len(choices.endpoints))
        choices = replace(choices, seconds=budget, timeout=share)
    return SecondReader(choices)


def _choices() -> Choices:
    return Choices(
        endpoints=tuple(_endpoints()),
        timeout=settings.SECOND_READER_TIMEOUT,
        retries=settings.SECOND_READER_RETRIES,
        cells=settings.SECOND_READER_CELLS,
        seconds=settings.SECOND_READER_SECONDS,
        at_once=max(1, settings.SECOND_READER_AT_ONCE),
    )


def _endpoints() -> Iterator[Endpoint]:
    """Those that are set up whole; half of one is reported by the system checks."""
    url, model = settings.SECOND_READER_URL, settings.SECOND_READER_MODEL
    if url and model:
        yield Endpoint(Speaks.OPENAI, url, model, settings.SECOND_READER_KEY)
    url, model = settings.SECOND_READER_GEMINI_URL, settings.SECOND_READER_GEMINI_MODEL
    if settings.SECOND_READER_GEMINI_KEY and model:
        yield Endpoint(Speaks.GEMINI, url, model, settings.SECOND_READER_GEMINI_KEY)
