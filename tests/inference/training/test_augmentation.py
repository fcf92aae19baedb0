import numpy as np
import pytest

from inference.pipeline.levels import mask_of
from inference.training.augmentation import Stain, Strangers, Strength, augment

PLAIN = Strength(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.fixture
def cell():
    image = np.full((160, 160, 3), (235, 215, 210), np.uint8)
    turns = np.linspace(0, 2 * np.pi, 60)
    mask = mask_of([(80 + 43 * np.cos(turn), 80 + 43 * np.sin(turn)) for turn in turns], 160)
    image[mask > 0] = (110, 60, 150)
    return image, mask


@pytest.fixture
def lent(cell):
    other = np.full((160, 160, 3), (120, 140, 40), np.uint8)
    other[::2] = (60, 70, 20)
    return Strangers([Stain.of(other)], lambda rng: other)


def test_same_seed_same_image_other_seed_other_image(cell, lent):
    first, again, other = (
        augment(cell, 96, np.random.default_rng(seed), lent, Strength())[0] for seed in (1, 1, 2)
    )
    assert first.shape == (96, 96, 3) and first.dtype == np.uint8
    assert (first == again).all()
    assert (first != other).any()


def test_the_mask_moves_with_its_cell(cell, lent):
    for seed in range(20):
        image, mask = augment(cell, 96, np.random.default_rng(seed), lent, PLAIN)
        inside, outside = image[mask > 200].astype(float), image[mask < 50].astype(float)
        assert inside[:, 1].mean() < 90 < 180 < outside[:, 1].mean()


def test_the_cell_stays_denser_than_plain_glass(cell, lent):
    for seed in range(40):
        strength = Strength(background=0.0)
        image, mask = augment(cell, 96, np.random.default_rng(seed), lent, strength)
        assert image[mask > 200].mean() < image[mask < 20].mean()


def test_what_is_around_the_cell_is_replaced_and_the_cell_is_not(cell, lent):
    strength = Strength(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    around = []
    for seed in range(20):
        image, mask = augment(cell, 96, np.random.default_rng(seed), lent, strength)
        core = image[mask == 255].astype(float)
        assert abs(np.median(core, axis=0) - (110, 60, 150)).max() < 12
        around.append(np.median(image[mask == 0], axis=0))
    assert np.std(around, axis=0).min() > 15


def test_stains_are_exchanged(cell, lent):
    strength = Strength(0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    images = [augment(cell, 96, np.random.default_rng(seed), lent, strength)[0] for seed in range(20)]
    greener = [image[..., 1].mean() - image[..., 2].mean() for image in images]
    before = float(cell[0][..., 1].mean() - cell[0][..., 2].mean())
    assert np.mean(greener) > before + 20


def test_the_original_is_not_touched(cell, lent):
    before = cell[0].copy(), cell[1].copy()
    augment(cell, 64, np.random.default_rng(0), lent, Strength())
    assert (cell[0] == before[0]).all() and (cell[1] == before[1]).all()


def test_a_strength_can_be_scaled_without_the_exchange_and_the_background():
    half = Strength().times(0.5, 2.0)
    assert half.colour == 0.5 * Strength().colour and half.blur == 2 * Strength().blur
    assert half.exchange == Strength().exchange and half.background == Strength().background
