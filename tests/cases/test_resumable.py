"""Files in parts: what the row says, what lies on disk, and what becomes of both."""

import io
import shutil
from collections import namedtuple
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.http import UnreadablePostError
from django.utils import timezone

from accounts.models import AuditEvent
from cases import parts, resumable, selectors, services
from cases.models import Case, Smear, Upload
from cases.parts import NoRoom, UploadBusy
from cases.resumable import Chunk, UploadConflict
from cases.tasks import sweep_uploads
from cases.uploads import UploadRefused
from inference import handing_in
from inference.models import AnalysisRun

Disk = namedtuple("Disk", "total used free")


@pytest.fixture
def content(field_file) -> bytes:
    return field_file().read()


@pytest.fixture
def upload(clinician, case, content):
    return resumable.begin(clinician, case, name="field.png", size_bytes=len(content))


def send(actor, upload, content: bytes, start: int = 0) -> Upload:
    return resumable.receive(actor, upload, Chunk(start, len(content), io.BytesIO(content)))


def on_disk(settings) -> list[str]:
    return sorted(path.name for path in settings.UPLOAD_DIR.glob("*"))


def stored(settings, upload) -> bytes:
    return (settings.UPLOAD_DIR / f"{upload.pk}.part").read_bytes()


def verbs(upload) -> list[str]:
    lines = AuditEvent.objects.filter(object_id=str(upload.pk)).order_by("pk")
    return list(lines.values_list("verb", flat=True))


class Dropped(io.BytesIO):
    """A sender that goes away: what it has sent is there, then the connection breaks."""

    def read(self, size=-1):
        block = super().read(size)
        if not block:
            raise UnreadablePostError("connection reset")
        return block


# --- announcing -----------------------------------------------------------------------------------
def test_an_announced_file_is_a_row_and_an_audit_line(clinician, case):
    upload = resumable.begin(
        clinician, case, name="C:\\scans\\Smear 1.SVS.png", size_bytes=5, fingerprint="f"
    )
    upload.refresh_from_db()
    assert (upload.original_name, upload.received_bytes, upload.fingerprint) == ("Smear 1.SVS.png", 0, "f")
    assert (upload.state, upload.percent, upload.lab) == (Upload.State.RECEIVING, 0, clinician.lab)
    assert verbs(upload) == ["upload.begin"]


@pytest.mark.parametrize(
    ("name", "size_bytes", "code"),
    [
        ("letter.docx", 5, "wrong_type"),
        ("field", 5, "wrong_type"),
        ("", 5, "wrong_type"),
        ("field.png", 0, "empty"),
        ("field.png", 2**63, "too_large"),
    ],
)
def test_what_can_never_be_accepted_is_refused_at_once(clinician, case, name, size_bytes, code):
    with pytest.raises(UploadRefused) as refused:
        resumable.begin(clinician, case, name=name, size_bytes=size_bytes)
    assert refused.value.code == code and refused.value.text
    assert not Upload.objects.exists()


def test_a_full_disk_is_said_at_once(clinician, case, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(0, 0, parts.SPARE_BYTES + 1000))
    resumable.begin(clinician, case, name="a.png", size_bytes=600)
    with pytest.raises(NoRoom):
        resumable.begin(clinician, case, name="b.png", size_bytes=401)
    resumable.begin(clinician, case, name="c.png", size_bytes=400)


def test_a_reported_case_takes_no_more_smears(clinician, case, upload, content, field_file):
    send(clinician, upload, content)
    services.set_case_status(case.pk, Case.Status.REPORTED)
    case.refresh_from_db()
    with pytest.raises(services.CaseReported):
        resumable.begin(clinician, case, name="a.png", size_bytes=5)
    with pytest.raises(services.CaseReported):
        services.store_smear(clinician, case, field_file(seed=4))
    upload.refresh_from_db()
    with pytest.raises(services.CaseReported):
        handing_in.finish(clinician, upload)
    services.set_case_status(case.pk, Case.Status.READY)
    upload.refresh_from_db()
    assert handing_in.finish(clinician, upload).smear.case == case


