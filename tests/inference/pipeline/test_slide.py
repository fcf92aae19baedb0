"""Whatever microscope the file comes from: the same pixels, or a sentence that says what is wrong."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from inference.pipeline import slide as slides
from inference.pipeline import slide_flat, slide_source, slide_vips
from inference.pipeline.errors import UnreadableImage, UnsupportedImage
from inference.pipeline.slide import Level, Slide
from tests.inference.pipeline.images import field
from tests.slide_files import halved, smooth, write_dicom, write_pyramid, write_svs

RGB = field(200, 120)
LARGE = smooth(700, 500)


def whole(slide: Slide) -> np.ndarray:
    return slide.read((0, 0, slide.width, slide.height))


def codes(slide: Slide) -> list[str]:
    return [notice.code for notice in slide.notices]


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp"])
def test_lossless_formats_give_the_pixels_back(tmp_path, name):
    Image.fromarray(RGB).save(tmp_path / name, lossless=True)
    slide = Slide.open(tmp_path / name)
    assert (slide.width, slide.height) == (200, 120)
    assert np.array_equal(whole(slide), RGB)
    assert slide.notices == ()


def test_jpeg_is_close(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(whole(Slide.open(tmp_path / "a.jpg")).astype(int) - RGB).mean() < 4


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_every_orientation_is_turned_upright(tmp_path, turn, name):
    """The tag says which way the stored rows and columns run (TIFF 6.0, tag 274)."""
    stored = RGB.swapaxes(0, 1) if turn >= 5 else RGB
    stored = {2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1]}.get(turn, stored)
    stored = {6: stored[::-1], 7: stored[::-1, ::-1], 8: stored[:, ::-1]}.get(turn, stored)
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"exif": exif} if name == "a.png" else {"tiffinfo": {274: turn}}
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, **options)
    slide = Slide.open(tmp_path / name)
    assert np.array_equal(whole(slide), RGB)
    assert codes(slide) == (["turned_upright"] if turn > 1 else [])


def test_a_declared_pixel_size_wins(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.tif", resolution=100_000, resolution_unit=3)
    found, declared = Slide.open(tmp_path / "a.tif"), Slide.open(tmp_path / "a.tif", 0.25)
    assert (found.pixel_um, found.pixel_um_source) == (pytest.approx(0.1), "metadata")
    assert (declared.pixel_um, declared.pixel_um_source) == (0.25, "declared")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
def test_the_resolution_of_a_photograph_is_its_pixel_size(tmp_path, name):
    Image.fromarray(RGB).save(tmp_path / name, dpi=(50_800, 50_800))
    slide = Slide.open(tmp_path / name)
    assert (slide.pixel_um, slide.pixel_um_source) == (pytest.approx(0.5, rel=1e-3), "metadata")


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_printing_resolution_is_no_pixel_size(tmp_path, name):
    Image.fromarray(RGB).save(tmp_path / name, dpi=(72, 72))
    slide = Slide.open(tmp_path / name)
    assert (slide.pixel_um, slide.pixel_um_source) == (None, "unknown")


def test_pixels_that_are_not_square_are_noticed(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png", dpi=(50_800, 2 * 50_800))
    slide = Slide.open(tmp_path / "a.png")
    assert slide.pixel_um == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
    assert codes(slide) == ["pixels_not_square"]


def test_of_several_frames_the_first_is_read_and_it_says_so(tmp_path):
    second = Image.fromarray(255 - RGB)
    for name in ("a.tif", "a.webp"):
        options = {"save_all": True, "append_images": [second], "lossless": True}
        Image.fromarray(RGB).save(tmp_path / name, **options)
        slide = Slide.open(tmp_path / name)
        assert np.array_equal(whole(slide), RGB)
        assert codes(slide) == ["first_frame_only"]


@pytest.mark.parametrize("cut", [0, 10, 200, 2000])
def test_a_truncated_file_is_refused(tmp_path, cut, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as WeasyPrint leaves it
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:cut])
    with pytest.raises(UnreadableImage) as error:
        Slide.open(tmp_path / "b.png")
    assert "Export it again" in error.value.text


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UnreadableImage, match=r"gone\.png"):
        Slide.open(tmp_path / "gone.png")


@pytest.mark.parametrize(("kind", "name"), [("PNG", "a.jpg"), ("TIFF", "a.png"), ("JPEG", "a.svs")])
def test_a_wrong_extension_does_not_matter_to_the_decoder_and_is_noticed(tmp_path, kind, name):
    Image.fromarray(LARGE).save(tmp_path / name, kind)
    slide = Slide.open(tmp_path / name)
    assert np.abs(whole(slide).astype(int) - LARGE).max() <= (12 if kind == "JPEG" else 0)
    assert codes(slide) == ["wrong_extension"]


def test_an_unsupported_format_is_named(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.gif")
    with pytest.raises(UnsupportedImage, match="GIF"):
        Slide.open(tmp_path / "a.gif")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.svs"])
def test_too_small_and_too_large_are_refused_before_decoding(tmp_path, monkeypatch, name):
    def save(pixels):
        if name == "a.svs":
            write_svs(tmp_path / name, pixels)
        else:
            Image.fromarray(pixels).save(tmp_path / name)
        return tmp_path / name

    with pytest.raises(UnsupportedImage, match="40×40"):
        Slide.open(save(RGB[:40, :40]))
    monkeypatch.setattr(slide_source, "MAX_PIXELS", 1000)
    with pytest.raises(UnsupportedImage, match="megapixels"):
        Slide.open(save(RGB))


def giant_formats(path) -> list[str]:
    Image.fromarray(LARGE).save(path / "a.png", dpi=(50_800, 50_800))
    Image.fromarray(LARGE).save(path / "a.jpg", quality=95, dpi=(50_800, 50_800))
    Image.fromarray(LARGE).save(path / "a.webp", lossless=True)
    return ["a.png", "a.jpg", "a.webp"]


def test_what_is_too_large_for_memory_gives_the_same_pixels_from_disk(tmp_path, monkeypatch):
    for name in giant_formats(tmp_path):
        in_memory = Slide.open(tmp_path / name)
        with monkeypatch.context() as patch:
            patch.setattr(slide_flat, "WHOLE_MAX_PIXELS", 100_000)
            on_disk = Slide.open(tmp_path / name)
        assert isinstance(on_disk.source, slide_vips.VipsSource)
        assert np.abs(whole(on_disk).astype(int) - whole(in_memory)).max() <= 2
        assert on_disk.source.kind == in_memory.source.kind
        assert on_disk.pixel_um_source == in_memory.pixel_um_source
        if name != "a.webp":
            assert on_disk.pixel_um == pytest.approx(0.5, rel=1e-3)


def test_a_giant_that_is_cut_off_is_refused_on_opening(tmp_path, monkeypatch):
    monkeypatch.setattr(slide_flat, "WHOLE_MAX_PIXELS", 100_000)
    for name in giant_formats(tmp_path)[:2]:
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) * 3 // 4])
        with pytest.raises(UnreadableImage):
            Slide.open(tmp_path / name)


def test_a_giant_without_room_on_disk_is_not_the_file_s_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(slide_flat, "WHOLE_MAX_PIXELS", 100_000)
    giant_formats(tmp_path)
    nearly_full = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(slide_source.shutil, "disk_usage", lambda path: nearly_full)
    with pytest.raises(OSError, match="No space"):
        Slide.open(tmp_path / "a.png")


def test_what_can_only_be_unpacked_in_memory_has_a_limit_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(slide_flat, "WHOLE_MAX_PIXELS", 100_000)
    for module in (slide_flat, slide_vips):
        monkeypatch.setattr(module, "UNSTREAMED_MAX_PIXELS", 200_000)
    Image.fromarray(LARGE).save(tmp_path / "a.jpg", progressive=True, quality=97)
    Image.fromarray(LARGE).save(tmp_path / "a.bmp")
    for name in ("a.jpg", "a.bmp"):
        with pytest.raises(UnsupportedImage, match="tiled TIFF"):
            Slide.open(tmp_path / name)


def test_the_guard_of_pillow_against_bombs_is_no_limit(tmp_path, monkeypatch):
    giant_formats(tmp_path)
    Image.fromarray(LARGE).save(tmp_path / "a.bmp")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    assert np.array_equal(whole(Slide.open(tmp_path / "a.png")), LARGE)
    with pytest.raises(UnsupportedImage, match="tiled TIFF"):
        Slide.open(tmp_path / "a.bmp")


def test_a_gigapixel_in_a_tiny_file_is_refused(tmp_path):
    Image.new("1", (30_000, 30_000)).save(tmp_path / "a.png")
    with pytest.raises(UnsupportedImage, match="file as small") as error:
        Slide.open(tmp_path / "a.png")
    assert error.value.code == "too_large"


# --- regions, levels, overview --------------------------------------------------------------------
@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The same picture in one file of each way of reading."""
    folder = tmp_path_factory.mktemp("slides")
    Image.fromarray(LARGE).save(folder / "a.png")
    write_pyramid(folder / "a.tif", LARGE)
    write_svs(folder / "a.svs", LARGE)
    (folder / "series").mkdir()
    write_dicom(folder / "series/a.dcm", LARGE)
    write_dicom(folder / "series/b.dcm", halved(LARGE), 0.5, level=1)
    return {path.suffix: Slide.open(path) for path in (*folder.glob("a.*"), folder / "series/a.dcm")}


