"""One cell to a language model and back; whatever goes wrong, there is simply no reading."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Protocol

from inference.pipeline.cell_words import Reading
from inference.second_reader import schema
from inference.second_reader.breaker import Breaker, Open
from inference.second_reader.budget import Budget, Spent
from inference.second_reader.choices import Choices, Endpoint, Speaks
from inference.second_reader.gemini import Gemini
from inference.second_reader.openai_compatible import OpenAICompatible
from inference.second_reader.png import bare_png
from inference.second_reader.posting import Failed
from inference.second_reader.prompt import PROMPT_VERSION, ClassContext, Question, question

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = 0.5
FAIR_SHARE = 0.9
"""An endpoint that was given less of its time than this is not to blame for being late."""

Sight = tuple[bytes, bytes, ClassContext]
"""A cell as it is read: its crop and its crop under the heat map, both PNG, and the class context."""


class Provider(Protocol):
    """Asks one endpoint."""

    endpoint: Endpoint

    def ask(self, question: Question, seconds: float) -> str: ...


PROVIDERS: dict[Speaks, Callable[[Endpoint], Provider]] = {
    Speaks.OPENAI: OpenAICompatible,
    Speaks.GEMINI: Gemini,
}


@cache
def _guarded(endpoint: Endpoint) -> tuple[Provider, Breaker]:
    """One of each per process: what an endpoint takes and whether it fails is remembered between runs."""
    return PROVIDERS[endpoint.speaks](endpoint), Breaker()


class SecondReader:
    """Reads cells for one run, within its budget. Each run has its own."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._budget = Budget(choices.cells, choices.seconds)

    def read(self, crop_png: bytes, overlay_png: bytes, context: ClassContext) -> Reading | None:
        """Ask the endpoints in turn about one cell; None when none gave a valid answer within the budget.

        Raises ValueError for pictures that are no crops of one cell; failures of endpoints raise nothing.
        """
        asked = question(context, (bare_png(crop_png), bare_png(overlay_png)))
        if not self._budget.take():
            return None
        readings = (self._read_by(endpoint, asked) for endpoint in self._choices.endpoints)
        return next((reading for reading in readings if reading), None)

    def read_all(self, sights: Sequence[Sight]) -> list[Reading | None]:
        """Read cells, as many at once as is chosen; one reading or None for each, in the same order."""
        with ThreadPoolExecutor(self._choices.at_once) as threads:
            return list(threads.map(lambda sight: self.read(*sight), sights))

    def _read_by(self, endpoint: Endpoint, asked: Question) -> Reading | None:
        provider, breaker = _guarded(endpoint)
        begun = time.monotonic()
        try:
            answer = breaker.call(lambda: self._answer(provider, asked))
        except (Failed, Open, Spent) as reason:
            level = logging.WARNING if isinstance(reason, Failed) else logging.DEBUG
            logger.log(level, "No second reading by %s: %s", endpoint.speaks.value, reason)
            return None
        return Reading(
            provider=endpoint.speaks.value,
            model=endpoint.model,
            prompt_version=PROMPT_VERSION,
            focus=answer.focus,
            structures=tuple(answer.structures),
            plausible=answer.plausible,
            comment=answer.comment,
            seconds=round(time.monotonic() - begun, 3),
        )

    def _answer(self, provider: Provider, asked: Question) -> schema.Answer:
        """Ask until a valid answer comes or a repetition is of no use."""
        for attempt in range(self._choices.retries):
            try:
                return self._ask(provider, asked)
            except Failed as failed:
                self._wait_after(failed, attempt)
        return self._ask(provider, asked)

    def _ask(self, provider: Provider, asked: Question) -> schema.Answer:
        seconds = min(self._choices.timeout, self._budget.left())
        if seconds <= 0:
            raise Spent("the budget of the run is spent")
        try:
            return schema.parse(provider.ask(asked, seconds))
        except Failed as failed:
            if failed.timed_out and seconds < FAIR_SHARE * self._choices.timeout:
                raise Spent("the budget of the run ended before the answer came") from None
            raise

    def _wait_after(self, failed: Failed, attempt: int) -> None:
        """Wait before the next attempt as long as the endpoint asks; raise the failure if that is no use."""
        backoff = BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1.5)
        pause = backoff if failed.wait is None else failed.wait
        if not failed.passing or pause >= min(self._choices.timeout, self._budget.left()):
            raise failed
        time.sleep(pause)
