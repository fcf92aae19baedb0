"""Files that come in parts: begin, receive, finish, discard, sweep. The row says what is here for certain."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import IO

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User

from . import parts, photographs
from .models import Case, Upload
from .parts import NoRoom, Readable, ReceivedFile, UploadBusy
from .selectors import UNFINISHED
from .services import require_unreported
from .upload_types import FORMATS_TEXT, SUFFIXES, UploadRefused

State = Upload.State


class UploadConflict(Exception):
    """The upload is not in the state that was asked for; `text` says in which it is."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class AlreadyFinished(UploadConflict):
    """The file has become a smear of its case."""

    def __init__(self) -> None:
        super().__init__("finished", _("This file has arrived and is in the case."))


@dataclass(frozen=True, slots=True)
class Chunk:
    """`length` bytes of a file from `start` on, as they come from the sender."""

    start: int
    length: int
    stream: Readable


def begin(actor: User, case: Case, *, name: str, size_bytes: int, fingerprint: str = "") -> Upload:
    """Announces a file. `fingerprint` is whatever lets its sender know the same file again.

    Raises UploadRefused for what could not be accepted however it ends, NoRoom, and CaseReported.
    """
    require(actor, Verb.SMEAR_UPLOAD, case)
    require_unreported(case)
    name = _plain(name)
    _check_size(name, size_bytes)
    _check_room(size_bytes)
    upload = Upload(
        lab=case.lab,
        case=case,
        uploaded_by=actor,
        original_name=name,
        fingerprint=fingerprint,
        size_bytes=size_bytes,
        expires_at=_expiry(),
    )
    with transaction.atomic():
        upload.save(force_insert=True)
        audit.record(actor, "upload.begin", upload, size_bytes=size_bytes)
    return upload


def _plain(name: str) -> str:
    """The name without folders and without what cannot be printed; its end, with the type, is kept."""
    printable = "".join(sign for sign in name if sign.isprintable())
    return PurePath(printable.replace("\\", "/")).name[-200:]


def _types_of(name: str) -> set[str]:
    """The types that a file of this name can hold. Raises UploadRefused when there is none."""
    suffix = PurePath(name).suffix.lower()
    if types := {kind for kind, suffixes in SUFFIXES.items() if suffix in suffixes}:
        return types
    text = _("Files named “%(suffix)s” are not accepted. Accepted are %(formats)s.")
    if not suffix:
        text = _("The file has no type in its name. Accepted are %(formats)s.")
    raise UploadRefused("wrong_type", text % {"suffix": suffix, "formats": FORMATS_TEXT})


def _check_size(name: str, size_bytes: int) -> None:
    if size_bytes <= 0:
        raise UploadRefused("empty", _("The file is empty. Save the image again and hand in that file."))
    photograph = _types_of(name) <= set(photographs.FORMATS)
    limit = settings.UPLOAD_MAX_BYTES if photograph else settings.SLIDE_MAX_BYTES
    if size_bytes > limit:
        text = _("The file has %(size)s; at most %(limit)s are accepted. Hand in a part of the field.")
        sizes = {"size": filesizeformat(size_bytes), "limit": filesizeformat(limit)}
        raise UploadRefused("too_large", text % sizes)


def _check_room(size_bytes: int) -> None:
    """What unfinished uploads have still to bring is spoken for."""
    to_come = Sum(F("size_bytes") - F("received_bytes"), default=0)
    going_on = Upload.objects.filter(UNFINISHED, expires_at__gt=timezone.now())
    if size_bytes > parts.room() - going_on.aggregate(bytes=to_come)["bytes"]:
        raise NoRoom


# --- receiving ------------------------------------------------------------------------------------
def receive(actor: User, upload: Upload, chunk: Chunk) -> Upload:
    """Keeps what arrives of the chunk, even when its sender goes away in the middle.

    Raises UploadConflict when the chunk does not begin where the row ends, UploadBusy, and NoRoom.
    """
    require(actor, Verb.SMEAR_UPLOAD, upload)
    with parts.locked(upload.pk) as part, parts.full_disk_said():
        _must_be_open(upload)
        _must_fit(upload, chunk)
        _must_be_there(part, upload)
        for arrived in parts.append(part, chunk.stream, chunk.length):
            _move(upload, upload.received_bytes + arrived)
    return upload


def _refresh(upload: Upload) -> None:
    try:
        upload.refresh_from_db()
    except Upload.DoesNotExist as error:
        raise UploadConflict("gone", _("This upload was discarded, or has expired.")) from error


def _must_be_open(upload: Upload) -> None:
    _refresh(upload)
    if upload.state == State.FINISHED:
        raise AlreadyFinished
    if upload.state == State.REFUSED:
        raise UploadRefused(upload.refusal_code, upload.refusal_text)