SUFFIXES = [".png", ".tif", ".svs", ".dcm"]


@st.composite
def boxes(draw):
    x0, y0 = draw(st.integers(0, 699)), draw(st.integers(0, 499))
    return x0, y0, draw(st.integers(x0 + 1, 700)), draw(st.integers(y0 + 1, 500))


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None)
@given(box=boxes())
def test_any_region_is_the_same_crop_of_the_whole(opened, suffix, box):
    x0, y0, x1, y1 = box
    region = opened[suffix].read(box)
    assert region.shape == (y1 - y0, x1 - x0, 3)
    assert region.dtype == np.uint8
    assert np.array_equal(region, whole(opened[suffix])[y0:y1, x0:x1])
    assert np.abs(region.astype(int) - LARGE[y0:y1, x0:x1]).max() <= (8 if suffix == ".dcm" else 0)


@pytest.mark.parametrize("suffix", [".tif", ".dcm"])
@settings(max_examples=25, deadline=None)
@given(box=boxes(), level=st.integers(1, 2))
def test_regions_of_a_level_have_its_scale(opened, suffix, box, level):
    slide = opened[suffix]
    level = min(level, len(slide.levels) - 1)
    region = slide.read(box, level)
    for length, start, end in zip(region.shape[1::-1], box[:2], box[2:], strict=True):
        assert abs(length - (end - start) / slide.levels[level].downsample) <= 1
    assert region.min() >= LARGE[box[1] : box[3], box[0] : box[2]].min(axis=(0, 1)).min() - 12


