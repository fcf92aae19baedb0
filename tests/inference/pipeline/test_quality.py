"""Each defect is named by its code, a good field by none, and an empty one is refused."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inference.pipeline.errors import UnusableSmear
from inference.pipeline.findings import Notice, Outcome, Quality, Severity
from inference.pipeline.quality import assess, measure, with_stain_review
from tests.inference.pipeline.images import GROUND, RED_CELL, discs, field, flat

PARTS = ("focus", "stain", "exposure", "coverage", "clumping")


def codes(image: np.ndarray) -> set[str]:
    return {notice.code for notice in assess(image, 2000, 2000).notices}


def noisy(image: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(2).normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def pale(image: np.ndarray) -> np.ndarray:
    ground = np.array(GROUND, np.float64)
    return np.clip(ground * np.minimum(image / ground, 1) ** 0.12, 0, 255).astype(np.uint8)


def deep(image: np.ndarray) -> np.ndarray:
    ground = np.array(GROUND, np.float64)
    return np.clip(ground * (image / ground) ** 7, 0, 255).astype(np.uint8)


def heaped() -> np.ndarray:
    """Cells in three chains, where each lies half on the next, and a few on their own."""
    chains = [(100 + 28 * n, y) for y in (150, 450, 750) for n in range(24)]
    return discs(1000, 900, [*chains, *((150 + 200 * n, 300) for n in range(4))])


SPOILT = {
    "low_focus": lambda image: cv2.GaussianBlur(image, (0, 0), 6),
    "under_exposed": lambda image: (image * 0.4).astype(np.uint8),
    "over_exposed": lambda image: np.clip(image.astype(int) + 30, 0, 255).astype(np.uint8),
    "noisy": lambda image: noisy(image, 8),
    "no_colour": lambda image: np.repeat(image[..., 1:2], 3, axis=2),
    "pale_stain": pale,
    "heavy_stain": deep,
    "sparse_field": lambda image: np.where(np.arange(image.shape[1])[:, None] < 120, image, GROUND).astype(
        np.uint8
    ),
    "crowded_field": lambda image: np.minimum.reduce(
        [np.roll(image, move, (0, 1)) for move in ((0, 0), (45, 0), (0, 45), (45, 45))]
    ),
    "clumped_cells": lambda image: heaped(),
}


def test_a_good_field_has_a_high_score_and_no_complaint():
    quality = assess(field(1200, 1000), 1200, 1000)
    assert quality.notices == ()
    assert quality.score > 0.9
    assert quality.outcome is Outcome.USABLE


def test_a_small_field_is_accepted_and_says_so():
    (notice,) = assess(field(), 640, 480).notices
    assert (notice.code, notice.severity) == ("small_field", Severity.INFO)


@pytest.mark.parametrize("code", SPOILT)
def test_each_defect_has_its_code_and_costs_score(code):
    image = field(1200, 1000)
    spoilt = SPOILT[code](image)
    assert code in codes(spoilt)
    assert code not in codes(image)
    assert assess(spoilt, 1200, 1000).score < assess(image, 1200, 1000).score


@pytest.mark.parametrize(
    ("code", "part"), [("low_focus", "focus"), ("under_exposed", "exposure"), ("no_colour", "stain")]
)
def test_a_decisive_part_asks_for_another_scan_and_is_named(code, part):
    quality = assess(SPOILT[code](field(1200, 1000)), 1200, 1000)
    (asked,) = (notice for notice in quality.notices if notice.code == "low_quality")
    assert quality.outcome is Outcome.RESCAN
    assert min(PARTS, key=lambda name: getattr(quality, name)) == part
    assert asked.severity is Severity.WARN
    assert asked.text.startswith(f"Low quality: re-scan. The weakest part is {part}")


@pytest.mark.parametrize("gain", [0.5, 0.8])
def test_focus_does_not_depend_on_light_or_stain(gain):
    image = field(1200, 1000)
    ground = np.array(GROUND)
    faded = (ground * (image / ground) ** gain).astype(np.uint8)
    sharp = measure(image).focus
    assert measure((image * gain).astype(np.uint8)).focus == pytest.approx(sharp, rel=0.15)
    assert measure(faded).focus == pytest.approx(sharp, rel=0.15)


def test_focus_does_not_depend_on_the_size_of_pixels():
    image = field(1200, 1000)
    twice = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    assert measure(twice).focus == pytest.approx(measure(image).focus, rel=0.3)
    assert measure(twice).radius == pytest.approx(2 * measure(image).radius, rel=0.1)


@pytest.mark.parametrize("spoil", [lambda i: noisy(i, 5), lambda i: jpeg(i, 60)], ids=["noise", "jpeg"])
def test_noise_and_compression_do_not_make_a_blurred_field_sharp(spoil):
    blurred = cv2.GaussianBlur(field(1200, 1000), (0, 0), 6)
    assert "low_focus" in codes(spoil(blurred))


def jpeg(image: np.ndarray, level: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, level))[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize("deviation", [3, 6, 12])
def test_noise_is_measured_in_grey_levels(deviation):
    image = noisy(np.full((400, 500, 3), 150, np.uint8), deviation)
    grey_share = np.sqrt(0.299**2 + 0.587**2 + 0.114**2)
    assert measure(image).noise == pytest.approx(deviation * grey_share, rel=0.15)


def test_the_radius_of_the_cells_is_found():
    places = [(80 + 100 * column, 80 + 100 * row) for row in range(8) for column in range(10)]
    assert measure(discs(1100, 900, places, radius=25)).radius == pytest.approx(25, rel=0.12)


def test_cells_that_lie_apart_are_not_clumped_and_chains_are():
    assert measure(field(1200, 1000)).clumped == 0
    assert measure(heaped()).clumped > 0.5


def test_the_dark_frame_of_an_eyepiece_is_not_tissue():
    image = field(1200, 1200)
    yy, xx = np.mgrid[:1200, :1200]
    framed = np.where(((xx - 600) ** 2 + (yy - 600) ** 2 < 560**2)[..., None], image, 3).astype(np.uint8)
    plain, seen = measure(image), measure(framed)
    assert seen.tissue == pytest.approx(plain.tissue, abs=0.03)
    assert seen.ground == pytest.approx(plain.ground, abs=3)
    assert codes(framed) == set()


def test_uneven_light_is_not_tissue():
    image = field(1200, 1000)
    light = np.linspace(0.7, 1.0, 1200)[None, :, None]
    assert measure((image * light).astype(np.uint8)).tissue == pytest.approx(measure(image).tissue, abs=0.04)


def test_windows_are_measured_like_the_field_they_are_cut_from():
    image = field(1024, 1024)
    windows = [image[y : y + 512, x : x + 512] for y in (0, 512) for x in (0, 512)]
    whole, parts = measure(image), measure(windows)
    assert parts.focus == pytest.approx(whole.focus, rel=0.15)
    assert parts.ground == pytest.approx(whole.ground, abs=2)
    assert parts.density == pytest.approx(whole.density, rel=0.1)
    assert parts.tissue == pytest.approx(whole.tissue, abs=0.03)


def test_an_empty_window_among_others_is_no_defect():
    windows = [field(512, 512), flat(235, 512, 512), field(512, 512, seed=2)]
    assert {notice.code for notice in assess(windows, 9000, 9000).notices} == set()


@pytest.mark.parametrize(("value", "code"), [(0, "black_image"), (240, "blank_image"), (255, "blank_image")])
def test_nothing_to_analyse_is_refused(value, code):
    with pytest.raises(UnusableSmear) as error:
        assess(flat(value), 256, 256)
    assert error.value.code == code


@settings(deadline=None, max_examples=80)
@given(
    image=arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)), elements=st.integers(0, 255)
    )
)
def test_any_array_ends_in_a_score_or_a_sentence(image):
    try:
        quality = assess(image, image.shape[1], image.shape[0])
    except UnusableSmear as error:
        assert error.text.endswith(".")
        return
    values = [quality.score, *(getattr(quality, name) for name in PARTS)]
    assert all(0 <= value <= 1 for value in values)
    assert quality.outcome in (Outcome.USABLE, Outcome.RESCAN)


STAIN = Notice("stain_beyond", "The stain is beyond normalisation.")


@pytest.mark.parametrize(
    ("before", "after"),
    [(Outcome.USABLE, Outcome.STAIN_REVIEW), (Outcome.RESCAN, Outcome.RESCAN)],
)
def test_a_stain_beyond_normalisation_is_reviewed_unless_a_scan_is_due(before, after):
    kept = Notice("low_focus", "The image is out of focus.")
    quality = Quality(0.8, 0.8, 0.8, 0.8, 0.8, 0.8, notices=(kept,), outcome=before)
    reviewed = with_stain_review(quality, STAIN, 0.5)
    assert reviewed.outcome is after
    assert reviewed.notices == (kept, STAIN)
    parts = (reviewed.focus, reviewed.stain, reviewed.exposure, reviewed.coverage, reviewed.clumping)
    assert reviewed.stain == pytest.approx(0.4)
    assert reviewed.score == pytest.approx(np.prod(parts) ** (1 / 5))


def real_fields(wbc_data) -> list[np.ndarray]:
    files = sorted((wbc_data / "fields_txl" / "images").iterdir())[::25]
    return [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files]


def test_real_fields_are_usable_and_blurred_ones_are_not(wbc_data):
    images = real_fields(wbc_data)
    sharp = [assess(image, 2000, 2000).outcome for image in images]
    blurs = [0.2 * measure(image).radius for image in images]
    blurred = [codes(cv2.GaussianBlur(i, (0, 0), s)) for i, s in zip(images, blurs, strict=True)]
    assert np.mean([outcome is Outcome.USABLE for outcome in sharp]) > 0.9
    assert np.mean(["low_focus" in found for found in blurred]) > 0.9


def test_colours_of_the_drawn_cells_are_what_their_density_says():
    optical = np.log((np.array(GROUND) + 1) / (np.array(RED_CELL) + 1))
    places = [(80 + 100 * column, 80 + 100 * row) for row in range(8) for column in range(10)]
    found = measure(discs(1100, 900, places))
    assert found.density == pytest.approx(optical.mean(), rel=0.1)
    assert found.colour == pytest.approx(np.ptp(optical), rel=0.1)
