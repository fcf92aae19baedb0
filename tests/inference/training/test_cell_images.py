import numpy as np
import pytest
import tifffile
from PIL import Image

from inference.pipeline.errors import UnreadableImage, UnsupportedImage
from inference.training.cell_images import large_enough, read_cell_image
from inference.training.labels import Sample
from tests.inference.pipeline.test_single_cell import cell_image

CELL = cell_image()


def saved(path, mode="RGB", **options):
    Image.fromarray(CELL).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize(("name", "mode"), [("a.png", "RGBA"), ("a.webp", "RGBA"), ("a.bmp", "RGB")])
def test_other_layouts_give_the_same_picture(tmp_path, name, mode):
    read = read_cell_image(saved(tmp_path / name, mode))
    assert (read.shape, read.dtype) == (CELL.shape, np.uint8)
    assert np.abs(read.astype(int) - CELL).mean() < 6


def test_grey_cmyk_and_16_bit_are_read(tmp_path):
    grey = read_cell_image(saved(tmp_path / "g.png", "L"))
    assert (grey[..., 0] == grey[..., 2]).all()
    cmyk = read_cell_image(saved(tmp_path / "c.jpg", "CMYK", quality=95))
    assert np.abs(cmyk.astype(int) - CELL).mean() < 12
    tifffile.imwrite(tmp_path / "d.tif", CELL.astype(np.uint16) * 257, photometric="rgb")
    assert (read_cell_image(tmp_path / "d.tif") == CELL).all()


def test_a_closely_cut_cell_may_be_smaller_than_a_smear(tmp_path):
    Image.fromarray(CELL[:40, :30]).save(tmp_path / "a.png")
    assert read_cell_image(tmp_path / "a.png").shape == (40, 30, 3)


@pytest.mark.parametrize("size", [(1, 1), (500, 1), (20, 20)])
def test_a_few_pixels_are_no_cell(tmp_path, size):
    Image.new("RGB", size).save(tmp_path / "a.png")
    with pytest.raises(UnsupportedImage, match="at least 64×64 px") as error:
        read_cell_image(tmp_path / "a.png")
    assert error.value.code == "too_small"


def test_a_training_leaves_out_images_that_hold_no_cell(tmp_path, caplog):
    Image.new("RGB", (7, 7)).save(tmp_path / "speck.png")
    cell, speck = (Sample(path, "lymphocyte") for path in (saved(tmp_path / "a.png"), tmp_path / "speck.png"))
    with caplog.at_level("INFO"):
        assert large_enough([speck, cell]) == [cell]
    assert "speck.png" in caplog.text


@pytest.mark.parametrize("size", [(9000, 9000), (30_000, 30_000)])
def test_a_giant_is_refused_before_it_is_decoded(tmp_path, size):
    Image.new("1", size).save(tmp_path / "a.png")
    with pytest.raises(UnsupportedImage, match="at most 64 megapixels") as error:
        read_cell_image(tmp_path / "a.png")
    assert error.value.code == "too_large"


def test_what_is_no_image_is_unreadable(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.png").write_bytes(saved(tmp_path / "c.png").read_bytes()[:5000])
    for name in ("a.png", "b.png", "nowhere.png"):
        with pytest.raises(UnreadableImage):
            read_cell_image(tmp_path / name)
