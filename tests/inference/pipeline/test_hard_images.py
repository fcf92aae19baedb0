"""The standing list of hard images, taken through the numeric stages: an answer or a sentence, no crash."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.pipeline import cells, quality, stain
from inference.pipeline.analyse import analyse
from inference.pipeline.config import CellConfig, Config
from inference.pipeline.errors import PipelineError, UnreadableImage, UnusableSmear
from inference.pipeline.segmentation import estimate_pixel_um, segment
from inference.pipeline.slide import Slide
from tests.hard_files import FIELD, HARD_FILES
from tests.inference.pipeline.images import flat
from tests.slide_files import looping


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


@pytest.mark.parametrize("kind", HARD_FILES)
def test_every_hard_file_ends_in_findings_or_in_a_sentence(tmp_path, kind):
    hard = HARD_FILES[kind]
    hard.make(tmp_path / hard.name)
    if hard.analysis_code is None:
        findings = analyse(tmp_path / hard.name, Config(), lambda stage, share: None)
        assert (findings.width, findings.height) == (400, 300)
        assert findings.cells
        return
    with pytest.raises(PipelineError) as error:
        analyse(tmp_path / hard.name, Config(), lambda stage, share: None)
    assert error.value.code == hard.analysis_code
    assert error.value.text.endswith(".")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.tif", "a.webp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_file_is_unreadable(tmp_path, name, share):
    Image.fromarray(FIELD).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UnreadableImage):
        Slide.open(tmp_path / name)


def test_a_broken_body_is_no_crash(tmp_path):
    Image.fromarray(FIELD).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[200:260] = bytes(60)
    (tmp_path / "a.png").write_bytes(bytes(data))
    with pytest.raises(PipelineError):
        Slide.open(tmp_path / "a.png")


def test_directories_that_lead_in_a_circle_are_an_error_that_can_be_acted_on(tmp_path):
    Image.fromarray(FIELD).save(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(looping((tmp_path / "a.tif").read_bytes()))
    with pytest.raises(PipelineError, match="damaged"):
        Slide.open(tmp_path / "a.tif")


@pytest.fixture(scope="module")
def good_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    for kind, hard in HARD_FILES.items():
        if hard.upload_code is hard.analysis_code is None:
            hard.make(folder / f"{kind}{Path(hard.name).suffix}")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_give_pixels_or_a_sentence_and_nothing_else(good_files, tmp_path, data):
    name = data.draw(st.sampled_from(sorted(good_files)))
    content = bytearray(good_files[name])
    for _ in range(data.draw(st.integers(1, 6))):
        last = data.draw(st.sampled_from((400, len(content)))) - 1
        content[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(content)
    try:
        with Slide.open(tmp_path / name) as slide:
            region = slide.read((slide.width - 9, slide.height - 9, slide.width, slide.height))
            assert (region.shape, region.dtype) == ((9, 9, 3), np.uint8)
    except PipelineError as error:
        assert error.text.endswith(".")
