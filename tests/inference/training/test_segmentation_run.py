"""What a trained network's card says about its confidences, and labels that it makes itself."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from inference.pipeline.segmentation_star import Detections
from inference.training import segmentation_relabel, segmentation_run
from inference.training.segmentation_labels import Field


def drawn_detections(count=4000, seed=0):
    """Logits, and whether each is right: by the chance that a slope of 2 and an intercept of -1 give."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(1, 1.5, count)
    return logits, rng.random(count) < 1 / (1 + np.exp(-(2 * logits - 1)))


def chances(weights, logits):
    return 1 / (1 + np.exp(-(weights[0] * logits + weights[1])))


def test_confidences_are_the_chance_of_being_right():
    logits, right = drawn_detections()
    weights = segmentation_run._calibrated(logits, right, 0.0)
    assert weights == pytest.approx((2, -1), abs=0.15)
    assert chances(weights, logits).sum() == pytest.approx(right.sum(), rel=0.02)


def test_where_precision_is_asked_for_less_counts():
    logits, right = drawn_detections()
    before = chances(segmentation_run._calibrated(logits, right, 0.0), logits) >= 0.5
    after = chances(segmentation_run._calibrated(logits, right, 0.955), logits) >= 0.5
    assert right[before].mean() < 0.95 < 0.954 < right[after].mean()
    assert (before & ~after).any() and not (after & ~before).any()


def test_a_rare_kind_that_is_nearly_always_right_does_not_trust_whatever_is_found():
    logits = np.concatenate([np.random.default_rng(1).normal(4, 0.7, 120), [-1.5, -1.0]])
    right = np.array([True] * 121 + [False])
    weights = segmentation_run._calibrated(logits, right, 0.0)
    assert chances(weights, np.array([-2.0]))[0] < 0.5 < chances(weights, np.array([1.0]))[0]


def test_a_network_that_finds_nothing_keeps_its_chances():
    nothing = np.zeros(0)
    assert segmentation_run._calibrated(nothing, nothing.astype(bool), 0.955) == pytest.approx(
        (1, 0), abs=1e-3
    )


def test_the_nucleus_decides_what_is_white():
    image = np.full((200, 300, 3), (245, 240, 238), np.uint8)
    for x in (60, 150, 240):
        cv2.circle(image, (x, 100), 30, (205, 160, 168), -1, cv2.LINE_AA)
    cv2.circle(image, (150, 100), 26, (90, 50, 140), -1, cv2.LINE_AA)
    centres = np.array([(60, 100), (150, 100), (240, 100), (20, 20)], np.float32)
    radii = np.full((4, 32), 30, np.float32)
    found = Detections(np.array([1, 0, 0, 2]), np.full(4, 3, np.float32), centres, radii)
    seen, certain = segmentation_relabel._named_by_nucleus(segmentation_relabel._Seen(image, found))
    assert seen.found.kinds.tolist() == [0, 1, 0, 2]
    assert certain.all()


def test_masks_replace_what_the_network_says_of_white_cells():
    mask = np.zeros((120, 160), bool)
    mask[40:80, 50:90] = True
    empty = segmentation_relabel.cells_of([])
    unknown = np.ones(mask.shape, bool)
    field = Field(np.zeros((120, 160, 3), np.uint8), empty, unknown, np.full(3, 240, np.float32), "drawn")
    labelled = segmentation_relabel._with_whites(replace(field), [mask])
    assert labelled.cells.kinds.tolist() == [1]
    assert labelled.cells.centres[0] == pytest.approx((70, 60), abs=0.5)
    assert not labelled.unknown[mask].any() and labelled.unknown[0, 0]


@pytest.mark.parametrize(("name", "number"), [("images/lymp_10-2.jpg", 10), ("baso_3-2.jpg", 3)])
def test_smears_are_told_by_the_names_of_their_files(name, number):
    assert segmentation_relabel.smear_number(name) == number
