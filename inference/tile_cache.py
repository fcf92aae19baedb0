"""Tiles that were made lie on disk for the next viewer; those not looked at for longest go first."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.conf import settings

SWEEP_EVERY = 400
"""So many new tiles are written between two looks at how much room all of them take."""

KEPT = 0.8
"""How much of the room is still taken after clearing, so that clearing is rare."""

SEEN_AFTER_SECONDS = 3600

_lock = threading.Lock()
_written = 0


def fetch(name: str) -> bytes | None:
    """A tile by its name; None where it was never made or has gone."""
    path = _path(name)
    try:
        data = path.read_bytes()
        if time.time() - path.stat().st_mtime > SEEN_AFTER_SECONDS:
            os.utime(path)
    except FileNotFoundError:
        return None
    return data


def keep(name: str, data: bytes) -> None:
    """Write a tile, so that a reader sees all of it or nothing; clear room now and then."""
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
    if _is_due():
        sweep()


def _is_due() -> bool:
    global _written
    with _lock:
        _written += 1
        return _written % SWEEP_EVERY == 0


def sweep() -> None:
    """Where the tiles take more room than they may, remove those that were looked at longest ago."""
    found = list(_all())
    total = sum(size for _, size, _ in found)
    if total <= settings.TILES_MAX_BYTES:
        return
    for _, size, path in sorted(found):
        if total <= KEPT * settings.TILES_MAX_BYTES:
            return
        # Another process may clear at the same time.
        with suppress(FileNotFoundError):
            path.unlink()
        total -= size


def _all() -> Iterator[tuple[float, int, Path]]:
    """When each tile was looked at, its size and its path; another process may clear at the same time."""
    for path in settings.TILES_DIR.glob("*/*.jpg"):
        with suppress(FileNotFoundError):
            seen = path.stat()
            yield seen.st_mtime, seen.st_size, path


def _path(name: str) -> Path:
    return Path(settings.TILES_DIR, f"{name}.jpg")
