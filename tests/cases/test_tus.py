"""The protocol: tus 1.0.0 with creation, termination and expiration, header by header."""

import base64
import shutil
from collections import namedtuple
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
from django.utils import timezone

from cases import parts, services
from cases.models import Case, Upload
from inference.models import AnalysisRun
from tests.inference.test_api import refusal

TUS = {"HTTP_TUS_RESUMABLE": "1.0.0"}
CHUNK = "application/offset+octet-stream"
Disk = namedtuple("Disk", "total used free")


def metadata(**facts: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in facts.items())


def announce(api, case, length, **headers):
    said = {"HTTP_UPLOAD_LENGTH": str(length), "HTTP_UPLOAD_METADATA": metadata(filename="field.png")}
    return api.post(f"/api/v1/cases/{case.pk}/uploads/", **{**TUS, **said, **headers})


def patch(api, place, content, offset=0, **headers):
    said = {"content_type": CHUNK, **TUS, "HTTP_UPLOAD_OFFSET": str(offset), **headers}
    return api.generic("PATCH", place, content, **said)


@pytest.fixture
def api(api_for, clinician):
    return api_for(clinician)


@pytest.fixture
def content(field_file) -> bytes:
    return field_file().read()


@pytest.fixture
def place(api, case, content) -> str:
    return announce(api, case, len(content))["Location"]


# --- what the server says of itself ---------------------------------------------------------------
def test_options_say_what_this_server_can_do(api, case, place, settings):
    for address in (f"/api/v1/cases/{case.pk}/uploads/", place):
        answer = api.options(address)
        assert answer.status_code == 204
        assert answer["Tus-Version"] == answer["Tus-Resumable"] == "1.0.0"
        assert set(answer["Tus-Extension"].split(",")) == {"creation", "termination", "expiration"}
        assert int(answer["Tus-Max-Size"]) == settings.SLIDE_MAX_BYTES


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0"])
def test_another_version_is_refused(api, case, place, content, version):
    said = {} if version is None else {"HTTP_TUS_RESUMABLE": version}
    answers = [
        api.post(f"/api/v1/cases/{case.pk}/uploads/", HTTP_UPLOAD_LENGTH="5", **said),
        api.generic("PATCH", place, content, CHUNK, HTTP_UPLOAD_OFFSET="0", **said),
        api.delete(place, **said),
    ]
    for answer in answers:
        assert refusal(answer) == (412, "tus_version")
        assert answer["Tus-Version"] == "1.0.0"
    assert api.head(place, **said).status_code == 412
    assert Upload.objects.get().received_bytes == 0


# --- creation -------------------------------------------------------------------------------------
def test_a_file_is_announced(api, case, clinician):
    answer = announce(
        api, case, 12, HTTP_UPLOAD_METADATA=metadata(filename="Blutausstrich größer.PNG", fingerprint="12-77")
    )
    assert (answer.status_code, answer["Upload-Offset"], answer.content) == (201, "0", b"")
    assert parsedate_to_datetime(answer["Upload-Expires"]) > timezone.now() + timedelta(days=1)
    upload = Upload.objects.get()
    assert answer["Location"] == f"/api/v1/uploads/{upload.pk}/"
    assert (upload.original_name, upload.fingerprint, upload.size_bytes, upload.uploaded_by) == (
        "Blutausstrich größer.PNG",
        "12-77",
        12,
        clinician,
    )


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"HTTP_UPLOAD_LENGTH": ""}, (400, "parse_error")),
        ({"HTTP_UPLOAD_LENGTH": "-1"}, (400, "parse_error")),
        ({"HTTP_UPLOAD_LENGTH": "1_0"}, (400, "parse_error")),
        ({"HTTP_UPLOAD_LENGTH": "0"}, (422, "empty")),
        ({"HTTP_UPLOAD_LENGTH": str(10**30)}, (413, "too_large")),
        ({"HTTP_UPLOAD_METADATA": ""}, (422, "wrong_type")),
        ({"HTTP_UPLOAD_METADATA": "filename"}, (422, "wrong_type")),
        ({"HTTP_UPLOAD_METADATA": "filename not/base64!"}, (400, "parse_error")),
        ({"HTTP_UPLOAD_METADATA": "filename /w=="}, (400, "parse_error")),
        ({"HTTP_UPLOAD_METADATA": metadata(filename="report.docx")}, (422, "wrong_type")),
    ],
)
def test_what_cannot_be_announced(api, case, headers, expected):
    assert refusal(announce(api, case, 12, **headers)) == expected
    assert not Upload.objects.exists()


