"""TIFF in all its layouts, the formats of scanners, and DICOM."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from openslide import OpenSlide

from inference.pipeline import slide_pages
from inference.pipeline.errors import UnreadableImage, UnsupportedImage
from inference.pipeline.slide import Level, Slide
from inference.pipeline.slide_openslide import OpenSlideSource
from tests.slide_files import halved, smooth, write_dicom, write_pyramid, write_svs

PIXELS = smooth(500, 300)


def whole(slide: Slide) -> np.ndarray:
    return slide.read((0, 0, slide.width, slide.height))


LAYOUTS = {
    "strips": {},
    "one strip": {"rowsperstrip": 300},
    "tiles": {"tile": (64, 64)},
    "big": {"bigtiff": True, "tile": (128, 64)},
    "big-endian": {"byteorder": ">"},
    "planes": {"planarconfig": "separate"},
    "deflate": {"compression": "zlib", "predictor": True},
    "lzw": {"compression": "lzw"},
    "tiles of planes": {"planarconfig": "separate", "tile": (64, 64)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_tiff_gives_the_pixels_back(tmp_path, layout):
    options = LAYOUTS[layout]
    stored = np.moveaxis(PIXELS, -1, 0) if "planarconfig" in options else PIXELS
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", **options)
    slide = Slide.open(tmp_path / "a.tif")
    assert np.array_equal(whole(slide), PIXELS)
    assert slide.notices == ()


@pytest.mark.parametrize("subifds", [False, True])
def test_a_pyramid_has_its_levels_in_pages_or_in_subifds(tmp_path, subifds):
    write_pyramid(tmp_path / "a.tif", PIXELS, subifds=subifds)
    slide = Slide.open(tmp_path / "a.tif")
    assert slide.levels == (Level(500, 300, 1.0), Level(250, 150, 2.0), Level(125, 75, 4.0))
    assert np.array_equal(slide.read((0, 0, 500, 300), 1), halved(PIXELS))
    assert slide.notices == ()


def test_a_pyramid_of_jpeg_tiles_as_a_converter_writes_it(tmp_path):
    image = pyvips.Image.new_from_array(PIXELS)
    image.tiffsave(str(tmp_path / "a.tif"), tile=True, pyramid=True, compression="jpeg", Q=95)
    slide = Slide.open(tmp_path / "a.tif")
    assert [level.width for level in slide.levels] == [500, 250, 125]
    assert np.abs(whole(slide).astype(int) - PIXELS).mean() < 2


def test_a_turned_pyramid_is_turned_at_every_level(tmp_path):
    write_pyramid(tmp_path / "a.tif", np.rot90(PIXELS), extratags=[(274, "H", 1, 6, True)])
    slide = Slide.open(tmp_path / "a.tif")
    assert np.array_equal(whole(slide), PIXELS)
    assert np.array_equal(slide.read((0, 0, 500, 300), 1), halved(PIXELS))


def test_a_label_beside_the_image_is_no_level_and_no_second_field(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PIXELS, photometric="rgb")
        writer.write(PIXELS[:200, :200], photometric="rgb")
        writer.write(np.zeros((90, 90), np.float32))
    slide = Slide.open(tmp_path / "a.tif")
    assert slide.levels == (Level(500, 300, 1.0),)
    assert slide.notices == ()


@pytest.mark.parametrize(
    ("size", "unit", "expected"), [(0.25, "µm", 0.25), (250.0, "nm", 0.25), (2.5e-4, "mm", 0.25)]
)
def test_the_scale_of_ome_tiff(tmp_path, size, unit, expected):
    about = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit}
    about |= {"PhysicalSizeY": size, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, photometric="rgb", metadata=about)
    slide = Slide.open(tmp_path / "a.ome.tif")
    assert (slide.pixel_um, slide.pixel_um_source) == (pytest.approx(expected), "metadata")


def test_the_slide_of_a_real_scanner(wbc_data):
    path = wbc_data / "slides" / "CMU-1-Small-Region.svs"
    with Slide.open(path) as slide:
        assert (slide.width, slide.height, slide.pixel_um) == (2220, 2967, 0.499)
        assert isinstance(slide.source, OpenSlideSource)
        # The same tiles, decoded by another library.
        plain = pyvips.Image.new_from_file(str(path)).numpy()
        box = (700, 1100, 1500, 1900)
        assert np.abs(slide.read(box).astype(int) - plain[1100:1900, 700:1500]).max() <= 2
        assert np.abs(slide.overview(300).mean() - plain.mean()) < 1


def test_the_scale_of_a_scanner_s_slide(tmp_path):
    write_svs(tmp_path / "a.svs", PIXELS, pixel_um=0.1725)
    slide = Slide.open(tmp_path / "a.svs")
    assert (slide.pixel_um, slide.pixel_um_source) == (0.1725, "metadata")
    assert np.array_equal(whole(slide), PIXELS)


def test_a_dicom_series_is_one_slide_whichever_file_is_named(tmp_path):
    write_dicom(tmp_path / "a.dcm", PIXELS, 0.25)
    write_dicom(tmp_path / "b.dcm", halved(PIXELS), 0.5, level=1)
    for name in ("a.dcm", "b.dcm"):
        slide = Slide.open(tmp_path / name)
        assert [level.width for level in slide.levels] == [500, 250]
        assert slide.pixel_um == pytest.approx(0.25)
        assert np.abs(whole(slide).astype(int) - PIXELS).max() <= 8


@pytest.mark.parametrize("name", ["a.mrxs", "a.vms", "a.vmu"])
def test_the_first_of_several_files_alone_says_what_is_missing(tmp_path, name):
    (tmp_path / name).write_bytes(b"[Virtual Microscope Specimen]")
    with pytest.raises(UnreadableImage, match="several files") as error:
        Slide.open(tmp_path / name)
    assert error.value.code == "parts_missing"


@pytest.mark.parametrize("write", [write_pyramid, write_svs], ids=["tiff", "svs"])
@pytest.mark.parametrize("missing", [1, 5_000, 200_000])
def test_a_file_whose_end_is_missing_is_refused_on_opening(tmp_path, write, missing):
    """The directories of these files lie before their tiles."""
    write(tmp_path / "a.tif", PIXELS)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-missing])
    with pytest.raises(UnreadableImage):
        Slide.open(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["zlib", "lzw", "jpeg"])
def test_a_damaged_tile_is_an_error_where_it_is_read(tmp_path, compression):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", tile=(64, 64), compression=compression)
    with tifffile.TiffFile(tmp_path / "a.tif") as opened:
        place = opened.pages.first.dataoffsets[-1]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[place : place + 40] = bytes(40)
    (tmp_path / "a.tif").write_bytes(content)
    slide = Slide.open(tmp_path / "a.tif")
    assert np.abs(slide.read((0, 0, 64, 64)).astype(int) - PIXELS[:64, :64]).mean() < 2
    with pytest.raises(UnreadableImage):
        slide.read((490, 290, 500, 300))


def test_what_has_no_tiles_has_a_limit_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(slide_pages, "UNTILED_MAX_PIXELS", 100_000)
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb")
    with pytest.raises(UnsupportedImage, match="tiled TIFF"):
        Slide.open(tmp_path / "a.tif")
    write_pyramid(tmp_path / "b.tif", PIXELS)
    assert Slide.open(tmp_path / "b.tif").width == 500


def test_a_large_slide_is_never_in_memory_as_a_whole(tmp_path):
    """A slide of 20,000 × 20,000 px, 1.2 GB unpacked, opened, looked at and read in a process of its own."""
    tile = pyvips.Image.new_from_array(smooth(1000, 1000)).replicate(20, 20)
    tile.tiffsave(str(tmp_path / "a.tif"), tile=True, pyramid=True, compression="jpeg", bigtiff=True)
    program = """
        import resource, sys
        from pathlib import Path
        from inference.pipeline.slide import Slide
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with Slide.open(Path(sys.argv[1])) as slide:
            slide.overview(2048)
            for place in range(0, 19_000, 1000):
                slide.read((place, place, place + 1024, place + 1024) if place < 18_900 else (0, 0, 9, 9))
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    root = Path(__file__).parents[3]
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "a.tif")],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert int(said.stdout) < 250


def test_the_synthetic_slide_of_the_samples_is_a_pyramid_that_says_what_it_is(tmp_path, wbc_data):
    root, target = Path(__file__).parents[3], tmp_path / "synthetic.tif"
    program = [sys.executable, root / "samples" / "synthetic_slide.py", wbc_data, target]
    subprocess.run([*program, "--side", "900", "--tile", "128"], check=True)
    slide = Slide.open(target)
    assert [level.width for level in slide.levels] == [900, 450, 225, 112]
    assert slide.pixel_um == pytest.approx(0.1)
    assert OpenSlide.detect_format(target) == "generic-tiff"
    with tifffile.TiffFile(target) as opened:
        assert opened.pages.first.description.startswith("synthetic")
    # Cells on glass: a bright ground, and something on it.
    assert np.median(whole(slide)) > 200 > whole(slide).min() + 50