def test_an_administrator_sends_nothing(administrator, clinician, case, upload, content):
    for verb in (
        lambda: resumable.begin(administrator, case, name="a.png", size_bytes=5),
        lambda: send(administrator, upload, content),
        lambda: resumable.discard(administrator, upload),
        lambda: handing_in.finish(administrator, upload),
    ):
        with pytest.raises(PermissionDenied):
            verb()
    assert Upload.objects.get().received_bytes == 0


# --- receiving ------------------------------------------------------------------------------------
def test_parts_become_the_file(clinician, upload, content, settings):
    send(clinician, upload, content[:1000])
    assert Upload.objects.get().received_bytes == 1000
    send(clinician, upload, content[1000:], 1000)
    assert stored(settings, upload) == content
    assert Upload.objects.get().percent == 100


def test_what_arrived_before_the_connection_broke_is_kept(clinician, upload, content, settings):
    half = Dropped(content[:1500])
    resumable.receive(clinician, upload, Chunk(0, len(content), half))
    assert Upload.objects.get().received_bytes == 1500
    send(clinician, upload, content[1500:], 1500)
    assert stored(settings, upload) == content


def test_a_long_part_is_noted_step_by_step(clinician, upload, content, monkeypatch):
    """A server that dies in the middle of it loses at most one step."""
    monkeypatch.setattr(parts, "STEP_BYTES", 400)
    monkeypatch.setattr(parts, "BLOCK_BYTES", 150)
    noted = []
    move = resumable._move
    monkeypatch.setattr(resumable, "_move", lambda row, to: (noted.append(to), move(row, to)))
    send(clinician, upload, content[:1000])
    assert noted == [400, 800, 1000]


def test_bytes_that_no_row_knows_of_are_cut_off(clinician, upload, content, settings):
    """They are left by a server that died between writing and noting."""
    send(clinician, upload, content[:1000])
    with (settings.UPLOAD_DIR / f"{upload.pk}.part").open("ab") as part:
        part.write(b"never noted")
    send(clinician, upload, content[1000:], 1000)
    assert stored(settings, upload) == content


def test_bytes_that_were_lost_are_asked_for_again(clinician, upload, content, settings):
    send(clinician, upload, content[:1000])
    (settings.UPLOAD_DIR / f"{upload.pk}.part").write_bytes(content[:300])
    with pytest.raises(UploadConflict):
        send(clinician, upload, content[1000:], 1000)
    assert Upload.objects.get().received_bytes == 300
    send(clinician, upload, content[300:], 300)
    assert stored(settings, upload) == content


@pytest.mark.parametrize("start", [0, 999, 1001])
def test_a_part_begins_where_the_row_ends(clinician, upload, content, start, settings):
    send(clinician, upload, content[:1000])
    with pytest.raises(UploadConflict) as conflict:
        send(clinician, upload, b"elsewhere", start)
    assert conflict.value.code == "offset" and "1000 of" in conflict.value.text
    assert stored(settings, upload) == content[:1000]


def test_a_part_beyond_the_end_is_not_taken(clinician, upload, content):
    with pytest.raises(UploadConflict) as conflict:
        send(clinician, upload, content + b"more")
    assert conflict.value.code == "too_long"
    assert Upload.objects.get().received_bytes == 0


def test_two_parts_at_once_cannot_mix(clinician, upload, content, settings):
    class Meanwhile(io.BytesIO):
        def read(self, size=-1):
            with pytest.raises(UploadBusy):
                send(clinician, Upload.objects.get(), b"another")
            with pytest.raises(UploadBusy):
                resumable.discard(clinician, Upload.objects.get())
            return super().read(size)

    resumable.receive(clinician, upload, Chunk(0, len(content), Meanwhile(content)))
    assert stored(settings, upload) == content


def test_a_row_that_another_machine_moved_on_is_left_alone(clinician, upload, content):
    """Where the lock does not reach, the row still decides: it moves only from where it was read."""

    class Elsewhere(io.BytesIO):
        def read(self, size=-1):
            Upload.objects.update(received_bytes=7)
            return super().read(size)

    with pytest.raises(UploadConflict):
        resumable.receive(clinician, upload, Chunk(0, 100, Elsewhere(content)))
    assert Upload.objects.get().received_bytes == 7