def test_no_room_and_a_reported_case_are_said(api, case, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(0, 0, parts.SPARE_BYTES + 10))
    assert refusal(announce(api, case, 11)) == (507, "no_space")
    services.set_case_status(case.pk, Case.Status.REPORTED)
    assert refusal(announce(api, case, 5)) == (409, "case_reported")


# --- core -----------------------------------------------------------------------------------------
def test_a_file_goes_in_parts_and_its_state_is_told(api, place, content):
    first = patch(api, place, content[:1000])
    assert (first.status_code, first["Upload-Offset"], first.content) == (204, "1000", b"")
    assert "Upload-Expires" in first
    told = api.head(place, **TUS)
    assert (told.status_code, told["Upload-Offset"], told["Upload-Length"]) == (
        200,
        "1000",
        str(len(content)),
    )
    assert told["Cache-Control"] == "no-store"
    assert patch(api, place, content[1000:], 1000)["Upload-Offset"] == str(len(content))
    facts = api.get(place).json()
    assert (facts["state"], facts["received_bytes"], facts["smear"]) == ("receiving", len(content), None)


def test_a_part_that_does_not_fit_changes_nothing(api, place, content, settings):
    patch(api, place, content[:1000])
    assert refusal(patch(api, place, b"x", 999)) == (409, "offset")
    assert refusal(patch(api, place, b"x", "")) == (400, "parse_error")
    assert refusal(patch(api, place, content, 1000)) == (413, "too_long")
    assert refusal(patch(api, place, b"x", 1000, content_type="image/png")) == (415, "unsupported_media_type")
    assert refusal(patch(api, place, b"x", 1000, CONTENT_LENGTH="")) == (411, "length_required")
    upload = Upload.objects.get()
    assert (settings.UPLOAD_DIR / f"{upload.pk}.part").read_bytes() == content[:1000]


def test_while_a_part_arrives_another_is_locked_out(api, place, content):
    with parts.locked(Upload.objects.get().pk):
        assert refusal(patch(api, place, content)) == (423, "busy")
        assert refusal(api.delete(place, **TUS)) == (423, "busy")
        assert refusal(api.post(f"{place}finish/"))[0] == 423
        assert api.head(place, **TUS).status_code == 200


def test_what_is_unknown_or_expired_is_not_found(api, place, content):
    assert api.head("/api/v1/uploads/3a0f5f6e-0000-4000-8000-000000000000/", **TUS).status_code == 404
    Upload.objects.update(expires_at=timezone.now())
    gone = api.head(place, **TUS)
    assert gone.status_code == 404 and "Upload-Offset" not in gone
    assert refusal(patch(api, place, content)) == (404, "not_found")


# --- termination ----------------------------------------------------------------------------------
def test_a_file_is_given_up(api, place, content):
    patch(api, place, content[:1000])
    assert api.delete(place, **TUS).status_code == 204
    assert api.head(place, **TUS).status_code == 404


