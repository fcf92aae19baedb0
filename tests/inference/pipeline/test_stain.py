"""Reinhard, Macenko and Vahadane: known answers, and nothing that explodes."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import color

from inference.pipeline import stain, stain_lab
from inference.pipeline.stain import Flaw, Method, Reference
from tests.inference.pipeline.images import field, flat

TARGET = Reference((72.0, 8.0, -6.0), (9.0, 5.0, 4.0))
GLASS = np.array([236.0, 228.0, 222.0])
NUCLEAR = np.array([0.65, 0.75, 0.12]) / np.linalg.norm([0.65, 0.75, 0.12])
RED = np.array([0.25, 0.85, 0.46]) / np.linalg.norm([0.25, 0.85, 0.46])
METHODS = list(Method)
TWO_STAINS = [Method.MACENKO, Method.VAHADANE]


def two_stains(nuclear=NUCLEAR, red=RED, glass=GLASS, seed=0) -> np.ndarray:
    """Glass, red cells and nuclei over which some red lies, in varied amounts, and noise of one level."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, (200, 200), p=(0.4, 0.4, 0.2))
    reds = np.where(
        (kind == 1) | ((kind == 2) & (rng.random(kind.shape) < 0.4)), rng.gamma(4, 0.2, kind.shape), 0
    )
    nuclei = np.where(kind == 2, rng.gamma(6, 0.25, kind.shape), 0)
    density = nuclei[..., None] * nuclear + reds[..., None] * red
    levels = (glass + 1) * np.exp(-density) - 1 + rng.normal(0, 1, density.shape)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def degrees(first, second) -> float:
    return float(np.degrees(np.arccos(np.clip(np.dot(first, second), -1, 1))))


def by_the_formula(image: np.ndarray, source: Reference, target: Reference) -> np.ndarray:
    """Reinhard in double precision with scikit-image."""
    lab = (color.rgb2lab(image) - source.mean) / source.std * target.std + target.mean
    lab[..., 0] = np.clip(lab[..., 0], 0, 100)
    return np.rint(255 * color.lab2rgb(lab)).astype(int)


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
@pytest.mark.parametrize("seed", [0, 1])
def test_reinhard_is_within_one_level_of_the_formula(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    for image in (noise, noise // 5, field()):
        source = stain.fit(image)
        moved = stain.normalise(image, source, TARGET)
        assert np.abs(moved - by_the_formula(image, source, TARGET)).max() <= 1


def test_colours_are_those_of_cielab():
    image = np.random.default_rng(2).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    np.testing.assert_allclose(stain_lab.lab(image), color.rgb2lab(image), atol=0.1)


def test_reinhard_moves_onto_the_statistics_of_the_reference():
    image = field(300, 200)
    moved = stain_lab.lab(image, stain.between(stain.fit(image), TARGET).matrix)
    np.testing.assert_allclose(moved.mean(axis=(0, 1)), TARGET.mean, atol=1e-3)
    np.testing.assert_allclose(moved.std(axis=(0, 1)), TARGET.std, atol=1e-3)


def test_the_result_has_the_statistics_of_the_reference():
    image = field()
    moved = stain.fit(stain.normalise(image, stain.fit(image), TARGET))
    assert moved.mean == pytest.approx(TARGET.mean, abs=0.3)
    assert moved.std == pytest.approx(TARGET.std, abs=0.3)


@pytest.mark.parametrize("method", TWO_STAINS)
@pytest.mark.parametrize("ground", [None, tuple(GLASS)])
@pytest.mark.parametrize("seed", range(3))
def test_known_stains_are_recovered_within_two_degrees(method, ground, seed):
    found = stain.fit(two_stains(seed=seed), method, ground)
    nuclear, red = found.pair.vectors
    assert degrees(nuclear, NUCLEAR) < 2
    assert degrees(red, RED) < 2
    np.testing.assert_allclose(found.ground, GLASS, atol=2)


@pytest.mark.parametrize("method", TWO_STAINS)
def test_one_smear_in_two_stains_looks_alike_after_normalisation(method):
    """The same amounts in other stains and under another lamp come back to the same colours."""
    other = two_stains(_unit(0.6, 0.7, 0.25), _unit(0.2, 0.7, 0.65), np.array([200.0, 225, 190]))
    wanted = two_stains()
    moved = stain.normalise(other, stain.fit(other, method), stain.fit(wanted, method))
    before, after = (np.abs(image.astype(int) - wanted).mean() for image in (other, moved))
    assert after < 3 < before / 4


def _unit(*values: float) -> np.ndarray:
    return np.array(values) / np.linalg.norm(values)


@pytest.mark.parametrize("method", METHODS)
def test_its_own_reference_leaves_an_image_as_it_is(method):
    for image in (
        field(),
        two_stains(),
        np.random.default_rng(0).integers(0, 256, (90, 80, 3)).astype(np.uint8),
    ):
        same = stain.fit(image, method)
        assert np.abs(stain.normalise(image, same, same).astype(int) - image).max() <= 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_blank_and_black_pass_through(method, value):
    image = flat(value)
    source = stain.fit(image, method)
    normaliser = stain.between(source, stain.fit(two_stains(), method))
    assert source.flaw is normaliser.flaw is Flaw.BLANK
    assert normaliser.apply(image) is image


def grey() -> np.ndarray:
    return field()[..., 1:2].repeat(3, axis=2)


@pytest.mark.parametrize(
    ("image", "method", "flaw"),
    [
        (grey(), Method.REINHARD, Flaw.GREY),
        (grey(), Method.MACENKO, Flaw.SINGLE_STAIN),
        (grey(), Method.VAHADANE, Flaw.SINGLE_STAIN),
        (two_stains(NUCLEAR, NUCLEAR), Method.MACENKO, Flaw.SINGLE_STAIN),
        (two_stains(NUCLEAR, NUCLEAR), Method.VAHADANE, Flaw.SINGLE_STAIN),
        (field()[:5, :5], Method.MACENKO, Flaw.BLANK),
        (field()[:5, :5], Method.VAHADANE, Flaw.BLANK),
    ],
)
def test_grey_single_stained_and_tiny_images_pass_through(image, method, flaw):
    normaliser = stain.between(stain.fit(image, method), stain.fit(two_stains(), method))
    assert normaliser.flaw is flaw
    assert normaliser.apply(image) is image
    assert stain.NOT_NORMALISED[flaw].text.endswith(".")


@pytest.mark.parametrize("method", METHODS)
def test_a_flawed_target_moves_nothing(method):
    image = two_stains()
    assert stain.normalise(image, stain.fit(image, method), stain.fit(flat(200), method)) is image


def test_a_stain_is_not_moved_to_that_of_another_method():
    with pytest.raises(ValueError, match="macenko"):
        stain.between(stain.fit(two_stains(), Method.MACENKO), stain.fit(two_stains()))


def test_nearly_blank_images_are_not_blown_up():
    """The noise of a pale image stays noise: its spread grows by the greatest gain at most."""
    pale = np.clip(np.random.default_rng(0).normal(215, 2, (200, 200, 3)), 0, 255).astype(np.uint8)
    moved = stain.normalise(pale, stain.fit(pale), Reference((60.0, 0.0, 0.0), (30.0, 30.0, 30.0)))
    before, after = (stain.fit(image).std for image in (pale, moved))
    assert np.all(np.divide(after, before) < 1.05 * stain.MOST_GAIN)


@pytest.mark.parametrize("method", METHODS)
def test_a_tile_changes_as_its_slide_does(method):
    """Fitted once on the slide: equal pixels stay equal, wherever their tile lies."""
    image = np.tile(two_stains(), (3, 5, 1))
    normaliser = stain.between(
        stain.fit(image, method), stain.fit(two_stains(seed=5)[..., ::-1].copy(), method)
    )
    assert np.array_equal(
        normaliser.apply(image)[100:400, 300:900], normaliser.apply(image[100:400, 300:900])
    )


@pytest.mark.parametrize("method", METHODS)
def test_windows_are_measured_as_the_image_they_make_up(method):
    image = two_stains()
    assert stain.fit([image[:80], image[80:]], method) == stain.fit(image, method)


def test_a_large_image_is_sampled_evenly():
    image = np.tile(two_stains(), (8, 8, 1))
    pixels = stain.sample(image)
    assert stain.SAMPLE / 2 < len(pixels) <= stain.SAMPLE * 1.1
    np.testing.assert_allclose(stain.reinhard(image).mean, stain.reinhard(two_stains()).mean, atol=0.6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("image", [two_stains(), flat(255)], ids=["stained", "blank"])
def test_a_fitted_stain_travels_as_plain_data(method, image):
    fitted = stain.fit(image, method)
    assert stain.from_data(json.loads(json.dumps(stain.as_data(fitted)))) == fitted


def test_the_references_of_a_model_card_are_reinhards():
    assert stain.from_data({"mean": [72.0, 8.0, -6.0], "std": [9.0, 5.0, 4.0]}) == TARGET


PIXELS = st.one_of(
    arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3))),
    arrays(
        np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3)), elements=st.integers(0, 3)
    ),
    arrays(
        np.uint8,
        st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3)),
        elements=st.integers(250, 255),
    ),
)


