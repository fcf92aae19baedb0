"""Reinhard: the statistics asked for, and nothing that explodes."""

import numpy as np
import pytest

from inference.pipeline import stain
from inference.pipeline.stain import Reference
from tests.inference.pipeline.images import field, flat

TARGET = Reference((72.0, 8.0, -6.0), (9.0, 5.0, 4.0))


def test_the_result_has_the_statistics_of_the_reference():
    image = field()
    moved = stain.fit(stain.normalise(image, stain.fit(image), TARGET))
    assert moved.mean == pytest.approx(TARGET.mean, abs=0.3)
    assert moved.std == pytest.approx(TARGET.std, abs=0.3)


def test_its_own_reference_leaves_an_image_as_it_is():
    image = field()
    same = stain.fit(image)
    assert np.abs(stain.normalise(image, same, same).astype(int) - image).max() <= 1


@pytest.mark.parametrize("value", [0, 128, 255])
def test_blank_and_black_pass_through(value):
    image = flat(value)
    source = stain.fit(image)
    assert source.is_flat
    assert stain.normalise(image, source, TARGET) is image


def test_a_tile_changes_as_its_slide_does():
    """Fitted once on the slide: equal pixels stay equal, wherever their tile lies."""
    image = field(1200, 600)
    source = stain.fit(image)
    whole = stain.normalise(image, source, TARGET)
    tile = stain.normalise(image[100:400, 300:900], source, TARGET)
    assert np.array_equal(whole[100:400, 300:900], tile)
