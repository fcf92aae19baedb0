"""A file on its way to the real web process: the line is cut or falls silent, the server is killed."""

import hashlib
import socket

import pytest

from cases.parts import BLOCK_BYTES
from tests.cases.test_tus import CHUNK, metadata
from tests.portal_processes import ROOT, running, wait_for

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def portal():
    with running("broker", "web") as portal:
        portal.session.headers.update({"Tus-Resumable": "1.0.0", "Connection": "close"})
        yield portal


@pytest.fixture(scope="module")
def content() -> bytes:
    return (ROOT / "samples" / "synthetic_field.png").read_bytes()


def announced(portal, content: bytes) -> str:
    case, _accession = portal.new_case()
    said = {"Upload-Length": str(len(content)), "Upload-Metadata": metadata(filename="field.png")}
    made = portal.session.post(portal.url(f"/api/v1/cases/{case}/uploads/"), headers=said, timeout=30)
    assert made.status_code == 201, made.text
    return made.headers["Location"]


def offset(portal, place: str) -> int:
    return int(portal.session.head(portal.url(place), timeout=30).headers["Upload-Offset"])


def patch(portal, place: str, part: bytes, start: int) -> int:
    said = {"Content-Type": CHUNK, "Upload-Offset": str(start)}
    return portal.session.patch(portal.url(place), data=part, headers=said, timeout=30).status_code


def begin_part(portal, place: str, start: int, length: int, sent: bytes) -> socket.socket:
    """A connection on which a part of `length` bytes has begun, and `sent` of it has gone out."""
    line = socket.create_connection(("127.0.0.1", portal.port))
    facts = {
        "Host": "127.0.0.1",
        "Authorization": portal.session.headers["Authorization"],
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": str(start),
        "Content-Type": CHUNK,
        "Content-Length": str(length),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in facts.items())
    line.sendall(f"PATCH {place} HTTP/1.1\r\n{head}\r\n".encode() + sent)
    return line


def on_disk(portal) -> int:
    return sum(path.stat().st_size for path in (portal.state / "uploads").glob("*.part"))


def finished(portal, place: str) -> dict:
    answer = portal.session.post(portal.url(f"{place}finish/"), timeout=60)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_cut_line_keeps_what_arrived_and_goes_on(portal, content):
    place, cut = announced(portal, content), 2 * BLOCK_BYTES + 123
    with begin_part(portal, place, 0, len(content), content[:cut]):
        wait_for("the first bytes", lambda: on_disk(portal), 30)
    wait_for("the end of the part", lambda: offset(portal, place) == cut, 30)
    wait_for("the rest", lambda: patch(portal, place, content[cut:], cut) == 204, 30)
    assert finished(portal, place)["sha256"] == hashlib.sha256(content).hexdigest()


def test_two_senders_at_once_cannot_mix(portal, content):
    place, begun = announced(portal, content), 2 * BLOCK_BYTES
    with begin_part(portal, place, 0, len(content), content[:begun]) as line:
        wait_for("the first bytes", lambda: on_disk(portal), 30)
        assert patch(portal, place, content, 0) == 423
        line.sendall(content[begun:])
        assert line.recv(1000).startswith(b"HTTP/1.1 204")
    assert finished(portal, place)["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_server_that_was_killed_goes_on_where_it_stopped(portal, content):
    place, half = announced(portal, content), len(content) // 2
    assert patch(portal, place, content[:half], 0) == 204
    with begin_part(portal, place, half, len(content) - half, content[half : half + 2 * BLOCK_BYTES]):
        wait_for("bytes that the row does not know of", lambda: on_disk(portal) > half, 30)
        portal.end("web")
    portal.start("web")
    wait_for("the first page", portal.answers)
    assert offset(portal, place) == half
    assert patch(portal, place, content[half:], half) == 204
    smear = finished(portal, place)
    assert smear["sha256"] == hashlib.sha256(content).hexdigest()
    assert smear["run"]["status"] == "queued"
    assert finished(portal, place)["run"]["id"] == smear["run"]["id"]
    assert list((portal.state / "uploads").iterdir()) == []


def test_a_line_that_falls_silent_lets_go_and_keeps_what_arrived(portal, content):
    portal.end("web")
    portal.env["WEB_SILENT_SECONDS"] = "2"
    portal.start("web")
    wait_for("the first page", portal.answers)
    place = announced(portal, content)
    with begin_part(portal, place, 0, len(content), content[:1000]):
        wait_for("the line to be given up", lambda: offset(portal, place) == 1000, 30)
        wait_for("the rest", lambda: patch(portal, place, content[1000:], 1000) == 204, 30)
    assert finished(portal, place)["sha256"] == hashlib.sha256(content).hexdigest()
