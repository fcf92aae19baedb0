"""What one run may spend on the second reader."""

import threading
import time


class Spent(Exception):
    """The budget of the run ended before an answer came, which is not the endpoint's fault."""


class Budget:
    """So many cells, and so many seconds from the first cell on; may be used from several threads."""

    def __init__(self, cells: int, seconds: float) -> None:
        self._cells, self._seconds = cells, seconds
        self._ends: float | None = None
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one cell out of the budget; False when there is none left, or no time."""
        with self._lock:
            if self._ends is None:
                self._ends = time.monotonic() + self._seconds
            if self._cells <= 0 or self.left() <= 0:
                return False
            self._cells -= 1
            return True

    def left(self) -> float:
        """How many seconds are left."""
        return self._seconds if self._ends is None else self._ends - time.monotonic()
