import numpy as np
import pytest

from inference.pipeline.config import CellConfig, Config
from inference.pipeline.findings import Instance, Kind
from inference.pipeline.networks import registry
from inference.training.boxed_cells import boxed_instance, cut_labelled, labelled_crop, square_around
from tests.inference.pipeline.test_single_cell import cell_image


def instance(box, kind=Kind.WBC):
    x0, y0, x1, y1 = box
    outline = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return Instance(kind, box, outline, ((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0) * (y1 - y0), 0.9)


def test_the_white_cell_that_overlaps_the_box_best_is_taken():
    near, same = instance((0, 0, 50, 50)), instance((45, 45, 100, 100))
    red = instance((40, 40, 100, 100), Kind.RBC)
    assert boxed_instance([near, same, red], (40.0, 40.0, 100.0, 100.0)) is same
    assert boxed_instance([near, red], (40.0, 40.0, 100.0, 100.0)) is None
    assert boxed_instance([], (40.0, 40.0, 100.0, 100.0)) is None


def test_without_a_cell_the_box_is_squared_and_padded():
    assert square_around((10.0, 20.0, 50.0, 40.0), 0.25) == (5, 5, 55, 55)
    image = np.zeros((100, 100, 3), np.uint8)
    image[20:40, 10:50] = 255
    crop, found = labelled_crop(image, [], (10.0, 20.0, 50.0, 40.0), CellConfig())
    assert found is None
    assert crop.shape == (224, 224, 3)
    assert (crop > 128).mean() == pytest.approx(40 * 20 / 50**2, abs=0.02)


def field() -> np.ndarray:
    """Two cells side by side on a bright ground."""
    return np.hstack([cell_image(radius=40), cell_image(radius=50)])


def test_the_box_decides_between_the_cells_of_a_field():
    card = registry.card("wbc")
    left = cut_labelled(field(), (72.0, 72.0, 184.0, 184.0), card, Config())
    right = cut_labelled(field(), (314.0, 58.0, 454.0, 198.0), card, Config())
    assert left.found and right.found
    # The outline tells them apart: both are scaled to their crop, cut from cells of different size.
    assert not (left.crop == right.crop).all()
    assert all(view[0].shape == (224, 224, 3) for view in left.views.values())
    empty = cut_labelled(field(), (2.0, 2.0, 30.0, 30.0), card, Config())
    assert not empty.found