@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("method", METHODS)
@given(image=PIXELS)
def test_any_image_can_be_fitted_and_moved(method, image):
    fitted, target = stain.fit(image, method), stain.fit(two_stains(), method)
    assert np.isfinite(np.concatenate([np.ravel(value) for value in _numbers(stain.as_data(fitted))])).all()
    for normaliser in (stain.between(fitted, target), stain.between(target, fitted)):
        moved = normaliser.apply(image)
        assert moved.shape == image.shape and moved.dtype == np.uint8
        assert normaliser.matrix is None or np.isfinite(normaliser.matrix).all()


def _numbers(data) -> list:
    if isinstance(data, dict):
        return [number for value in data.values() for number in _numbers(value)]
    return [] if data is None or isinstance(data, str) else [data]


@settings(deadline=None, max_examples=30)
@given(image=PIXELS)
def test_a_second_pass_onto_the_same_reference_changes_nothing(image):
    """Idempotent where no colour left the gamut on the first pass."""
    source = stain.fit(image)
    inside = Reference((60.0, 4.0, -4.0), (2.0, 1.5, 1.5))
    moved = stain.normalise(image, source, inside)
    same = stain.normalise(moved, inside, inside)
    assert np.abs(same.astype(int) - moved).max() <= 1


@pytest.mark.parametrize("method", METHODS)
def test_rows_that_lie_apart_in_memory_are_read_as_they_are(method):
    image = two_stains()
    view = image[::2, ::-1]
    normaliser = stain.between(
        stain.fit(image, method), stain.fit(cv2.GaussianBlur(image, (0, 0), 2), method)
    )
    assert np.array_equal(normaliser.apply(view), normaliser.apply(np.ascontiguousarray(view)))
