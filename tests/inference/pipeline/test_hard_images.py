"""The standing list of hard images, taken through the numeric stages: an answer or a sentence, no crash."""

import numpy as np
import pytest
from PIL import Image

from inference.pipeline import cells, quality, stain
from inference.pipeline.config import CellConfig
from inference.pipeline.errors import PipelineError, UnreadableImage, UnusableSmear
from inference.pipeline.segmentation import estimate_pixel_um, segment
from inference.pipeline.slide import Slide
from tests.inference.pipeline.images import field, flat

FIELD = field(400, 300)


def noise() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (200, 200, 3)).astype(np.uint8)


HARD = {
    "blank": flat(255),
    "black": flat(0),
    "grey": flat(128),
    "one_pixel": flat(200, 1, 1),
    "one_row": flat(200, 500, 1),
    "tiny": FIELD[:9, :9],
    "noise": noise(),
    "half_black": np.vstack([FIELD, np.zeros_like(FIELD)]),
    "inverted": 255 - FIELD,
    "colourless": FIELD[..., 1:2].repeat(3, axis=2),
    "all_nucleus": flat(80) - np.array([0, 40, 0], np.uint8),
}


@pytest.mark.parametrize("name", HARD)
def test_segmentation_answers_on_any_array(name):
    image = HARD[name]
    height, width = image.shape[:2]
    for found in segment(image, 0.1) + segment(image):
        x0, y0, x1, y1 = found.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert 0 <= found.confidence <= 1
        assert cells.crop(image, found, CellConfig(), 64).shape == (64, 64, 3)


@pytest.mark.parametrize("name", ["blank", "black", "grey", "one_pixel"])
def test_nothing_is_found_where_nothing_is(name):
    assert segment(HARD[name]) == []
    assert estimate_pixel_um(HARD[name]) is None if name != "one_pixel" else True


@pytest.mark.parametrize("name", HARD)
def test_stain_normalisation_never_explodes(name):
    image = HARD[name]
    moved = stain.normalise(image, stain.fit(image), stain.fit(FIELD))
    assert moved.shape == image.shape
    assert moved.dtype == np.uint8


@pytest.mark.parametrize("name", ["blank", "black", "grey"])
def test_an_image_without_cells_is_refused_with_a_sentence(name):
    with pytest.raises(UnusableSmear) as error:
        quality.assess(HARD[name], 256, 256)
    assert error.value.text.endswith(".")


def save(path, pixels, mode=None, **options):
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "name"), [("L", "a.png"), ("RGBA", "a.png"), ("CMYK", "a.jpg"), ("P", "a.png")]
)
def test_every_pixel_layout_comes_out_as_rgb(tmp_path, mode, name):
    slide = Slide.open(save(tmp_path / name, FIELD, mode))
    assert slide.pixels.shape == FIELD.shape
    assert slide.pixels.dtype == np.uint8


def test_sixteen_bit_colour_is_scaled(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", FIELD.astype(np.uint16) * 257, photometric="rgb")
    assert np.abs(Slide.open(tmp_path / "a.tif").pixels.astype(int) - FIELD).max() <= 1


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.tif", "a.webp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_file_is_unreadable(tmp_path, name, share):
    whole = save(tmp_path / name, FIELD).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UnreadableImage):
        Slide.open(tmp_path / name)


def test_a_broken_body_is_no_crash(tmp_path):
    path = save(tmp_path / "a.png", FIELD)
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(bytes(data))
    with pytest.raises(PipelineError):
        Slide.open(path)