def test_a_disk_that_fills_up_keeps_what_was_noted(clinician, upload, content, monkeypatch, settings):
    send(clinician, upload, content[:1000])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts, "_append_step", full)
    with pytest.raises(NoRoom):
        send(clinician, upload, content[1000:], 1000)
    monkeypatch.undo()
    send(clinician, upload, content[1000:], 1000)
    assert stored(settings, upload) == content


def test_every_part_puts_the_expiry_off(clinician, upload, content):
    Upload.objects.update(expires_at=timezone.now() + timedelta(minutes=1))
    send(clinician, upload, content[:10])
    assert Upload.objects.get().expires_at > timezone.now() + timedelta(days=1)


# --- the end --------------------------------------------------------------------------------------
def test_a_whole_file_becomes_a_smear_with_a_queued_run(clinician, upload, content, settings):
    send(clinician, upload, content)
    run = handing_in.finish(clinician, upload)
    assert run.status == AnalysisRun.Status.QUEUED
    assert run.smear.original_name == "field.png"
    with run.smear.original.open() as original:
        assert original.read() == content
    upload = Upload.objects.get()
    assert (upload.state, upload.smear) == (Upload.State.FINISHED, run.smear)
    assert on_disk(settings) == []
    line = AuditEvent.objects.get(verb="smear.upload")
    assert line.detail["upload"] == str(upload.pk)


def test_finishing_twice_is_the_same_run(clinician, pathologist, upload, content, settings):
    send(clinician, upload, content)
    first = handing_in.finish(clinician, upload)
    assert handing_in.finish(pathologist, Upload.objects.get()) == first
    assert AnalysisRun.objects.count() == 1
    assert on_disk(settings) == []


def test_a_file_is_moved_into_the_store_and_not_copied(clinician, upload, content, settings):
    send(clinician, upload, content)
    before = (settings.UPLOAD_DIR / f"{upload.pk}.part").stat().st_ino
    smear = handing_in.finish(clinician, upload).smear
    assert (settings.MEDIA_ROOT / smear.original.name).stat().st_ino == before


def test_while_it_is_examined_nobody_else_can_finish_it(clinician, upload, content, monkeypatch):
    send(clinician, upload, content)
    examine = services.uploads.examine

    def meanwhile(file):
        with pytest.raises(UploadBusy):
            handing_in.finish(clinician, Upload.objects.get())
        return examine(file)

    monkeypatch.setattr(services.uploads, "examine", meanwhile)
    handing_in.finish(clinician, upload)
    assert AnalysisRun.objects.count() == 1


def test_a_file_that_the_disk_has_lost_is_asked_for_again(clinician, upload, content, settings):
    send(clinician, upload, content)
    (settings.UPLOAD_DIR / f"{upload.pk}.part").unlink()
    with pytest.raises(UploadConflict):
        handing_in.finish(clinician, upload)
    assert (Upload.objects.get().state, Upload.objects.get().received_bytes) == (Upload.State.RECEIVING, 0)


def test_half_a_file_is_not_finished(clinician, upload, content):
    send(clinician, upload, content[:1000])
    with pytest.raises(UploadConflict) as conflict:
        handing_in.finish(clinician, upload)
    assert conflict.value.code == "incomplete"
    assert Upload.objects.get().state == Upload.State.RECEIVING


def test_a_refused_file_is_gone_and_its_reason_stays(clinician, case, settings):
    upload = resumable.begin(clinician, case, name="letter.png", size_bytes=14)
    send(clinician, upload, b"Dear colleague")
    for _ in range(2):
        with pytest.raises(UploadRefused) as refused:
            handing_in.finish(clinician, Upload.objects.get())
        assert refused.value.code == "not_an_image"
    assert Upload.objects.get().state == Upload.State.REFUSED
    assert on_disk(settings) == []
    assert verbs(upload) == ["upload.begin", "upload.refuse"]
    with pytest.raises(UploadRefused):
        send(clinician, upload, b"more", 14)


