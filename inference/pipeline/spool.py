"""Keeps arrays on disk instead of in memory until somebody wants them."""

import os
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Spool:
    """A nameless file that arrays are put away in; it is gone when nobody holds the spool or its arrays."""

    def __init__(self) -> None:
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - open as long as the spool is held
        self._end = 0

    def keep(self, array: NDArray[Any]) -> "Spooled":
        """Put an array of any shape and dtype away; raises OSError when the disk is full."""
        kept = Spooled(self, self._end, array.shape, array.dtype)
        data = memoryview(array.tobytes())
        while data:
            written = os.pwrite(self._file.fileno(), data, self._end)
            data, self._end = data[written:], self._end + written
        return kept

    def fetch(self, start: int, length: int) -> bytes:
        """Read bytes back."""
        return os.pread(self._file.fileno(), length, start)


@dataclass(frozen=True, slots=True)
class Spooled:
    """An array in a spool; ``np.asarray`` brings it back, each time anew."""

    spool: Spool
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        length = int(np.prod(self.shape)) * self.dtype.itemsize
        array = np.frombuffer(self.spool.fetch(self.start, length), self.dtype).reshape(self.shape)
        return array if dtype is None else array.astype(dtype)
