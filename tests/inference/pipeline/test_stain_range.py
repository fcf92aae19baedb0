"""How far a stain lies from the training stains, and what SeenColours makes of it."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from inference.pipeline import stain, stain_lab
from inference.pipeline.config import Config
from inference.pipeline.seen_colours import BEYOND, SWITCHED_OFF, SeenColours
from inference.pipeline.stain_range import StainRange, figures, joined
from inference.training import wbc_card
from inference.training.perturb import perturb
from tests.inference.pipeline.images import field, flat
from tests.inference.pipeline.networks_for_tests import reinhard_card


def training() -> list[np.ndarray]:
    """One stain as it varies: strength and light change a little from image to image."""
    return [perturb(field(160, 120, seed), "stain", seed) for seed in range(40)]


@pytest.fixture(scope="module")
def within() -> StainRange:
    return StainRange.of(joined([stain.sample(image) for image in training()]), limit=3.0)


def distance(within: StainRange, image: np.ndarray) -> float:
    return within.distance(figures(stain.sample(image)))


def test_the_distance_of_training_images_is_about_one(within):
    squares = [distance(within, image) ** 2 for image in training()]
    # The mean of Mahalanobis' square over the images it was made from is 9 (n - 1) / n.
    assert np.mean(squares) == pytest.approx(39 / 40, rel=1e-6)


def test_other_colours_are_far_and_more_of_them_is_farther(within):
    other = field(160, 120)[..., ::-1]
    steps = [cv2.addWeighted(field(160, 120), 1 - share, other, share, 0) for share in (0, 0.4, 0.7, 1)]
    distances = [distance(within, image) for image in steps]
    assert distances == sorted(distances)
    assert distances[0] < within.limit < distances[-1]


def test_what_reinhard_cannot_bring_back_is_seen(within):
    """Mean and spread of every channel agree; only which colours go together is exchanged."""
    calm = stain.Reference((70.0, 8.0, -8.0), (8.0, 3.0, 3.0))
    image = stain.normalise(field(160, 120), stain.reinhard(field(160, 120)), calm)
    exchanged = stain_lab.recolour(
        image, np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 2 * calm.mean[2]]])
    )
    np.testing.assert_allclose(stain.reinhard(exchanged).mean, stain.reinhard(image).mean, atol=0.3)
    np.testing.assert_allclose(stain.reinhard(exchanged).std, stain.reinhard(image).std, atol=0.3)
    assert distance(within, exchanged) > 2 * distance(within, image)


@pytest.mark.parametrize("image", [flat(0), flat(255), flat(128, 1, 1), field()[..., :1].repeat(3, axis=2)])
def test_hard_images_have_finite_figures(within, image):
    assert np.isfinite(figures(stain.sample(image))).all()
    assert distance(within, image) > within.limit


def test_a_range_travels_as_plain_data(within):
    assert StainRange.from_data(json.loads(json.dumps(within.as_data()))) == within
    with pytest.raises(ValueError, match="9 means"):
        StainRange.from_data({**within.as_data(), "centre": [1.0]})


FRAME = ((0, 0), (119, 0), (119, 119), (0, 119))


def card(within: StainRange | None):
    given = reinhard_card()
    ranges = {"stain_ranges": {"cell": [within.as_data()] if within else []}}
    return replace(given, text={**given.text, "input": {**given.text["input"], **ranges}})


def test_a_stain_beyond_the_range_of_the_card_is_noted(within):
    inside, outside = field(160, 120), field(160, 120)[..., ::-1].copy()
    assert SeenColours.of(inside, "cell", card(within), Config()).beyond is None
    seen = SeenColours.of(outside, "cell", card(within), Config())
    assert seen.beyond is BEYOND
    assert BEYOND.code == "stain_beyond_normalisation"
    assert len(seen.views([outside], [FRAME])) == 2


def test_it_is_noted_whether_or_not_stains_are_normalised(within):
    off = SeenColours.of(field()[..., ::-1], "cell", card(within), Config(normalise_stain=False))
    assert off.beyond is BEYOND
    assert off.notices == (SWITCHED_OFF,)


def test_a_card_without_a_range_notes_nothing():
    assert SeenColours.of(field()[..., ::-1], "cell", card(None), Config()).beyond is None


def test_windows_are_measured_together(within):
    image = field(160, 120)
    parts = [image[:50], image[50:]]
    whole, apart = (SeenColours.of(given, "cell", card(within), Config()) for given in (image, parts))
    assert np.array_equal(*(seen.views([image], [FRAME])["reinhard"][0] for seen in (whole, apart)))


def test_a_grey_image_is_seen_in_its_own_colours():
    grey = field()[..., :1].repeat(3, axis=2)
    seen = SeenColours.of(grey, "field", card(None), Config())
    assert seen.notices == (stain.NOT_NORMALISED[stain.Flaw.GREY],)
    views = seen.views([grey], [FRAME])
    assert list(views) == ["as_is"] and views["as_is"][0] is grey


def test_the_nearest_of_several_laboratories_counts(within):
    outside = field(160, 120)[..., ::-1].copy()
    other = StainRange.of(joined([stain.sample(shifted(outside, by)) for by in range(40)]), 4.0)
    given = card(within)
    both = {"cell": [within.as_data(), other.as_data()]}
    text = {**given.text, "input": {**given.text["input"], "stain_ranges": both}}
    for image in (field(160, 120), outside):
        assert SeenColours.of(image, "cell", replace(given, text=text), Config()).beyond is None


def shifted(image, seed):
    moved = image.astype(int) + np.random.default_rng(seed).integers(-8, 9, 3)
    return moved.clip(0, 255).astype(np.uint8)


def test_the_rim_of_a_field_holds_each_of_its_border_pixels_once():
    numbered = np.arange(200 * 300).reshape(200, 300, 1).repeat(3, axis=2)
    seen = np.concatenate([part[..., 0].ravel() for part in wbc_card.rim(numbered)])
    inside = numbered[wbc_card.RIM : -wbc_card.RIM, wbc_card.RIM : -wbc_card.RIM, 0]
    assert sorted(seen) == sorted(set(numbered[..., 0].ravel()) - set(inside.ravel()))


@pytest.fixture(scope="module")
def measured(wbc_data) -> dict[str, list[StainRange]]:
    return wbc_card.stain_ranges(wbc_data)


def files(folder, split: str, count: int = 40) -> list:
    with (folder / "index.csv").open(newline="") as lines:
        listed = sorted(row["file"] for row in csv.DictReader(lines) if row["split"] == split)
    return [folder / name for name in wbc_card.thinned(listed, count)]


def beyond(ranges: list[StainRange], paths) -> float:
    read = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]
    return float(
        np.mean([min(distance(one, image) for one in ranges) > wbc_card.STAIN_LIMIT for image in read])
    )


def test_training_laboratories_lie_inside_and_stains_that_fail_outside(wbc_data, measured):
    for known in ("wbc_pbc", "wbc_apl"):
        assert beyond(measured["cell"], files(wbc_data / known, "val")) <= 0.02
    assert beyond(measured["cell"], files(wbc_data / "wbc_ood_jiangxi", "ood_dev")) > 0.9
    first = measured["cell"][:2]
    assert beyond(first, files(wbc_data / "wbc_chula", "train")) > 0.9