@pytest.mark.parametrize("step", ["add_smear", "smear_files"])
def test_when_the_server_fails_the_file_can_be_finished_again(
    clinician, upload, content, monkeypatch, settings, step
):
    send(clinician, upload, content)

    def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(services, step, broken)
    with pytest.raises(RuntimeError):
        handing_in.finish(clinician, upload)
    monkeypatch.undo()
    assert on_disk(settings) == [f"{upload.pk}.part"] and not Smear.objects.exists()
    run = handing_in.finish(clinician, upload)
    with run.smear.original.open() as original:
        assert original.read() == content


def test_a_store_that_is_full_is_said(clinician, upload, content, monkeypatch):
    send(clinician, upload, content)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("django.core.files.storage.FileSystemStorage._save", full)
    with pytest.raises(NoRoom):
        handing_in.finish(clinician, upload)
    monkeypatch.undo()
    assert handing_in.finish(clinician, upload).status == AnalysisRun.Status.QUEUED


def test_a_discarded_file_leaves_an_audit_line_only(clinician, pathologist, upload, content, settings):
    send(clinician, upload, content[:1000])
    resumable.discard(pathologist, upload)
    assert not Upload.objects.exists() and on_disk(settings) == []
    line = AuditEvent.objects.get(verb="upload.discard")
    assert (line.actor, line.detail) == (pathologist, {"received_bytes": 1000})


def test_what_was_discarded_meanwhile_is_gone(clinician, upload, content, settings):
    resumable.discard(clinician, Upload.objects.get())
    for late in (
        lambda: send(clinician, upload, content),
        lambda: resumable.discard(clinician, upload),
        lambda: handing_in.finish(clinician, upload),
    ):
        with pytest.raises(UploadConflict) as conflict:
            late()
        assert conflict.value.code == "gone"
    assert on_disk(settings) == []


def test_what_is_in_the_case_is_not_discarded(clinician, upload, content):
    send(clinician, upload, content)
    handing_in.finish(clinician, upload)
    with pytest.raises(UploadConflict):
        resumable.discard(clinician, upload)
    assert Smear.objects.exists()


# --- the sweeper ----------------------------------------------------------------------------------
def expire(upload) -> None:
    Upload.objects.filter(pk=upload.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def test_only_what_expired_is_swept(clinician, case, upload, content, settings):
    send(clinician, upload, content[:1000])
    kept = resumable.begin(clinician, case, name="other.png", size_bytes=10)
    send(clinician, kept, b"12345")
    expire(upload)
    assert list(selectors.uploads_for(clinician)) == [kept]
    sweep_uploads()
    assert list(Upload.objects.all()) == [kept]
    assert on_disk(settings) == [f"{kept.pk}.part"]
    line = AuditEvent.objects.get(verb="upload.expire")
    assert (line.actor_name, line.object_name) == ("worker", case.accession)


def test_a_finished_upload_never_expires(clinician, upload, content):
    send(clinician, upload, content)
    handing_in.finish(clinician, upload)
    expire(upload)
    sweep_uploads()
    assert selectors.uploads_for(clinician).get() == upload


def test_bytes_without_an_unfinished_row_are_swept(clinician, upload, content, settings):
    send(clinician, upload, content[:1000])
    left = settings.UPLOAD_DIR / "3a0f5f6e-0000-4000-8000-000000000000.part"
    left.write_bytes(b"of a row that is gone")
    folder = left.with_suffix(".whole")
    folder.mkdir()
    (folder / "original.png").write_bytes(b"of a server that died")
    foreign = settings.UPLOAD_DIR / "notes.txt"
    foreign.write_text("not ours")
    sweep_uploads()
    assert on_disk(settings) == [f"{upload.pk}.part", "notes.txt"]


def test_what_is_being_sent_is_not_swept(clinician, upload, content, settings):
    class Meanwhile(io.BytesIO):
        def read(self, size=-1):
            expire(upload)
            sweep_uploads()
            return super().read(size)

    resumable.receive(clinician, upload, Chunk(0, len(content), Meanwhile(content)))
    assert stored(settings, Upload.objects.get()) == content


def test_without_a_folder_there_is_nothing_to_sweep(db, settings, tmp_path):
    settings.UPLOAD_DIR = tmp_path / "nowhere"
    sweep_uploads()
    assert not settings.UPLOAD_DIR.exists()
