"""The bytes of uploads that have not ended: a part file each in UPLOAD_DIR, which all processes share."""

import errno
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import IO, Protocol
from uuid import UUID

from django.conf import settings
from django.core.files import File
from django.http import UnreadablePostError
from django.utils.translation import gettext as _

logger = logging.getLogger(__name__)

# How much is written to disk before the row says so: what a server that dies can lose.
STEP_BYTES = 8 * 1024 * 1024
BLOCK_BYTES = 256 * 1024
# Left free for the database and the log, which may lie on the same disk.
SPARE_BYTES = 512 * 1024 * 1024
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class UploadBusy(Exception):
    """Another request is receiving or checking this upload."""

    code = "busy"

    def __init__(self) -> None:
        self.text = _("This file is being received or checked by another request. Try again in a moment.")
        super().__init__(self.text)


class NoRoom(Exception):
    """The disk is full."""

    code = "no_space"

    def __init__(self) -> None:
        self.text = _(
            "The server has too little free disk space for this file. Discard uploads that nobody goes on"
            " with, or tell your administrator."
        )
        super().__init__(self.text)


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class ReceivedFile(File):
    """A whole file that came in parts, under the name it was sent with.

    A storage on the same disk moves what has a `temporary_file_path` instead of copying it.
    """

    def __init__(self, path: Path, name: str, upload_id: UUID) -> None:
        super().__init__(path.open("rb"), name)
        self.path, self.upload_id = path, upload_id

    def temporary_file_path(self) -> str:
        return str(self.path)


def _part(upload_id: UUID) -> Path:
    return settings.UPLOAD_DIR / f"{upload_id}.part"


def _whole(upload_id: UUID) -> Path:
    return settings.UPLOAD_DIR / f"{upload_id}.whole"


@contextmanager
def locked(upload_id: UUID) -> Iterator[IO[bytes]]:
    """The part file, open for appending and closed to every other process; an empty one goes afterwards.

    Raises UploadBusy. The lock ends with the process that holds it, however that dies.
    """
    path = _part(upload_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(path, "ab", buffering=0, opener=_private) as part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UploadBusy from error
        if not _is_at(part, path):
            raise UploadBusy
        try:
            yield part
        finally:
            if _is_at(part, path) and not _size(part):
                path.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _size(part: IO[bytes]) -> int:
    return os.fstat(part.fileno()).st_size


def _is_at(part: IO[bytes], path: Path) -> bool:
    """Whether the open file still has this name: one that was removed meanwhile must not be written to."""
    try:
        return os.path.samestat(os.fstat(part.fileno()), path.stat())
    except FileNotFoundError:
        return False


def cut(part: IO[bytes], size_bytes: int) -> int:
    """Drops what lies behind `size_bytes`, which no row knows of; how many bytes there are then."""
    if _size(part) > size_bytes:
        part.truncate(size_bytes)
    return _size(part)


def append(part: IO[bytes], stream: Readable, length: int) -> Iterator[int]:
    """Appends at most `length` bytes; says after every step how many more are safely on disk.

    A sender that goes away ends it, and what has arrived stays. Raises NoRoom.
    """
    while length > 0:
        step = min(STEP_BYTES, length)
        arrived = _append_step(part, stream, step)
        os.fsync(part.fileno())
        yield arrived
        length = length - arrived if arrived == step else 0


def _append_step(part: IO[bytes], stream: Readable, length: int) -> int:
    arrived = 0
    try:
        while arrived < length and (block := stream.read(min(BLOCK_BYTES, length - arrived))):
            if part.write(block) < len(block):
                raise NoRoom
            arrived += len(block)
    except UnreadablePostError:
        logger.info("A connection was lost in the middle of a part; what arrived of it is kept.")
    return arrived


@contextmanager
def full_disk_said() -> Iterator[None]:
    """Turns the error of a full disk into NoRoom."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise NoRoom from error
        raise


def room() -> int:
    """Free bytes on the disk of UPLOAD_DIR, less what others need there; below 0 when it is nearly full."""
    settings.UPLOAD_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    return shutil.disk_usage(settings.UPLOAD_DIR).free - SPARE_BYTES


@contextmanager
def whole(upload_id: UUID, name: str) -> Iterator[ReceivedFile]:
    """The received file in a folder of its own, for whoever holds the lock.

    It is a second name of the same bytes: a storage may move it away, and they are still here if something
    fails later.
    """
    folder = _whole(upload_id)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    path = folder / f"original{PurePath(name).suffix.lower()}"
    path.hardlink_to(_part(upload_id))
    try:
        with ReceivedFile(path, name, upload_id) as file:
            yield file
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove(upload_id: UUID) -> None:
    """Removes every byte of an upload, for whoever holds its lock."""
    _part(upload_id).unlink(missing_ok=True)
    shutil.rmtree(_whole(upload_id), ignore_errors=True)


def stored() -> set[UUID]:
    """The uploads of which there are bytes."""
    found = set()
    for path in settings.UPLOAD_DIR.glob("*"):
        with suppress(ValueError):
            found.add(UUID(path.stem))
    return found
