"""Every verdict on a slide that is handed in, and the picture that browsers get of it."""

import hashlib
import io
import shutil

import numpy as np
import pytest
import tifffile
from django.core.files import File
from django.core.files.uploadedfile import TemporaryUploadedFile
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from cases.uploads import UploadRefused, examine, preview
from tests.hard_files import HARD_FILES
from tests.slide_files import halved, looping, smooth, write_dicom, write_pyramid, write_svs

from .images import upload

PIXELS = smooth(500, 300)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A good file of each kind, as bytes by name."""
    folder = tmp_path_factory.mktemp("files")
    write_pyramid(folder / "pages.tif", PIXELS)
    write_pyramid(folder / "subifds.tif", PIXELS, subifds=True)
    tifffile.imwrite(folder / "lzw.tif", PIXELS, photometric="rgb", compression="lzw")
    tifffile.imwrite(folder / "jpeg.tif", PIXELS, photometric="rgb", compression="jpeg", tile=(64, 64))
    write_svs(folder / "a.svs", PIXELS)
    write_dicom(folder / "a.dcm", PIXELS)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


KINDS = {
    "pages.tif": "TIFF",
    "subifds.tif": "TIFF",
    "lzw.tif": "TIFF",
    "jpeg.tif": "TIFF",
    "a.svs": "SVS",
    "a.dcm": "DICOM",
}


def refusal(content: bytes, name: str) -> UploadRefused:
    with pytest.raises(UploadRefused) as caught:
        examine(upload(content, name))
    assert caught.value.text.endswith(".")
    assert "%" not in caught.value.text
    return caught.value


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_examined_and_shown(files, name):
    file = upload(files[name], name)
    seen = examine(file)
    assert (seen.format, seen.width, seen.height) == (KINDS[name], 500, 300)
    assert seen.suffix == name[name.rindex(".") :]
    assert seen.sha256 == hashlib.sha256(files[name]).hexdigest()
    shown = np.asarray(Image.open(io.BytesIO(preview(file))).convert("RGB"))
    assert shown.shape == PIXELS.shape
    assert np.abs(shown.astype(int) - PIXELS).mean() <= 2
    assert file.tell() == 0


def test_the_slide_of_a_real_scanner(wbc_data):
    with (wbc_data / "slides" / "CMU-1-Small-Region.svs").open("rb") as content:
        file = File(content, name="CMU-1-Small-Region.svs")
        seen = examine(file)
        assert (seen.format, seen.width, seen.height) == ("SVS", 2220, 2967)
        assert Image.open(io.BytesIO(preview(file))).size == (2220, 2967)


@pytest.mark.parametrize("name", ["pages.tif", "a.svs", "a.dcm"])
def test_a_large_slide_is_shown_smaller(files, name, monkeypatch):
    for module in ("cases.whole_slides", "cases.tiffs"):
        monkeypatch.setattr(f"{module}.PREVIEW_MAX_SIDE", 100)
    monkeypatch.setattr("cases.whole_slides.BAND_PIXELS", 20_000)
    shown = Image.open(io.BytesIO(preview(upload(files[name], name))))
    assert shown.size == (100, 60)
    expected = Image.fromarray(PIXELS).resize((100, 60), Image.Resampling.BOX)
    assert np.abs(np.asarray(shown).astype(int) - np.asarray(expected)).max() <= 14


def test_a_file_on_disk_is_read_where_it_lies(files, monkeypatch):
    file = TemporaryUploadedFile("a.svs", "application/octet-stream", len(files["a.svs"]), None)
    file.write(files["a.svs"])
    file.flush()
    monkeypatch.setattr(shutil, "copyfileobj", lambda *files: pytest.fail("copied"))
    assert examine(file).format == "SVS"
    assert Image.open(io.BytesIO(preview(file))).size == (500, 300)


def test_other_dicom_files_in_the_folder_of_an_upload_are_not_its_series(tmp_path):
    write_dicom(tmp_path / "a.dcm", halved(PIXELS), 0.5, level=1)
    write_dicom(tmp_path / "b.dcm", PIXELS)

    class Received(File):
        def temporary_file_path(self) -> str:
            return str(tmp_path / "a.dcm")

    with (tmp_path / "a.dcm").open("rb") as content:
        assert examine(Received(content, name="a.dcm")).width == 250


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_a_slide_cut_off_on_its_way(files, name, share):
    whole = files[name]
    assert refusal(whole[: int(share * len(whole))], name).code in ("corrupt", "unsupported_type")


def test_a_damaged_tile_of_a_small_slide(files):
    with tifffile.TiffFile(io.BytesIO(files["jpeg.tif"])) as opened:
        place = opened.pages.first.dataoffsets[-1]
    content = bytearray(files["jpeg.tif"])
    content[place : place + 40] = bytes(40)
    assert refusal(bytes(content), "jpeg.tif").code == "corrupt"


def test_directories_that_lead_in_a_circle_are_corrupt(files):
    assert refusal(looping(files["lzw.tif"]), "lzw.tif").code == "corrupt"


@pytest.mark.parametrize(("name", "right"), [("a.svs", ".tif"), ("pages.tif", ".png"), ("a.dcm", ".tif")])
def test_a_name_that_promises_another_type(files, name, right):
    wrong = "pages" + right if right == ".png" else "a" + {".tif": ".ndpi"}[right]
    refused = refusal(files[name], wrong)
    assert refused.code == "wrong_type"
    assert KINDS[name] in refused.text


@pytest.mark.parametrize("name", ["a.mrxs", "a.vms", "a.vmu"])
def test_the_first_file_of_a_slide_in_several(name):
    refused = refusal(b"\xff\xd8\xff whatever", name)
    assert refused.code == "in_parts"
    assert "several files" in refused.text


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (bytes(128) + b"DICM" + bytes(64), "a.dcm", "unsupported_type"),
        (b"ZISRAWFILE" + bytes(600), "a.czi", "corrupt"),
        (b"SQLite format 3\x00" + bytes(600), "a.svslide", "unsupported_type"),
        (b"II*\x00" + np.random.default_rng(0).bytes(5000), "a.ndpi", "corrupt"),
        (b"", "a.svs", "empty"),
    ],
)
def test_what_only_begins_like_a_slide(content, name, code):
    assert refusal(content, name).code == code


def test_a_slide_may_be_larger_than_a_photograph(files, settings):
    settings.UPLOAD_MAX_BYTES, settings.UPLOAD_MAX_PIXELS = 1000, 1000
    assert examine(upload(files["a.svs"], "a.svs")).format == "SVS"
    assert examine(upload(files["pages.tif"], "pages.tif")).format == "TIFF"
    settings.SLIDE_MAX_BYTES = 2000
    assert refusal(files["a.svs"], "a.svs").code == "too_large"


@pytest.mark.parametrize("name", ["a.svs", "pages.tif", "a.dcm"])
def test_too_many_pixels_for_a_slide(files, settings, name):
    settings.SLIDE_MAX_PIXELS = 100_000
    refused = refusal(files[name], name)
    assert refused.code == "too_large"
    assert "500 × 300" in refused.text


@pytest.mark.parametrize("tile", [None, (1024, 1024)])
def test_a_decompression_bomb_is_never_decoded(tmp_path, monkeypatch, tile):
    """A gigapixel in a file of a few kilobytes."""
    if tile:
        options = {"shape": (31 * 1024, 31 * 1024), "dtype": np.uint8, "tile": tile}
        tifffile.imwrite(tmp_path / "a.tif", (b"" for _ in range(31 * 31)), compression="zlib", **options)
    else:
        Image.new("1", (32_000, 32_000)).save(tmp_path / "a.tif", compression="group4")
    monkeypatch.setattr("cases.tiffs._decode", lambda page: pytest.fail("decoded"))
    assert refusal((tmp_path / "a.tif").read_bytes(), "a.tif").code == "decompression_bomb"


def test_what_has_no_tiles_has_a_limit_of_its_own(files, settings, monkeypatch):
    settings.UPLOAD_MAX_PIXELS = 1_000_000
    monkeypatch.setattr("cases.tiffs.UNTILED_MAX_PIXELS", 100_000)
    refused = refusal(files["lzw.tif"], "lzw.tif")
    assert refused.code == "too_large"
    assert "pyramid of tiles" in refused.text


def test_pixels_that_are_no_picture():
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((80, 80), np.float32))
    assert refusal(buffer.getvalue(), "a.tif").code == "unsupported_type"


def test_several_fields_in_a_file():
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.stack([PIXELS, PIXELS]), photometric="rgb")
    refused = refusal(buffer.getvalue(), "a.tif")
    assert refused.code == "several_images"
    assert "2 images" in refused.text


def test_a_turned_pyramid_is_shown_upright(tmp_path):
    write_pyramid(tmp_path / "a.tif", np.rot90(PIXELS), extratags=[(274, "H", 1, 6, True)])
    file = upload((tmp_path / "a.tif").read_bytes(), "a.tif")
    assert (examine(file).width, examine(file).height) == (500, 300)
    shown = np.asarray(Image.open(io.BytesIO(preview(file))))
    assert np.abs(shown.astype(int) - PIXELS).max() <= 12


def test_sixteen_bits_and_alpha_are_shown_as_they_will_be_analysed():
    buffer = io.BytesIO()
    twelve_bit = np.full((80, 80, 4), (4095, 2048, 0, 4095), np.uint16)
    tifffile.imwrite(buffer, twelve_bit, photometric="rgb", extrasamples=["unassalpha"])
    shown = np.asarray(Image.open(io.BytesIO(preview(upload(buffer.getvalue(), "a.tif")))))
    assert np.abs(shown.astype(int) - (255, 128, 0)).max() <= 3


def test_an_embedded_profile_is_followed():
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ", 128), profile.index(b"bXYZ", 128)
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    for kind, name in (("PNG", "a.png"), ("TIFF", "a.tif")):
        buffer = io.BytesIO()
        Image.new("RGB", (80, 80), (200, 0, 0)).save(buffer, kind, icc_profile=bytes(profile))
        shown = np.asarray(Image.open(io.BytesIO(preview(upload(buffer.getvalue(), name)))))
        red_seen, _, blue_seen = shown.reshape(-1, 3).mean(axis=0)
        assert blue_seen > 150 > 100 > red_seen


@pytest.mark.parametrize("kind", HARD_FILES)
def test_every_hard_file_is_accepted_or_refused_with_a_sentence(tmp_path, kind):
    hard = HARD_FILES[kind]
    hard.make(tmp_path / hard.name)
    content = (tmp_path / hard.name).read_bytes()
    if hard.upload_code:
        assert refusal(content, hard.name).code == hard.upload_code
        return
    seen = examine(upload(content, hard.name))
    shown = Image.open(io.BytesIO(preview(upload(content, hard.name))))
    assert shown.size == (seen.width, seen.height)


@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_bytes_are_accepted_or_refused_and_nothing_else(files, data):
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, 400))] = data.draw(st.integers(0, 255))
    try:
        file = upload(bytes(content), name)
        examine(file)
        preview(file)
    except UploadRefused as refused:
        assert refused.text and "%" not in refused.text