# --- finish ---------------------------------------------------------------------------------------
def test_a_whole_file_is_finished_once(api, place, content, case):
    assert refusal(api.post(f"{place}finish/")) == (409, "incomplete")
    patch(api, place, content)
    first, second = api.post(f"{place}finish/"), api.post(f"{place}finish/")
    assert first.status_code == 201
    assert first.json()["run"]["status"] == "queued"
    assert first.json() == second.json()
    facts = api.get(place).json()
    assert (facts["state"], facts["smear"]) == ("finished", first.json()["id"])
    assert refusal(patch(api, place, b"more", len(content))) == (409, "finished")
    assert refusal(api.delete(place, **TUS)) == (409, "finished")
    assert api.head(place, **TUS)["Upload-Offset"] == str(len(content))
    assert AnalysisRun.objects.count() == 1


def test_a_refused_file_says_why(api, case, content):
    place = announce(api, case, 14)["Location"]
    patch(api, place, b"Dear colleague")
    assert refusal(api.post(f"{place}finish/")) == (422, "not_an_image")
    facts = api.get(place).json()
    assert (facts["state"], facts["refusal"]["code"]) == ("refused", "not_an_image")
    assert refusal(patch(api, place, b"more", 14)) == (422, "not_an_image")
    for expected in (201, 409):
        again = announce(api, case, len(content))["Location"]
        patch(api, again, content)
        answer = api.post(f"{again}finish/")
        assert answer.status_code == expected
    assert refusal(answer) == (409, "duplicate")


def test_unfinished_uploads_are_listed_and_found_again(api, case, place):
    announce(api, case, 12, HTTP_UPLOAD_METADATA=metadata(filename="slide.png", fingerprint="12-99"))
    address = f"/api/v1/cases/{case.pk}/uploads/"
    assert [row["original_name"] for row in api.get(address).json()["results"]] == ["field.png", "slide.png"]
    found = api.get(address, {"original_name": "slide.png", "size_bytes": 12, "fingerprint": "12-99"}).json()
    assert [row["size_bytes"] for row in found["results"]] == [12]
    assert api.get(address, {"fingerprint": "other"}).json()["results"] == []
    assert api.get(address, {"size_bytes": 10**30}).json()["results"] == []
    assert refusal(api.get(address, {"original_name": "a\x00b"})) == (400, "invalid")


def test_a_large_file_in_one_piece_is_told_to_come_in_parts(api, case, field_file, settings):
    settings.UPLOAD_MAX_BYTES = 1000
    answer = api.post(f"/api/v1/cases/{case.pk}/smears/", {"file": field_file()}, format="multipart")
    assert refusal(answer) == (422, "too_large")
    assert "in parts" in answer.json()["error"]["message"]


# --- who may --------------------------------------------------------------------------------------
def test_another_laboratory_finds_nothing(api_for, stranger, case, place, content):
    api = api_for(stranger)
    assert refusal(announce(api, case, 5)) == (404, "not_found")
    assert api.head(place, **TUS).status_code == 404
    for answer in (
        api.get(place),
        api.get(f"/api/v1/cases/{case.pk}/uploads/"),
        patch(api, place, content),
        api.delete(place, **TUS),
        api.post(f"{place}finish/"),
    ):
        assert refusal(answer) == (404, "not_found")


def test_an_administrator_looks_and_sends_nothing(api_for, administrator, case, place, content):
    api = api_for(administrator)
    assert api.get(place).status_code == api.get(f"/api/v1/cases/{case.pk}/uploads/").status_code == 200
    for answer in (
        announce(api, case, 5),
        patch(api, place, content),
        api.delete(place, **TUS),
        api.post(f"{place}finish/"),
    ):
        assert refusal(answer) == (403, "permission_denied")


def test_a_colleague_goes_on_with_it(api_for, pathologist, place, content):
    api = api_for(pathologist)
    assert patch(api, place, content).status_code == 204
    assert api.post(f"{place}finish/").status_code == 201


def test_a_browser_needs_the_token_of_its_form(clinician, place, content):
    from django.test import Client

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(clinician, backend="allauth.account.auth_backends.AuthenticationBackend")
    said = {**TUS, "HTTP_UPLOAD_OFFSET": "0"}
    assert browser.generic("PATCH", place, content, CHUNK, **said).status_code == 403
    assert Upload.objects.get().received_bytes == 0
