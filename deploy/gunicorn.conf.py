"""What gunicorn cannot be told on its command line."""

import os
import socket
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.http.unreader import SocketUnreader

# Threads have no time limit, so a slow line may take as long as it needs for its part of a file. A line that
# falls silent is another matter: without a limit it would keep its thread, and the file locked, for ever.
SILENT_SECONDS = float(os.environ.get("WEB_SILENT_SECONDS", "30"))


def pre_request(worker: Any, request: Any) -> None:
    if request.method == "PATCH":
        request.unreader.chunk = partial(_heard, request.unreader)


def _heard(unreader: SocketUnreader, size_hint: int | None = None) -> bytes:
    """What has arrived; a line that is dead ends the body, so that what came before is not lost with it."""
    if unreader.sock.gettimeout() is None:
        unreader.sock.settimeout(SILENT_SECONDS)
    try:
        return SocketUnreader.chunk(unreader, size_hint)
    except OSError:
        with suppress(OSError):
            unreader.sock.shutdown(socket.SHUT_RDWR)
        return b""
