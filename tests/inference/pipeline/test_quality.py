"""Each defect is named by its code, a good field by none, and an empty one is refused."""

import cv2
import numpy as np
import pytest

from inference.pipeline.errors import UnusableSmear
from inference.pipeline.findings import Severity
from inference.pipeline.quality import assess
from tests.inference.pipeline.images import field, flat


def codes(image: np.ndarray) -> set[str]:
    height, width = image.shape[:2]
    return {notice.code for notice in assess(image, width, height).notices}


def test_a_good_field_has_a_high_score_and_no_complaint():
    image = field(1200, 1000)
    quality = assess(image, 1200, 1000)
    assert quality.notices == ()
    assert quality.score > 0.9


def test_a_small_field_is_accepted_and_says_so():
    (notice,) = assess(field(), 640, 480).notices
    assert (notice.code, notice.severity) == ("small_field", Severity.INFO)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda image: cv2.GaussianBlur(image, (0, 0), 6), "low_focus"),
        (lambda image: (image * 0.4).astype(np.uint8), "under_exposed"),
        (lambda image: np.clip(image.astype(int) + 30, 0, 255).astype(np.uint8), "over_exposed"),
        (lambda image: np.repeat(image[..., 1:2], 3, axis=2), "no_colour"),
        (lambda image: (255 - (255 - image) // 8).astype(np.uint8), "pale_stain"),
    ],
)
def test_each_defect_has_its_code_and_costs_score(spoil, code):
    image = field(1200, 1000)
    spoilt = spoil(image)
    assert code in codes(spoilt)
    assert assess(spoilt, 1200, 1000).score < assess(image, 1200, 1000).score


@pytest.mark.parametrize(("value", "code"), [(0, "black_image"), (240, "blank_image"), (255, "blank_image")])
def test_nothing_to_analyse_is_refused(value, code):
    with pytest.raises(UnusableSmear) as error:
        assess(flat(value), 256, 256)
    assert error.value.code == code


def test_real_fields_are_not_refused(wbc_data):
    files = sorted((wbc_data / "fields_txl" / "images").iterdir())[:40]
    images = [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files]
    scores = [assess(image, image.shape[1], image.shape[0]).score for image in images]
    assert np.median(scores) > 0.6
