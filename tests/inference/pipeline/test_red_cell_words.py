"""Red cells in words, and held against what their shape allows."""

from dataclasses import replace

import numpy as np
import pytest

from inference.pipeline.config import RBC_CLASSES, RBC_SHAPES
from inference.pipeline.findings import Explanation
from inference.pipeline.red_cell_findings import RedCellMeasures
from inference.pipeline.red_cell_haematology import MEASURED, criteria_of, disagrees
from inference.pipeline.red_cell_words import describe

FOCUS = Explanation(np.ones((8, 8), np.float32), 0.62, 0.4)
ROUND = RedCellMeasures(7.2, 40.7, 1.0, 0.98, 1.05, 0.6)


def test_a_cell_is_described_by_its_measures_and_the_focus():
    words = describe("normal", ROUND, FOCUS)
    assert words.label == "normal"
    assert words.text == (
        "Seen: 7.2 µm across, 1.1 times as long as wide, circularity 0.98, centre 0.60 times as dense as the"
        " ring around it. For normal: outline round, centre paler than the ring; against it: nothing"
        " measured. 62 % of the evidence lies on the cell."
    )
    assert words.supports == ("outline round", "centre paler than the ring")
    assert words.contradicts == ()


def test_without_a_measured_pixel_size_no_micrometres_are_named():
    text = describe("normal", replace(ROUND, diameter_um=None, relative_diameter=1.14), FOCUS).text
    assert "1.14 times the median diameter across" in text
    assert "µm" not in text


def test_without_stain_nothing_is_said_of_the_centre():
    words = describe("spherocyte", replace(ROUND, pallor_ratio=None), FOCUS)
    assert "centre" not in words.text
    assert words.text.count("Nothing that was measured speaks for or against spherocyte.") == 1


@pytest.mark.parametrize("label", ["macrocyte", "microcyte"])
def test_size_is_said_to_be_measured_and_not_seen(label):
    words = describe(label, ROUND, FOCUS)
    assert words.label == label
    assert "The size is measured and not seen by the network" in words.text
    assert "For a normal shape: outline round" in words.text


@pytest.mark.parametrize(
    ("label", "changes", "supports", "contradicts"),
    [
        ("elliptocyte", {"elongation": 2.1}, ("outline long",), ()),
        ("elliptocyte", {"elongation": 1.2}, (), ("outline too round",)),
        ("elliptocyte", {"elongation": 1.6}, (), ()),
        ("spherocyte", {"pallor_ratio": 0.95}, ("centre about as dense as the ring",), ()),
        ("spherocyte", {"pallor_ratio": 0.4}, (), ("centre pale",)),
        ("hypochromic", {"pallor_ratio": 0.3}, ("centre very pale",), ()),
        ("hypochromic", {"pallor_ratio": 1.0}, (), ("centre not pale",)),
        ("schistocyte", {"circularity": 0.85}, ("outline irregular",), ()),
        ("macrocyte", {"elongation": 1.9}, ("centre paler than the ring",), ("outline too long",)),
    ],
)
def test_what_speaks_for_and_against_a_shape(label, changes, supports, contradicts):
    measures = replace(ROUND, **changes)
    words = describe(label, measures, FOCUS)
    assert (words.supports, words.contradicts) == (supports, contradicts)
    assert disagrees(label, measures) == bool(contradicts)


def test_no_measure_both_supports_and_contradicts_and_all_words_are_there():
    assert set(MEASURED) <= set(RBC_SHAPES)
    for criterion in (one for label in RBC_CLASSES for one in criteria_of(label)):
        low, high = criterion.fits
        assert low > high or criterion.may[0] <= low <= high <= criterion.may[1]
        assert bool(criterion.supports) == (low < high)
        assert bool(criterion.contradicts) == (criterion.may != (0.0, float("inf")))


def test_the_same_cell_has_the_same_words():
    assert describe("target", ROUND, FOCUS) == describe("target", ROUND, FOCUS)


def test_an_empty_map_is_said_to_be_empty():
    assert "The heat map is empty" in describe("target", ROUND, replace(FOCUS, strength=0.0)).text
