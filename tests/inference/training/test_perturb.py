"""Perturbations change the look, never the place, and repeat themselves."""

import numpy as np
import pytest

from inference.training.perturb import KINDS, perturb
from tests.inference.pipeline.images import field


@pytest.mark.parametrize("kind", KINDS)
def test_same_shape_other_pixels_and_the_same_again(kind):
    image = field(200, 160)
    changed = perturb(image, kind, 5)
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, image)
    assert np.array_equal(changed, perturb(image, kind, 5))
    assert not np.array_equal(changed, perturb(image, kind, 6))


@pytest.mark.parametrize("kind", KINDS)
def test_the_cells_stay_where_they_are(kind):
    image = field(640, 480)
    rows, columns = np.nonzero(perturb(image, kind, 1)[..., 1] < 100)
    assert (columns.mean(), rows.mean()) == pytest.approx((320, 240), abs=1.5)


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="no perturbation"):
        perturb(field(64, 64), "rotate", 0)
