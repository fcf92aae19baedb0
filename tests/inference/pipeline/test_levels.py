import numpy as np
import pytest

from inference.pipeline.levels import DYE, GLASS, levelled, mask_of, shown, stretched

CIRCLE = [(24 + 16 * np.cos(turn), 24 + 16 * np.sin(turn)) for turn in np.linspace(0, 2 * np.pi, 40)]


@pytest.fixture
def mask():
    return mask_of(CIRCLE, 48)


def cell(mask, glass=(230, 220, 210), densities=(0.7, 1.2, 0.4)):
    """A crop of even glass and an even cell of these densities relative to it."""
    image = np.empty((*mask.shape, 3), np.uint8)
    image[:] = glass
    image[mask > 0] = np.rint((np.array(glass) + 1) * np.exp(-np.array(densities)) - 1)
    return image


def test_the_mask_is_the_inside_of_the_outline(mask):
    assert mask[24, 24] == 255 and mask[2, 2] == 0
    assert (mask > 0).sum() == pytest.approx(np.pi * 16**2, rel=0.08)


def test_glass_becomes_white_and_the_densest_dye_equally_dense(mask):
    out = levelled(cell(mask), mask)
    np.testing.assert_allclose(out[2, 2], GLASS, atol=1)
    expected = GLASS * np.exp(-DYE * np.array([0.7, 1.2, 0.4]) / 1.2)
    np.testing.assert_allclose(out[24, 24], expected, atol=3)


def test_light_and_strength_of_stain_do_not_matter(mask):
    usual = levelled(cell(mask), mask).astype(int)
    for glass, strength in (((160, 190, 120), 1.0), ((230, 220, 210), 0.6), ((250, 180, 200), 0.8)):
        changed = cell(mask, glass, strength * np.array([0.7, 1.2, 0.4]))
        assert abs(levelled(changed, mask).astype(int) - usual).max() <= 6


def test_the_relation_of_the_dyes_stays(mask):
    """A redder cell stays redder: one factor for all channels."""
    blue, red = (levelled(cell(mask, densities=d), mask)[24, 24] for d in ((1.2, 1.0, 0.3), (0.4, 1.2, 0.9)))
    assert int(red[0]) - int(red[2]) > int(blue[0]) - int(blue[2]) + 50


def test_a_hardly_stained_crop_is_not_blown_up(mask):
    rng = np.random.default_rng(0)
    noise = np.clip(rng.normal(220, 2, (48, 48, 3)), 0, 255).astype(np.uint8)
    assert levelled(noise, mask).std() < 20


def test_without_anything_around_the_cell_the_whole_crop_is_measured(mask):
    crop = cell(mask)
    np.testing.assert_allclose(levelled(crop, np.full_like(mask, 255))[2, 2], GLASS, atol=1)


def test_stretching_moves_the_ends_of_every_channel(mask):
    out = stretched(cell(mask))
    assert out.min(axis=(0, 1)).tolist() == [0, 0, 0] and out.max(axis=(0, 1)).tolist() == [255, 255, 255]


def test_views_by_name(mask):
    crop = cell(mask)
    assert shown("as_is", crop, mask) is crop
    assert (shown("levels", crop, mask) == levelled(crop, mask)).all()
    assert (shown("stretched", crop, mask) == stretched(crop)).all()
