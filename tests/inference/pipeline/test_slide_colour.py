"""However a file stores its pixels, they come out as 8-bit RGB in sRGB."""

import io

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageCms

from inference.pipeline.errors import UnsupportedImage
from inference.pipeline.slide import Slide
from inference.pipeline.slide_colour import Colours, Model, Stored
from tests.inference.pipeline.images import field

RGB = field(200, 120)


def whole(slide: Slide) -> np.ndarray:
    return slide.read((0, 0, slide.width, slide.height))


def codes(slide: Slide) -> list[str]:
    return [notice.code for notice in slide.notices]


def swapped_profile() -> bytes:
    """An RGB profile whose red and blue primaries are exchanged: nobody could mistake it for sRGB."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ", 128), profile.index(b"bXYZ", 128)
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def as_imagecms(image: Image.Image, profile: bytes) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.asarray(converted)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_an_embedded_profile_is_followed(tmp_path, name):
    profile = swapped_profile()
    Image.fromarray(RGB).save(tmp_path / name, icc_profile=profile)
    slide = Slide.open(tmp_path / name)
    with Image.open(tmp_path / name) as stored:
        assert np.abs(whole(slide).astype(int) - as_imagecms(stored, profile)).max() <= 2
        assert np.abs(whole(slide).astype(int) - np.asarray(stored)).max() > 20
    assert codes(slide) == ["colour_profile"]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_srgb_by_another_name_changes_nothing(tmp_path, name):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB).save(tmp_path / name, icc_profile=profile)
    slide = Slide.open(tmp_path / name)
    assert np.array_equal(whole(slide), RGB)
    assert slide.notices == ()


def test_a_profile_for_other_pixels_is_left_out(tmp_path):
    Image.fromarray(RGB).convert("L").save(tmp_path / "a.png", icc_profile=swapped_profile())
    slide = Slide.open(tmp_path / "a.png")
    assert np.array_equal(whole(slide)[..., 0], np.asarray(Image.fromarray(RGB).convert("L")))
    assert codes(slide) == ["colour_converted"]


def test_a_damaged_profile_is_left_out_and_it_says_so(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=swapped_profile()[:200])
    slide = Slide.open(tmp_path / "a.png")
    assert np.array_equal(whole(slide), RGB)
    assert codes(slide) == ["colour_profile_unreadable"]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_alpha_is_composited_on_white(tmp_path, name):
    alpha = np.linspace(0, 255, 80).astype(np.uint8)[None].repeat(80, axis=0)
    pixels = np.dstack([np.full((80, 80, 3), (10, 100, 200), np.uint8), alpha])
    Image.fromarray(pixels, "RGBA").save(tmp_path / name, lossless=True, exact=True)
    share = alpha[..., None] / 255
    expected = np.array([10, 100, 200]) * share + 255 * (1 - share)
    assert np.abs(whole(Slide.open(tmp_path / name)) - expected).max() <= 1


@pytest.mark.parametrize(("top", "bits"), [(255, 8), (1023, 10), (4095, 12), (16_383, 14), (65_535, 16)])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_the_depth_that_is_used_is_scaled_to_eight_bits(tmp_path, name, top, bits):
    values = np.rint(np.linspace(0, top, 6400)).astype(np.uint16).reshape(80, 80)
    Image.fromarray(values).save(tmp_path / name)
    slide = Slide.open(tmp_path / name)
    assert np.abs(whole(slide) - values[..., None] * (255 / top)).max() <= 0.5
    assert codes(slide) == ["colour_converted"]
    assert f"{bits}-bit grey" in slide.notices[0].text


def test_sixteen_bit_colour_is_scaled(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB.astype(np.uint16) * 257, photometric="rgb")
    slide = Slide.open(tmp_path / "a.tif")
    assert np.array_equal(whole(slide), RGB)
    assert "16-bit colour" in slide.notices[0].text


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk_becomes_rgb(tmp_path, name):
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / name, **({"quality": 98} if name == "a.jpg" else {}))
    slide = Slide.open(tmp_path / name)
    assert np.abs(whole(slide).astype(int) - RGB).mean() <= (0 if name == "a.tif" else 3)
    assert codes(slide) == ["colour_converted"]


def test_black_ink_darkens_all_colours(tmp_path):
    cmyk = np.full((80, 80, 4), (0, 255, 51, 51), np.uint8)
    Image.frombytes("CMYK", (80, 80), cmyk.tobytes()).save(tmp_path / "a.tif")
    assert np.array_equal(
        np.unique(whole(Slide.open(tmp_path / "a.tif")).reshape(-1, 3), axis=0), [[204, 0, 163]]
    )


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA"])
def test_grey_palette_and_bitmaps_become_rgb(tmp_path, mode):
    stored = Image.fromarray(RGB).convert(mode)
    stored.save(tmp_path / "a.png")
    slide = Slide.open(tmp_path / "a.png")
    assert np.array_equal(whole(slide), np.asarray(stored.convert("RGB")))


def test_colours_multiplied_by_alpha_are_laid_on_white(tmp_path):
    stored = np.full((80, 80, 4), (10, 50, 100, 128), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    assert (whole(Slide.open(tmp_path / "a.tif")) == (137, 177, 227)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.bool_])
def test_where_zero_is_white_it_stays_white(tmp_path, dtype):
    stored = np.zeros((80, 80), dtype)
    stored[40:] = True if dtype is np.bool_ else np.iinfo(dtype).max
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    seen = whole(Slide.open(tmp_path / "a.tif"))
    assert (seen[:40] == 255).all()
    assert (seen[40:] == 0).all()


def test_the_palette_of_a_tiff_is_looked_up(tmp_path):
    stored = Image.fromarray(RGB).convert("P")
    stored.save(tmp_path / "a.tif")
    assert np.array_equal(whole(Slide.open(tmp_path / "a.tif")), np.asarray(stored.convert("RGB")))


def test_another_colour_model_is_refused(tmp_path):
    Image.new("LAB", (80, 80), (255, 128, 128)).save(tmp_path / "a.tif")
    with pytest.raises(UnsupportedImage, match="grey, RGB or CMYK"):
        Slide.open(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((80, 80), np.float32),
        np.full((80, 80), 2**20, np.uint32),
        np.zeros((80, 80, 7), np.uint8),
    ],
    ids=["float", "32-bit", "seven channels"],
)
def test_what_is_no_8_or_16_bit_picture_is_refused(tmp_path, pixels):
    tifffile.imwrite(tmp_path / "a.tif", pixels, planarconfig="contig" if pixels.ndim == 3 else None)
    with pytest.raises(UnsupportedImage) as error:
        Slide.open(tmp_path / "a.tif")
    assert error.value.text.endswith(".")


CHANNELS = {Model.GREY: 1, Model.RGB: 3, Model.CMYK: 4}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), model=st.sampled_from(Model), bits=st.sampled_from((8, 10, 12, 14, 16)))
def test_any_array_of_stored_pixels_becomes_rgb(data, model, bits):
    channels = CHANNELS[model] + data.draw(st.integers(0, 1))
    shape = (data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)), channels)
    dtype = np.uint8 if bits == 8 else np.uint16
    stored = data.draw(arrays.arrays(dtype, shape, elements=st.integers(0, 2**bits - 1)))
    converted = Colours(Stored(model, bits))(stored)
    assert (converted.shape, converted.dtype) == ((*shape[:2], 3), np.uint8)
    if channels > CHANNELS[model]:
        clear = stored[..., -1] == 0
        assert (converted[clear] == 255).all()
