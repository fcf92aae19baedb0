"""Images that the viewer reads from stay open for a while: the last few, each opened once."""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from inference.tiles import Source

OPEN_AT_MOST = 4


@dataclass(eq=False)
class Opened:
    """An open image; whatever it needed is let go when nobody reads from it any more."""

    source: Source
    holds: ExitStack

    def __post_init__(self) -> None:
        weakref.finalize(self, self.holds.close)


class Shelf:
    """The images opened last. Threads that ask for the same one wait for the first to open it."""

    def __init__(self, at_most: int = OPEN_AT_MOST) -> None:
        self._at_most = at_most
        self._lock = threading.Lock()
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._opening: dict[str, threading.Lock] = {}

    def take(self, key: str, opened: Callable[[], Opened]) -> Opened:
        """The image of this key, opened by `opened` if it is not; what that raises is raised here."""
        with self._lock:
            door = self._opening.setdefault(key, threading.Lock())
        with door:
            with self._lock:
                if found := self._opened.get(key):
                    self._opened.move_to_end(key)
                    return found
            return self._put(key, opened())

    def _put(self, key: str, made: Opened) -> Opened:
        with self._lock:
            self._opened[key] = made
            self._opening.pop(key, None)
            while len(self._opened) > self._at_most:
                self._opened.popitem(last=False)
        return made
