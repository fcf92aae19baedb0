"""The steps of the Medical Enhanced Filter, each on an image on which its effect is known."""

import cv2
import numpy as np
import pytest

from inference.pipeline import enhance_steps as steps
from inference.pipeline.enhance_bilateral import bilateral
from tests.inference.pipeline.images import GROUND, NUCLEUS, RED_CELL, field, flat


def noise(seed: int = 0, shape: tuple[int, int] = (96, 80)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)


def edge(left: tuple[int, int, int], right: tuple[int, int, int], side: int = 64) -> np.ndarray:
    image = np.full((side, side, 3), left, np.uint8)
    image[:, side // 2 :] = right
    return image


def test_the_percentiles_land_on_black_and_white():
    dull = np.stack([noise()[..., 0] // gain + offset for gain, offset in ((3, 90), (6, 20), (2, 100))], 2)
    stretched = steps.stretch(dull)
    for channel in range(3):
        ends = np.percentile(stretched[..., channel], (2, 98), method="inverted_cdf")
        assert ends.tolist() == [0, 255]
        order = np.argsort(dull[..., channel], axis=None)
        assert (np.diff(stretched[..., channel].ravel()[order].astype(int)) >= 0).all()


def test_an_empty_ground_is_not_stretched_to_noise():
    ground = np.clip(np.random.default_rng(0).normal(230, 2, (64, 64, 3)), 0, 255).astype(np.uint8)
    assert (steps.stretch(ground) == ground).all()
    ground[:32, :, 1] = 100
    stretched = steps.stretch(ground)
    assert (stretched[..., [0, 2]] == ground[..., [0, 2]]).all()
    assert (stretched[:32, :, 1] < 50).all()


def test_edges_are_found_where_they_are_and_not_in_grain():
    grain = np.random.default_rng(0).normal(0, 4, (64, 64))
    step = np.where(np.arange(64) < 32, 80, 200)[None] + grain
    rows, columns = np.nonzero(steps.find_edges(np.clip(step, 0, 255).astype(np.uint8)))
    assert len(np.unique(rows)) > 55
    assert ((columns >= 29) & (columns <= 34)).all()


def edge_map(share: float, shape: tuple[int, int] = (224, 224)) -> np.ndarray:
    edges = np.zeros(shape, np.uint8)
    edges.reshape(-1)[: round(share * edges.size)] = 255
    return edges


def test_a_typical_cell_gets_the_grids_of_v1():
    assert steps.adapted_grids(edge_map(steps.TYPICAL_EDGES)) == steps.FIXED_GRIDS


def test_grids_follow_size_shape_and_detail():
    assert steps.adapted_grids(edge_map(0.08, (448, 224))) == ((4, 8), (8, 16))
    assert steps.adapted_grids(edge_map(0.16)) == ((6, 6), (12, 12))
    assert steps.adapted_grids(edge_map(0.0)) == ((2, 2), (4, 4))
    assert steps.adapted_grids(edge_map(1.0)) == ((6, 6), (12, 12))
    assert steps.adapted_grids(edge_map(0.08, (8, 8))) == ((1, 1), (2, 2))


@pytest.mark.parametrize("grid", [(4, 4), (8, 8), (1, 1)])
def test_equalisation_gives_faint_texture_contrast_within_its_limit(grid):
    faint = np.indices((112, 112)).sum(axis=0) // 2 % 9 + 120
    equalised = steps.clahe(faint.astype(np.uint8), grid)
    assert 1.5 * faint.std() < equalised.std() <= 3.01 * faint.std()


def test_small_tiles_count_at_edges_and_wide_ones_elsewhere():
    wide, narrow = np.full((64, 64), 40, np.uint8), np.full((64, 64), 200, np.uint8)
    edges = np.zeros((64, 64), np.uint8)
    edges[:, 32] = 255
    fused = steps.fuse(wide, narrow, edges)
    assert (fused[:, 32] == 200).all()
    assert (fused[:, :24] == 40).all() and (fused[:, 41:] == 40).all()
    assert (np.diff(fused[5, 24:33].astype(int)) >= 0).all()


@pytest.mark.parametrize(
    ("image", "levels"),
    [(field(300, 200), 1), (flat(0, 20, 9), 0), (noise(1, (1, 1)), 0), (noise(2, (3, 50)), 2), (noise(), 2)],
)
def test_the_bilateral_filter_is_opencvs(image, levels):
    expected = cv2.bilateralFilter(image, 9, 65, 65)
    assert np.abs(bilateral(image).astype(int) - expected).max() <= levels


def test_the_bilateral_filter_keeps_a_step_and_flattens_noise():
    grain = np.random.default_rng(0).normal(0, 6, (64, 64, 3))
    noisy = np.clip(edge((60, 50, 120), (220, 210, 225)) + grain, 0, 255).astype(np.uint8)
    smooth = bilateral(noisy).astype(int)
    for half in (slice(8, 31), slice(33, 56)):
        assert smooth[8:56, half].std(axis=(0, 1)).max() < 0.3 * noisy[8:56, half].std(axis=(0, 1)).min()
    assert (smooth[:, 32, 0] - smooth[:, 31, 0]).min() > 145


def test_the_highlight_darkens_the_boundary_of_a_nucleus_and_nothing_else():
    image = edge(NUCLEUS, GROUND)
    highlighted = steps.highlight_nuclei(image)
    taken = image.astype(int) - highlighted
    assert (taken >= 0).all()
    assert not taken[:, :29].any() and not taken[:, 35:].any()
    assert (taken[:, 31] > taken[:, 29]).all() and (taken[:, 29] > 5).all()
    assert (taken[:, 31] > 5 * taken[:, 32]).all()


def test_the_highlight_passes_red_cells_by():
    def darkest(inside: tuple[int, int, int]) -> int:
        image = edge(inside, GROUND)
        return int((image.astype(int) - steps.highlight_nuclei(image)).max())

    assert darkest(NUCLEUS) > 10 * darkest(RED_CELL)


def blurred_edge() -> np.ndarray:
    return cv2.GaussianBlur(edge((90, 60, 140), (230, 220, 225)), (0, 0), 1.5)


def test_sharpening_makes_an_edge_steeper():
    image = blurred_edge()
    edges = steps.find_edges(image[..., 1].copy())
    sharp = steps.sharpen(image, edges)
    steepest = [np.diff(shown.astype(int), axis=1).max() for shown in (image, sharp)]
    assert steepest[1] > 1.1 * steepest[0]
    assert (sharp[:, :26] == image[:, :26]).all() and (sharp[:, 38:] == image[:, 38:]).all()


def test_flat_ground_and_whatever_is_no_edge_are_not_sharpened():
    everywhere, nowhere = np.full((64, 64), 255, np.uint8), np.zeros((64, 64), np.uint8)
    assert (steps.sharpen(flat(200, 64, 64), everywhere) == 200).all()
    image = blurred_edge()
    assert (steps.sharpen(image, nowhere) == image).all()
    assert (steps.sharpen(image, everywhere) != image).any()


def test_small_spots_are_lifted_and_large_ones_left():
    image = flat(120, 96, 96)
    image[20:23, 20:23], image[20:23, 60:63], image[50:80, 30:70] = 160, 80, 200
    lifted = steps.lift_small(image)
    assert (lifted[21, 21] == 180).all()
    assert (lifted[21, 61] == 60).all()
    assert (lifted[55:75, 35:65] == 200).all()
    assert (lifted[:10] == 120).all()