def test_levels_are_told_with_their_size(opened):
    assert opened[".tif"].levels == (Level(700, 500, 1.0), Level(350, 250, 2.0), Level(175, 125, 4.0))
    assert opened[".dcm"].levels == (Level(700, 500, 1.0), Level(350, 250, 2.0))
    assert opened[".png"].levels == (Level(700, 500, 1.0),)
    expected = halved(LARGE)[50:100, 60:150]
    assert np.array_equal(opened[".tif"].read((120, 100, 300, 200), 1), expected)


def test_regions_that_touch_join_at_every_level(opened):
    slide = opened[".tif"]
    for level in range(3):
        left, right = slide.read((0, 0, 333, 500), level), slide.read((333, 0, 700, 500), level)
        together = np.concatenate([left, right], axis=1)
        assert np.array_equal(together, slide.read((0, 0, 700, 500), level))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_threads_read_what_one_reads(opened, suffix):
    slide = opened[suffix]
    places = [(x, y, x + 90, y + 80) for x in range(0, 600, 60) for y in range(0, 400, 50)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(slide.read, places))
    for box, region in zip(places, together, strict=True):
        assert np.array_equal(region, slide.read(box))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("longest", [1, 64, 175, 300, 700, 4000])
def test_an_overview_is_the_average_of_areas(opened, suffix, longest):
    overview = opened[suffix].overview(longest)
    height, width = overview.shape[:2]
    assert (width, height) == (min(700, longest), max(1, round(500 * min(700, longest) / 700)))
    expected = cv2.resize(LARGE, (width, height), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(overview.astype(int) - expected).max() <= 8


def test_an_overview_of_a_large_level_is_averaged_in_bands(opened, monkeypatch):
    at_once = opened[".png"].overview(100)
    monkeypatch.setattr(slides, "BAND_PIXELS", 30_000)
    assert np.abs(opened[".png"].overview(100).astype(int) - at_once).max() <= 2


@pytest.mark.parametrize("box", [(0, 0, 701, 10), (-1, 0, 10, 10), (5, 5, 5, 10), (0, 400, 10, 501)])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_reading_outside_is_an_error(opened, suffix, box):
    with pytest.raises(ValueError, match="700×500"):
        opened[suffix].read(box)


def held_open(path) -> bool:
    return any(entry.exists() and entry.samefile(path) for entry in Path("/proc/self/fd").iterdir())


def test_a_slide_is_closed_by_its_context(tmp_path):
    write_pyramid(tmp_path / "a.tif", LARGE)
    with Slide.open(tmp_path / "a.tif") as slide:
        assert slide.read((0, 0, 9, 9)).shape == (9, 9, 3)
        assert held_open(tmp_path / "a.tif")
    assert not held_open(tmp_path / "a.tif")
