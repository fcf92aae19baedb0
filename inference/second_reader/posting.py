"""One request to an endpoint: bounded in time and size, without redirects, and silent about keys."""

import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import cache
from threading import Thread
from typing import Any

import httpx2

MAX_BYTES = 256 * 1024
CONNECT_SECONDS = 5.0
PASSING = frozenset({408, 429, 500, 502, 503, 504, 529})
"""The statuses after which the same request may succeed a little later."""

COMMON_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "wbc-portal"}


class Failed(Exception):
    """An endpoint gave no answer that can be used. The text never holds what was sent or what came back.

    `passing` says that a repetition may help, `wait` how many seconds the endpoint asks to be left alone.
    """

    def __init__(
        self, text: str, *, status: int | None = None, timed_out: bool = False, wait: float | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.timed_out = timed_out
        self.wait = wait

    @property
    def passing(self) -> bool:
        return self.timed_out or self.status in PASSING


def post(url: str, headers: Mapping[str, str], body: Mapping[str, Any], seconds: float) -> bytes:
    """Send a JSON body and return what came back, `seconds` later at the latest.

    Proxies and certificates are those of the environment, as httpx2 reads them. Raises Failed for every
    answer but a success of at most MAX_BYTES.
    """
    if not all(value.isascii() and value.isprintable() for value in headers.values()):
        # The library would log the header as it refuses it.
        raise Failed("the key holds characters that no header can carry")
    if seconds <= 0:
        raise _late()
    deadline = time.monotonic() + seconds
    return _in_time(lambda: _post(url, {**COMMON_HEADERS, **headers}, body, deadline), seconds)


@cache
def _certificates() -> ssl.SSLContext:
    """The certificates that the environment trusts; reading them anew for each request would take long."""
    return httpx2.create_ssl_context()


def _post(url: str, headers: Mapping[str, str], body: Mapping[str, Any], deadline: float) -> bytes:
    seconds = max(deadline - time.monotonic(), 0.001)
    timeout = httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
    try:
        with (
            httpx2.Client(timeout=timeout, verify=_certificates(), follow_redirects=False) as client,
            client.stream("POST", url, headers=headers, json=body) as response,
        ):
            _refuse_unless_good(response)
            return _bounded(response, deadline)
    except httpx2.TimeoutException:
        raise _late() from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, OSError) as error:
        # The library's own words may repeat a header, and with it the key.
        raise Failed(f"the request failed ({type(error).__name__})") from None


def _refuse_unless_good(response: httpx2.Response) -> None:
    if response.status_code != httpx2.codes.OK:
        asked = response.headers.get("Retry-After", "").strip()
        wait = float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else None
        raise Failed(f"the endpoint answered {response.status_code}", status=response.status_code, wait=wait)


def _bounded(response: httpx2.Response, deadline: float) -> bytes:
    """The body as it was sent: unpacking could make any size of it."""
    content = bytearray()
    for piece in response.iter_raw():
        content += piece
        if len(content) > MAX_BYTES:
            raise Failed(f"the answer is larger than {MAX_BYTES // 1024} KB")
        if time.monotonic() > deadline:
            raise _late()
    return bytes(content)


def _late() -> Failed:
    return Failed("no answer in time", timed_out=True)


def _in_time(work: Callable[[], bytes], seconds: float) -> bytes:
    """Wait for work in a thread of its own, which is left behind when it is late.

    The limits of the library hold for each read and not for name lookups: a server that sends a byte now and
    then would never reach one.
    """
    done: Future[bytes] = Future()
    Thread(target=_fulfil, args=(done, work), name="second-reader", daemon=True).start()
    try:
        return done.result(seconds)
    except TimeoutError:
        raise _late() from None


def _fulfil(done: Future[bytes], work: Callable[[], bytes]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:  # noqa: BLE001  (raised again where the answer is waited for)
        done.set_exception(error)
