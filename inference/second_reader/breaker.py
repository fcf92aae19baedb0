"""A circuit breaker: an endpoint that keeps failing is left alone a while (Nygard 2007, "Release It!")."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from inference.second_reader.posting import Failed

T = TypeVar("T")

FAILURES = 3
PAUSE_SECONDS = 60.0


class Open(Exception):
    """The endpoint is left alone for now."""


class Breaker:
    """Opens after so many failures in a row; after the pause one call tries again, the others still wait."""

    def __init__(
        self,
        failures: int = FAILURES,
        pause: float = PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._pause, self._clock = failures, pause, clock
        self._in_a_row = 0
        self._open_until = 0.0
        self._lock = threading.Lock()

    def call(self, work: Callable[[], T]) -> T:
        """Do the work unless the breaker is open. Only Failed counts as a failure. Raises Open."""
        self._enter()
        try:
            result = work()
        except Failed:
            self._count()
            raise
        self._reset()
        return result

    def _enter(self) -> None:
        with self._lock:
            if self._in_a_row < self._limit:
                return
            now = self._clock()
            if now < self._open_until:
                raise Open("left alone after failures in a row")
            # One call tries; were it to end without a verdict, the next one tries after another pause.
            self._open_until = now + self._pause

    def _count(self) -> None:
        with self._lock:
            self._in_a_row += 1
            self._open_until = self._clock() + self._pause

    def _reset(self) -> None:
        with self._lock:
            self._in_a_row = 0
