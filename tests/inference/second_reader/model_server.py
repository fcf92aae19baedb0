"""A language model of the tests: a real HTTP server on this machine that speaks both protocols."""

import json
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = {
    "structures": ["lobed nucleus", "fine granules"],
    "focus": "on_cell",
    "plausible": "yes",
    "comment": "Segmented nucleus with fine granules in a pale cytoplasm.",
}
Act = Callable[["Handler"], None]


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def pictures(self) -> list[bytes]:
        """The pictures, whichever protocol they came by."""
        if "contents" in self.body:
            parts = self.body["contents"][0]["parts"]
            return [b64decode(part["inline_data"]["data"]) for part in parts if "inline_data" in part]
        parts = self.body["messages"][1]["content"]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        return [b64decode(url.removeprefix("data:image/png;base64,")) for url in urls]


@dataclass
class ModelServer:
    """Does the acts one after another, the last one for ever, and keeps what it received."""

    acts: list[Act]
    received: list[Received] = field(default_factory=list)
    url: str = ""

    def next_act(self) -> Act:
        return self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]


class Handler(BaseHTTPRequestHandler):
    model: ModelServer
    lock: threading.Lock

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock:
            self.received = Received(self.path, dict(self.headers), body)
            self.model.received.append(self.received)
            act = self.model.next_act()
        try:
            act(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @property
    def speaks_gemini(self) -> bool:
        return self.path.endswith(":generateContent")


def envelope(text: str | None, gemini: bool) -> bytes:
    openai = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    google = {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}]}
    return json.dumps(google if gemini else openai).encode()


def says(answer: Any) -> Act:
    """The model says a text, or what is given as JSON."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return lambda handler: handler.send(200, envelope(text, handler.speaks_gemini))


def status(code: int, body: bytes = b"{}", **headers: str) -> Act:
    return lambda handler: handler.send(code, body, **headers)


def raw(body: bytes) -> Act:
    return status(200, body)


def slow(seconds: float, then: Act) -> Act:
    def act(handler: Handler) -> None:
        time.sleep(seconds)
        then(handler)

    return act


def dripping(handler: Handler) -> None:
    """A header for ever, a byte now and then: each read is in time, the answer never comes."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(100):
        time.sleep(0.05)
        handler.wfile.write(b"a")
        handler.wfile.flush()


def dripping_body(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(100):
        time.sleep(0.05)
        handler.wfile.write(b" ")
        handler.wfile.flush()


def endless(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(4000):
        handler.wfile.write(b" " * 16384)


class Serving:
    """Starts model servers, and stops them all in the end."""

    def __init__(self) -> None:
        self._servers: list[ThreadingHTTPServer] = []

    def start(self, *acts: Act, context: Any = None) -> ModelServer:
        model = ModelServer(list(acts) or [says(GOOD)])
        handler = type("BoundHandler", (Handler,), {"model": model, "lock": threading.Lock()})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads, server.block_on_close = True, False
        server.handle_error = lambda request, address: None
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https" if context else "http"
        model.url = f"{scheme}://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self._servers.append(server)
        return model

    def stop(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
