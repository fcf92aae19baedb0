import numpy as np
import pytest

from inference.training.augmentation import augment


@pytest.fixture
def crop():
    image = np.full((224, 224, 3), (235, 215, 210), np.uint8)
    rows, columns = np.ogrid[:224, :224]
    image[(rows - 112) ** 2 + (columns - 112) ** 2 < 60**2] = (110, 60, 150)
    return image


def test_same_seed_same_image_other_seed_other_image(crop):
    first, again, other = (augment(crop, 96, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (96, 96, 3) and first.dtype == np.uint8
    assert (first == again).all()
    assert (first != other).any()


def test_the_cell_stays_darker_than_its_surroundings(crop):
    for seed in range(40):
        image = augment(crop, 96, np.random.default_rng(seed)).astype(float)
        assert image[40:56, 40:56].mean() < np.percentile(image.mean(axis=2), 90)


def test_the_original_is_not_touched(crop):
    before = crop.copy()
    augment(crop, 64, np.random.default_rng(0))
    assert (crop == before).all()
