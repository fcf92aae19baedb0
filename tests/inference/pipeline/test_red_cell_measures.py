"""Red cells that were drawn, so that their measures are known."""

import math

import cv2
import numpy as np
import pytest

from inference.pipeline.findings import Instance, Kind
from inference.pipeline.red_cell_findings import RedCellMeasures
from inference.pipeline.red_cell_haematology import disagrees
from inference.pipeline.red_cell_measures import (
    circularity,
    compared_um,
    diameter_um,
    elongation,
    final_label,
    measure,
    pallor_ratio,
)

LIGHT = 240


def disc(diameter_px: float) -> Instance:
    area = round(math.pi * diameter_px**2 / 4)
    outline = tuple((int(x), int(y)) for x, y in ellipse(diameter_px / 2, diameter_px / 2))
    return Instance(Kind.RBC, (0, 0, 1, 1), outline, (0.0, 0.0), area, 1.0)


def ellipse(a: float, b: float, middle: float = 500.0):
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return np.stack([middle + a * np.cos(angles), middle + b * np.sin(angles)], axis=1).astype(np.float32)


def stained(centre: float, ring: float, side: int = 64):
    """A cell of radius 24 px whose middle (radius 12) and ring have these densities, and its outline."""
    density = np.zeros((side, side), np.float32)
    cv2.circle(density, (side // 2, side // 2), 24, ring, cv2.FILLED)
    cv2.circle(density, (side // 2, side // 2), 12, centre, cv2.FILLED)
    crop = np.repeat((LIGHT * 10**-density).round().astype(np.uint8)[..., None], 3, axis=2)
    return crop, ellipse(24, 24, side / 2)


def measures(elongation=1.05, pallor=0.6, um=7.2, relative=1.0):
    return RedCellMeasures(um, None, relative, 0.95, elongation, pallor)


def test_diameter_is_that_of_the_circle_of_the_same_area():
    assert diameter_um(disc(72), 0.1) == pytest.approx(7.2, abs=0.01)


@pytest.mark.parametrize(
    ("shape", "diameter", "label"),
    [
        ("normal", 7.2, "normal"),
        ("normal", 5.9, "microcyte"),
        ("normal", 8.3, "macrocyte"),
        ("normal", None, "normal"),
        ("spherocyte", 5.0, "spherocyte"),
        ("target", 9.0, "target"),
    ],
)
def test_only_a_normal_shape_is_called_by_its_size(shape, diameter, label):
    assert final_label(shape, diameter) == label


def test_the_limits_of_a_laboratory_count():
    assert final_label("normal", 8.1, (6.0, 8.5)) == "normal"


@pytest.mark.parametrize("ratio", [1.0, 1.5, 3.0])
def test_elongation_of_an_ellipse_is_the_ratio_of_its_axes(ratio):
    assert elongation(ellipse(30 * ratio, 30)) == pytest.approx(ratio, rel=0.01)


def test_circularity_is_1_of_a_circle_and_less_of_an_ellipse():
    assert circularity(ellipse(30, 30)) == pytest.approx(1.0, abs=0.01)
    # An ellipse of axes 3:1 has the area 3π b² and, by Ramanujan, the perimeter 13.36 b.
    assert circularity(ellipse(90, 30)) == pytest.approx(4 * math.pi * 3 * math.pi / 13.365**2, abs=0.01)


@pytest.mark.parametrize(("centre", "ring"), [(0.1, 0.4), (0.4, 0.4), (0.3, 0.4)])
def test_pallor_is_the_density_of_the_middle_over_that_of_the_ring(centre, ring):
    assert pallor_ratio(*stained(centre, ring)) == pytest.approx(centre / ring, abs=0.03)


def test_pallor_does_not_depend_on_the_light():
    crop, outline = stained(0.1, 0.4)
    dimmer = (crop * 0.7).astype(np.uint8)
    assert pallor_ratio(dimmer, outline) == pytest.approx(pallor_ratio(crop, outline), abs=0.02)


def test_there_is_no_pallor_without_stain():
    crop, outline = stained(0.0, 0.0)
    assert pallor_ratio(crop, outline) is None


def test_without_a_measured_pixel_size_a_cell_is_held_against_the_median():
    found = measure(disc(36), stained(0.2, 0.4), None, 72.0)
    assert found.diameter_um is None
    assert found.area_um2 is None
    assert compared_um(found) == pytest.approx(3.6, abs=0.05)


def test_with_a_measured_pixel_size_micrometres_count():
    found = measure(disc(72), stained(0.2, 0.4), 0.1, 100.0)
    assert compared_um(found) == pytest.approx(7.2, abs=0.05)
    assert found.area_um2 == pytest.approx(math.pi * 3.6**2, rel=0.01)
    assert found.elongation == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ("elliptocyte", measures(elongation=1.1)),
        ("normal", measures(elongation=2.0)),
        ("macrocyte", measures(elongation=2.0, um=9.0)),
        ("microcyte", measures(elongation=1.5, um=5.5)),
        ("sickle", measures(elongation=1.0)),
        ("spherocyte", measures(pallor=0.3)),
        ("hypochromic", measures(pallor=1.0)),
    ],
)
def test_a_shape_that_the_measures_rule_out_is_told(shape, found):
    assert disagrees(shape, found)


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ("elliptocyte", measures(elongation=2.2)),
        ("normal", measures()),
        ("macrocyte", measures(um=9.0)),
        ("spherocyte", measures(pallor=None)),
        ("schistocyte", measures(elongation=3.0)),
    ],
)
def test_a_shape_that_fits_is_left_alone(shape, found):
    assert not disagrees(shape, found)