def _must_fit(upload: Upload, chunk: Chunk) -> None:
    if chunk.start != upload.received_bytes:
        raise _elsewhere(upload)
    if chunk.start + chunk.length > upload.size_bytes:
        text = _("The file was announced with %(size)d bytes; this part goes beyond its end.")
        raise UploadConflict("too_long", text % {"size": upload.size_bytes})


def _must_be_there(part: IO[bytes], upload: Upload) -> None:
    """What the row says has arrived and the disk has lost is to be sent again."""
    kept = parts.cut(part, upload.received_bytes)
    if kept < upload.received_bytes:
        _move(upload, kept)
        raise _elsewhere(upload)


def _elsewhere(upload: Upload) -> UploadConflict:
    text = _("%(received)d of %(size)d bytes have arrived; go on from there.")
    return UploadConflict("offset", text % _so_far(upload))


def _so_far(upload: Upload) -> dict[str, int]:
    return {"received": upload.received_bytes, "size": upload.size_bytes}


def _move(upload: Upload, received_bytes: int) -> None:
    """Moves the row on, if it still stands where it was read. Raises UploadConflict when it does not."""
    moved = {"received_bytes": received_bytes, "updated_at": timezone.now(), "expires_at": _expiry()}
    here = Upload.objects.filter(UNFINISHED, pk=upload.pk, received_bytes=upload.received_bytes)
    if not here.update(**moved):
        _refresh(upload)
        raise _elsewhere(upload)
    for column, value in moved.items():
        setattr(upload, column, value)


def _expiry() -> datetime:
    return timezone.now() + timedelta(days=settings.UPLOAD_EXPIRES_DAYS)


# --- the end --------------------------------------------------------------------------------------
@contextmanager
def finishing(actor: User, upload: Upload) -> Iterator[ReceivedFile]:
    """The file that has arrived whole, to be handed in; nobody else can hand it in at the same time.

    When that is done its bytes are gone from UPLOAD_DIR, and also when it is refused: then the row keeps the
    reason. After any other error everything is as before. Raises AlreadyFinished, UploadConflict, UploadBusy,
    NoRoom, and UploadRefused again for what has been refused before.
    """
    require(actor, Verb.SMEAR_UPLOAD, upload)
    with parts.locked(upload.pk) as part, parts.full_disk_said():
        _must_be_open(upload)
        _must_be_there(part, upload)
        _must_be_whole(upload)
        try:
            with parts.whole(upload.pk, upload.original_name) as file:
                yield file
        except UploadRefused as refusal:
            _note_refusal(actor, upload, refusal)
            parts.remove(upload.pk)
            raise
        parts.remove(upload.pk)


def _must_be_whole(upload: Upload) -> None:
    if upload.received_bytes < upload.size_bytes:
        text = _("Only %(received)d of %(size)d bytes have arrived. Send the rest, then finish.")
        raise UploadConflict("incomplete", text % _so_far(upload))


@transaction.atomic
def _note_refusal(actor: User, upload: Upload, refusal: UploadRefused) -> None:
    Upload.objects.filter(pk=upload.pk).update(refusal_code=refusal.code, refusal_text=refusal.text)
    audit.record(actor, "upload.refuse", upload, audit.FAILED, code=refusal.code)


def discard(actor: User, upload: Upload) -> None:
    """Forgets an upload and its bytes. Raises AlreadyFinished for one that is in the case, and UploadBusy."""
    require(actor, Verb.SMEAR_UPLOAD, upload)
    with parts.locked(upload.pk):
        _refresh(upload)
        if upload.state == State.FINISHED:
            raise AlreadyFinished
        with transaction.atomic():
            audit.record(actor, "upload.discard", upload, received_bytes=upload.received_bytes)
            Upload.objects.filter(pk=upload.pk).delete()
        parts.remove(upload.pk)


# --- the sweeper ----------------------------------------------------------------------------------
def sweep() -> None:
    """Forgets uploads that nobody went on with in time, and removes bytes that no unfinished one needs."""
    stored = parts.stored()
    for upload in Upload.objects.filter(smear=None, expires_at__lte=timezone.now()):
        _expire(upload)
    needed = Upload.objects.filter(UNFINISHED).values_list("pk", flat=True)
    for upload_id in stored - set(needed):
        with suppress(UploadBusy), parts.locked(upload_id):
            parts.remove(upload_id)


def _expire(upload: Upload) -> None:
    """Another request may have gone on with it a moment ago: then it stays."""
    still = Upload.objects.filter(pk=upload.pk, smear=None, expires_at=upload.expires_at)
    with suppress(UploadBusy), parts.locked(upload.pk), transaction.atomic():
        if still.exists():
            audit.record(None, "upload.expire", upload, received_bytes=upload.received_bytes)
            still.delete()
