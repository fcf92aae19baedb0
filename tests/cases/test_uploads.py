"""Every verdict on an upload, and the picture that browsers get."""

import hashlib
import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from cases.uploads import UploadRefused, examine, preview

from .images import encoded, file_of, noise, upload


@pytest.mark.parametrize(
    ("kind", "name", "mode"),
    [
        ("JPEG", "a.jpg", "RGB"),
        ("JPEG", "a.JPEG", "L"),
        ("JPEG", "a.jpg", "CMYK"),
        ("PNG", "a.png", "RGB"),
        ("PNG", "a.png", "RGBA"),
        ("PNG", "a.png", "P"),
        ("PNG", "a.png", "1"),
        ("BMP", "a.bmp", "RGB"),
        ("TIFF", "a.tif", "RGB"),
        ("TIFF", "a.TIFF", "CMYK"),
        ("WEBP", "a.webp", "RGB"),
    ],
)
def test_every_accepted_type_is_examined_and_shown(kind, name, mode):
    file = file_of(kind, name, mode)
    seen = examine(file)
    assert (seen.format, seen.width, seen.height) == (kind, 120, 90)
    assert seen.suffix == "." + name.split(".")[1].lower()
    assert seen.sha256 == hashlib.sha256(file.read()).hexdigest()
    assert seen.size_bytes == file.size
    shown = Image.open(io.BytesIO(preview(file)))
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "RGB", (120, 90))


def test_the_file_is_left_at_its_start():
    file = file_of("PNG", "a.png")
    examine(file)
    assert file.tell() == 0
    preview(file)
    assert file.tell() == 0


def refusal(content: bytes, name: str) -> UploadRefused:
    with pytest.raises(UploadRefused) as caught:
        examine(upload(content, name))
    return caught.value


def test_an_empty_file():
    assert refusal(b"", "a.png").code == "empty"


@pytest.mark.parametrize(("kind", "name"), [("JPEG", "a.jpg"), ("PNG", "a.png"), ("TIFF", "a.tif")])
def test_a_file_cut_off_on_its_way(kind, name):
    whole = encoded(noise(), kind)
    assert refusal(whole[: len(whole) // 2], name).code == "corrupt"
    assert refusal(whole[:30], name).code == "corrupt"


def test_a_library_that_tolerates_cut_off_files_changes_nothing(monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    assert refusal(encoded(noise(), "JPEG")[:2000], "a.jpg").code == "corrupt"


def test_damaged_pixels():
    whole = bytearray(encoded(noise(), "PNG"))
    whole[len(whole) // 2 : len(whole) // 2 + 40] = bytes(40)
    assert refusal(bytes(whole), "a.png").code == "corrupt"


def test_another_type_behind_the_name():
    refused = refusal(encoded(noise(), "PNG"), "field.jpg")
    assert refused.code == "wrong_type"
    assert "PNG" in refused.text and ".png" in refused.text


def test_no_type_in_the_name():
    refused = refusal(encoded(noise(), "WEBP"), "field")
    assert refused.code == "wrong_type"
    assert "%" not in refused.text and ".webp" in refused.text


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (encoded(noise(mode="P"), "GIF"), "GIF"),
        (b"%PDF-1.7\n%binary", "PDF"),
        (bytes(128) + b"DICM" + bytes(64), "DICOM"),
        (b"PK\x03\x04" + bytes(60), "ZIP"),
    ],
)
def test_an_unsupported_type_is_named(content, word):
    refused = refusal(content, "a.png")
    assert refused.code == "unsupported_type"
    assert word in refused.text and "TIFF" in refused.text


def test_pixels_of_32_bits():
    image = Image.fromarray(np.zeros((80, 80), np.float32))
    assert refusal(encoded(image, "TIFF"), "a.tif").code == "unsupported_type"


@pytest.mark.parametrize("content", [b"hello", bytes(500), b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_what_is_no_image(content):
    assert refusal(content, "a.png").code == "not_an_image"


def test_too_small():
    refused = refusal(encoded(noise((63, 200)), "PNG"), "a.png")
    assert refused.code == "too_small"
    assert "63" in refused.text and "64" in refused.text


def test_too_many_bytes(settings):
    settings.UPLOAD_MAX_BYTES = 1024 * 1024
    refused = refusal(bytes(1024 * 1024 + 1), "a.png")
    assert refused.code == "too_large"
    assert "2 MB" in refused.text and "1 MB" in refused.text


def test_too_many_pixels(settings):
    settings.UPLOAD_MAX_PIXELS = 10_000
    assert refusal(encoded(noise(), "PNG"), "a.png").code == "too_large"


def test_a_side_longer_than_the_picture_in_the_browser_is_made_smaller():
    image = noise((6000, 1500))
    for kind, name in (("PNG", "a.png"), ("TIFF", "a.tif")):
        file = upload(encoded(image, kind), name)
        assert (examine(file).width, examine(file).height) == (6000, 1500)
        shown = Image.open(io.BytesIO(preview(file)))
        assert shown.size == (4096, 1024)
        assert abs(np.asarray(shown).mean() - np.asarray(image).mean()) < 1


def test_a_decompression_bomb_is_never_decoded(settings, monkeypatch):
    """400 megapixels in half a megabyte; the limit is checked before a pixel is."""
    content = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    assert refusal(content, "a.png").code == "decompression_bomb"


def test_several_images_in_a_file():
    pages = [noise(seed=seed) for seed in range(3)]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    refused = refusal(content, "a.tif")
    assert refused.code == "several_images"
    assert "3" in refused.text


def test_a_thumbnail_page_is_no_second_field():
    content = encoded(noise(), "TIFF", save_all=True, append_images=[noise((60, 45))])
    seen = examine(upload(content, "a.tif"))
    assert (seen.width, seen.height) == (120, 90)


def test_a_camera_s_turned_photograph_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = upload(encoded(noise(), "JPEG", exif=exif.tobytes()), "a.jpg")
    assert (examine(file).width, examine(file).height) == (90, 120)
    assert Image.open(io.BytesIO(preview(file))).size == (90, 120)


def test_transparent_ground_is_shown_white():
    clear = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
    shown = np.asarray(Image.open(io.BytesIO(preview(upload(encoded(clear, "PNG"), "a.png")))))
    assert shown.min() >= 254


def test_twelve_bits_in_a_sixteen_bit_file_are_shown_bright():
    values = np.full((80, 80), 4000, np.uint16)
    file = upload(encoded(Image.fromarray(values), "PNG"), "a.png")
    assert examine(file).width == 80
    shown = np.asarray(Image.open(io.BytesIO(preview(file))))
    assert abs(int(shown.mean()) - 4000 * 255 // 4095) <= 2


SEEDS = [
    (encoded(noise((70, 70)), kind), "a" + suffix)
    for kind, suffix in (
        ("PNG", ".png"),
        ("JPEG", ".jpg"),
        ("BMP", ".bmp"),
        ("WEBP", ".webp"),
        ("TIFF", ".tif"),
    )
]


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_bytes_are_accepted_or_refused_and_nothing_else(data):
    whole, name = data.draw(st.sampled_from(SEEDS))
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, min(len(content) - 1, 400)))
        content[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    try:
        file = upload(bytes(content), name)
        examine(file)
        preview(file)
    except UploadRefused as refused:
        assert refused.text and "%" not in refused.text.replace(" %", "")


@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(content):
    assert refusal(content, "a.png").code
