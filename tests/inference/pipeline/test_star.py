"""Shapes whose centre, radii and area are known."""

import numpy as np
import pytest

from inference.pipeline import star


def disc(radius: float, centre: tuple[float, float] = (60.0, 50.0), shape: tuple[int, int] = (100, 120)):
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    return (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2


def box(x0: int, y0: int, x1: int, y1: int):
    mask = np.zeros((100, 120), np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def test_a_disc_is_measured():
    centre, radii = star.measure(disc(20))
    assert centre == pytest.approx((60, 50), abs=0.1)
    assert radii == pytest.approx(np.full(star.RAYS, 20), abs=0.8)
    assert star.areas(radii[None])[0] == pytest.approx(np.pi * 20**2, rel=0.03)


@pytest.mark.parametrize(
    ("mask", "least"),
    [(disc(20), 0.95), (disc(3), 0.75), (box(20, 30, 80, 55), 0.93)],
    ids=["disc", "dot", "box"],
)
def test_an_outline_encloses_what_was_measured(mask, least):
    centre, radii = star.measure(mask, 64)
    again = star.filled(star.outlines(centre[None], radii[None])[0], mask.shape)
    assert (again & mask).sum() / (again | mask).sum() > least


def test_a_cell_at_the_border_is_measured_where_it_is_seen():
    centre, radii = star.measure(disc(20, centre=(0, 50)))
    assert centre[0] == pytest.approx(20 * 4 / (3 * np.pi), abs=0.3)
    assert radii[star.RAYS // 2] == pytest.approx(centre[0], abs=0.8)


def turn(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_turning_by_a_quarter_swaps_width_and_height():
    _, radii = star.measure(box(20, 40, 80, 60))
    turned = star.moved(radii[None], turn(np.pi / 2))
    right, down = star.outlines(np.zeros((1, 2), np.float32), turned)[0].max(axis=0)
    assert (right, down) == pytest.approx((10, 30), abs=1.5)


def test_a_turn_of_less_than_a_ray_moves_the_tip_in_its_direction():
    radii = np.ones((1, 32), np.float32)
    radii[0, 0] = 2
    turned = star.moved(radii, turn(2 * np.pi / 64))[0]
    assert turned[0] == pytest.approx(1.5) and turned[1] == pytest.approx(1.5) and turned[31] == 1


def test_mirroring_swaps_left_and_right_only():
    radii = np.arange(1, 33, dtype=np.float32)[None]
    across = np.diag([-1.0, 1.0])
    mirrored = star.moved(radii, across)
    assert mirrored[0, 0] == pytest.approx(radii[0, 16]) and mirrored[0, 8] == pytest.approx(radii[0, 8])
    np.testing.assert_allclose(star.moved(mirrored, across), radii, rtol=1e-4)


def test_stretching_a_circle_makes_an_ellipse():
    circle = np.full((1, 64), 10, np.float32)
    ellipse = star.moved(circle, np.diag([2.0, 0.5]))[0]
    angle = 2 * np.pi * np.arange(64) / 64
    assert ellipse == pytest.approx(1 / np.hypot(np.cos(angle) / 20, np.sin(angle) / 5), rel=0.04)
    assert star.areas(ellipse[None])[0] == pytest.approx(star.areas(circle)[0], rel=0.02)
