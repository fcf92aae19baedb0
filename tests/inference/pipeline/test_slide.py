"""Whatever microscope the file comes from: the same pixels, or a sentence that says what is wrong."""

import numpy as np
import pytest
from PIL import Image, ImageFile

from inference.pipeline import slide as slides
from inference.pipeline.errors import PipelineError, UnreadableImage, UnsupportedImage
from inference.pipeline.slide import Slide
from tests.inference.pipeline.images import field

RGB = field(200, 120)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp"])
def test_lossless_formats_give_the_pixels_back(tmp_path, name):
    Image.fromarray(RGB).save(tmp_path / name, lossless=True)
    slide = Slide.open(tmp_path / name)
    assert (slide.width, slide.height) == (200, 120)
    assert np.array_equal(slide.read((0, 0, 200, 120)), RGB)


def test_jpeg_is_close(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(Slide.open(tmp_path / "a.jpg").pixels.astype(int) - RGB).mean() < 4


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif, quality=95)
    slide = Slide.open(tmp_path / "a.jpg")
    assert (slide.width, slide.height) == (120, 200)


def test_alpha_is_composited_on_white(tmp_path):
    pixels = np.dstack([np.zeros((80, 80, 3), np.uint8), np.zeros((80, 80), np.uint8)])
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    assert (Slide.open(tmp_path / "a.png").pixels == 255).all()


def test_sixteen_bit_grey_is_scaled(tmp_path):
    Image.fromarray(np.full((80, 80), 32_768, np.uint16)).save(tmp_path / "a.tif")
    slide = Slide.open(tmp_path / "a.tif")
    assert slide.pixels.dtype == np.uint8
    assert abs(int(slide.pixels[0, 0, 0]) - 127) <= 1
    assert [notice.code for notice in slide.notices] == ["colour_converted"]


def test_cmyk_becomes_rgb(tmp_path):
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.tif")
    assert np.abs(Slide.open(tmp_path / "a.tif").pixels.astype(int) - RGB).max() <= 2


def test_a_declared_pixel_size_wins(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.tif", resolution=100_000, resolution_unit=3)
    found, declared = Slide.open(tmp_path / "a.tif"), Slide.open(tmp_path / "a.tif", 0.25)
    assert (found.pixel_um, found.pixel_um_source) == (pytest.approx(0.1), "metadata")
    assert (declared.pixel_um, declared.pixel_um_source) == (0.25, "declared")


def test_a_printing_resolution_is_no_pixel_size(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.tif", resolution=72, resolution_unit=2)
    assert Slide.open(tmp_path / "a.tif").pixel_um_source == "unknown"


def test_of_several_frames_the_first_is_read_and_it_says_so(tmp_path):
    second = Image.fromarray(255 - RGB)
    Image.fromarray(RGB).save(tmp_path / "a.tif", save_all=True, append_images=[second])
    slide = Slide.open(tmp_path / "a.tif")
    assert np.array_equal(slide.pixels, RGB)
    assert [notice.code for notice in slide.notices] == ["first_frame_only"]


@pytest.mark.parametrize("cut", [0, 10, 200, 2000])
def test_a_truncated_file_is_refused(tmp_path, cut, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as WeasyPrint leaves it
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:cut])
    with pytest.raises(UnreadableImage) as error:
        Slide.open(tmp_path / "b.png")
    assert "Export it again" in error.value.text


def test_a_text_with_a_pictures_name_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_text("no picture at all")
    with pytest.raises(UnreadableImage):
        Slide.open(tmp_path / "a.jpg")


def test_a_wrong_extension_does_not_matter_to_the_decoder(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", "PNG")
    assert np.array_equal(Slide.open(tmp_path / "a.jpg").pixels, RGB)


def test_an_unsupported_format_is_named(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.gif")
    with pytest.raises(UnsupportedImage, match="GIF"):
        Slide.open(tmp_path / "a.gif")


def test_too_small_and_too_large_are_refused_before_decoding(tmp_path, monkeypatch):
    Image.fromarray(RGB[:40, :40]).save(tmp_path / "small.png")
    with pytest.raises(UnsupportedImage, match="40×40"):
        Slide.open(tmp_path / "small.png")
    monkeypatch.setattr(slides, "MAX_PIXELS", 1000)
    Image.fromarray(RGB).save(tmp_path / "large.png")
    with pytest.raises(UnsupportedImage, match="megapixels"):
        Slide.open(tmp_path / "large.png")


def test_a_decompression_bomb_is_refused(tmp_path):
    Image.new("1", (30_000, 30_000)).save(tmp_path / "bomb.png")
    with pytest.raises(PipelineError, match="megapixels"):
        Slide.open(tmp_path / "bomb.png")


def test_reading_outside_is_an_error(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="200×120"):
        Slide.open(tmp_path / "a.png").read((0, 0, 201, 120))
