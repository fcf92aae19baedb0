import cv2
import numpy as np
import pytest
from scipy.special import softmax
from torch import nn

from inference.pipeline.faithfulness import BLUR, FRACTIONS, receipts
from inference.pipeline.networks.registry import card
from inference.pipeline.networks.runtime import FromPixels, Network
from tests.inference.pipeline.networks_for_tests import write_network

SIDE = 32


class Texture(nn.Module):
    """The logit of class 0 is how much fine texture there is in the image, that of class 1 is constant."""

    def forward(self, image):
        detail = (image - nn.functional.avg_pool2d(image, 3, stride=1, padding=1)).abs()
        amount = 60 * detail[:, :, 1:-1, 1:-1].mean(dim=(1, 2, 3))
        return nn.functional.pad(amount[:, None], (0, 1), value=2.0)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    made = card("wbc", write_network(tmp_path_factory.mktemp("network"), labels=["textured", "smooth"]))
    return Network(made, FromPixels(Texture(), made.input).eval())


def textured(top=6, left=6, size=12):
    """Grey with a patch of fine texture."""
    crop = np.full((SIDE, SIDE, 3), 128, np.uint8)
    rows, columns = np.mgrid[:size, :size]
    crop[top : top + size, left : left + size] = np.where((rows + columns) % 2, 40, 215)[:, :, None]
    return crop


def heat(row, column, width=6.0):
    """A round hot spot, all of whose values differ but for symmetry."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2)).astype(np.float32)


def test_a_map_on_what_the_network_sees_is_reliable_and_one_beside_it_is_not(network):
    crops = [textured(), textured()]
    on, beside = receipts(crops, [heat(12, 12), heat(26, 26)], ["textured", "textured"], network)
    assert on.reliable and not beside.reliable
    assert on.insertion - on.deletion > 0.3 > beside.insertion - beside.deletion
    assert on.deletion < on.random_deletion and on.insertion > on.random_insertion


def test_the_answer_of_another_class_moves_the_other_way(network):
    (found,) = receipts([textured()], [heat(12, 12)], ["smooth"], network)
    assert not found.reliable and found.deletion > found.insertion


@pytest.mark.parametrize(
    "crop", [np.full((SIDE, SIDE, 3), 128, np.uint8), np.zeros((SIDE, SIDE, 3), np.uint8)]
)
def test_no_map_is_reliable_where_the_network_answers_the_same_whatever_it_sees(crop, network):
    (found,) = receipts([crop], [heat(12, 12)], ["smooth"], network)
    assert not found.reliable
    assert found.deletion == pytest.approx(found.insertion, abs=1e-3)


def test_an_empty_map_is_not_reliable(network):
    (found,) = receipts([textured()], [np.zeros((SIDE, SIDE), np.float32)], ["textured"], network)
    assert not found.reliable


def plain(crop, heatmap, network):
    """Deletion and insertion step by step, as the paper has them."""
    blurred = cv2.GaussianBlur(crop, (0, 0), BLUR * SIDE, borderType=cv2.BORDER_REFLECT)
    hottest = sorted(np.ndindex(SIDE, SIDE), key=lambda place: -heatmap[place])
    curves = []
    for first, last in ((crop, blurred), (blurred, crop)):
        steps = []
        for fraction in (0.0, *FRACTIONS, 1.0):
            image = first.copy()
            for place in hottest[: round(fraction * SIDE**2)]:
                image[place] = last[place]
            logits = network.predict(image[None])
            steps.append(softmax(logits / network.card.temperature, axis=1)[0, 0])
        curves.append(np.trapezoid(steps, [0.0, *FRACTIONS, 1.0]))
    return curves


def test_the_scores_are_those_of_the_plain_procedure(network):
    rng = np.random.default_rng(3)
    heatmap = heat(12, 14) + rng.uniform(0, 0.01, (SIDE, SIDE)).astype(np.float32)
    (found,) = receipts([textured()], [heatmap], ["textured"], network)
    assert [found.deletion, found.insertion] == pytest.approx(plain(textured(), heatmap, network), abs=1e-3)


def test_a_receipt_depends_on_nothing_but_its_crop_and_map(network):
    crops, maps = [textured(), textured(16, 14), textured(2, 18)], [heat(12, 12), heat(9, 9), heat(10, 24)]
    labels = ["textured"] * 3
    together = receipts(crops, maps, labels, network)
    np.random.seed(7)
    assert receipts(crops[::-1], maps[::-1], labels, network)[::-1] == together
    assert receipts(crops[1:2], maps[1:2], labels[:1], network) == together[1:2]


def test_maps_that_say_nothing_pass_about_one_time_in_ten(network):
    rng = np.random.default_rng(5)
    crop = np.full((SIDE, SIDE, 3), 128, np.uint8)
    for row, column in ((2, 4), (18, 3), (9, 20), (22, 22)):
        crop[row : row + 8, column : column + 8] = textured(0, 0, 8)[:8, :8]
    maps = [np.roll(heat(16, 16), rng.integers(0, SIDE, 2), (0, 1)) for _ in range(160)]
    # The random maps are drawn from the crop: another one each time, with the same texture.
    crops = [crop.copy() for _ in maps]
    for number, one in enumerate(crops):
        one[0, 0] = 100 + number % 60
        one[31, 31] = 100 + number // 60
    passed = sum(one.reliable for one in receipts(crops, maps, ["textured"] * len(maps), network))
    assert 1 <= passed <= 24


def test_maps_may_be_of_another_side_than_the_network_sees(network):
    crop = cv2.resize(textured(), (100, 100), interpolation=cv2.INTER_NEAREST)
    wide = cv2.resize(heat(12, 12), (100, 100), interpolation=cv2.INTER_CUBIC).clip(0, None)
    (found,) = receipts([crop], [wide], ["textured"], network)
    assert found.reliable


def test_nothing_to_try(network):
    assert receipts([], [], [], network) == []
