import numpy as np
import pytest
from torch import nn

from inference.pipeline.explanation import explain, focus_ratio
from inference.pipeline.faithfulness import receipts
from inference.pipeline.findings import Method
from inference.pipeline.networks import registry
from inference.pipeline.networks.registry import InputContract, card
from inference.pipeline.networks.runtime import FromPixels, Network, torch_module
from tests.inference.pipeline.networks_for_tests import write_network


class Redness(nn.Module):
    """Class 0 is how red the image is, class 1 how blue; its feature maps are the colours themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 4, stride=4, groups=3, bias=False)
        nn.init.constant_(self.features.weight, 1 / 16)

    def forward(self, image):
        return self.features(image).mean(dim=(2, 3))[:, [0, 2]]


@pytest.fixture
def module():
    return FromPixels(Redness(), InputContract(32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "")).eval()


@pytest.fixture
def patches():
    """Black with a red patch at the top left and a blue one at the bottom right."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[4:12, 4:12, 0] = 255
    image[20:28, 20:28, 2] = 255
    return image


def test_explain_names_the_share_on_the_cell(module, patches, tmp_path):
    layered = card("wbc", write_network(tmp_path, explanation_layer="features", labels=["red", "blue"]))
    on_red = [(0, 0), (15, 0), (15, 15), (0, 15)]
    red, blue = explain([patches, patches], ["red", "blue"], [on_red, on_red], (module, layered))
    assert red.heatmap.shape == (32, 32) and red.heatmap.dtype == np.float32
    assert red.heatmap.max() == 1.0 and red.heatmap.min() >= 0.0
    assert red.focus_ratio > 0.95
    assert blue.focus_ratio < 0.05
    assert red.strength > 0


def test_the_heat_map_is_as_wide_as_the_crop(tmp_path):
    made = card("wbc", write_network(tmp_path))
    module = torch_module(made)
    crop = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    (explanation,) = explain([crop], ["blast"], [[(0, 0), (99, 0), (99, 99), (0, 99)]], (module, made))
    assert explanation.heatmap.shape == (100, 100)
    assert explanation.focus_ratio == pytest.approx(1.0) or explanation.strength == 0.0


def test_nothing_to_explain(module, tmp_path):
    assert explain([], [], [], (module, card("wbc", write_network(tmp_path)))) == []


def test_focus_of_known_maps():
    heatmap = np.ones((10, 10), np.float32)
    left_half = [(0, 0), (4, 0), (4, 9), (0, 9)]
    assert focus_ratio(heatmap, left_half) == pytest.approx(0.5)
    assert focus_ratio(np.zeros((10, 10), np.float32), left_half) == 0.0


LEFT_UPPER = [(0, 0), (15, 0), (15, 15), (0, 15)]


def test_the_heat_is_shared_out_between_nucleus_cytoplasm_and_background(module, patches, tmp_path):
    layered = card("wbc", write_network(tmp_path, explanation_layer="features", labels=["red", "blue"]))
    nucleus = np.zeros((32, 32), np.uint8)
    nucleus[:, 8:] = 255
    (found,) = explain([patches], ["red"], [LEFT_UPPER], (module, layered), nuclei=[nucleus])
    # The red patch lies over columns 4 to 11, half of it in the nucleus.
    assert found.nucleus_ratio == pytest.approx(0.5, abs=0.02)
    assert found.nucleus_ratio + found.cytoplasm_ratio == pytest.approx(found.focus_ratio)
    assert found.focus_ratio + found.background_ratio == pytest.approx(1.0)
    (off,) = explain([patches], ["blue"], [LEFT_UPPER], (module, layered), nuclei=[nucleus])
    assert off.nucleus_ratio < 0.05 and off.background_ratio > 0.95


def test_without_a_nucleus_only_cell_and_background_are_told_apart(module, patches, tmp_path):
    layered = card("wbc", write_network(tmp_path, explanation_layer="features", labels=["red", "blue"]))
    (found,) = explain([patches], ["red"], [LEFT_UPPER], (module, layered))
    assert found.nucleus_ratio is None and found.cytoplasm_ratio is None
    assert found.background_ratio == pytest.approx(1 - found.focus_ratio)


@pytest.mark.parametrize("method", Method)
def test_an_explanation_names_its_method_and_has_a_receipt_where_one_is_wanted(method, tmp_path):
    network = Network(card("wbc", write_network(tmp_path)))
    crops = list(np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), np.uint8))
    frame = [[(0, 0), (47, 0), (47, 47), (0, 47)]] * 2
    how = (network.module, network.card)
    labels = ["blast", "lymphocyte"]
    tried = explain(crops, labels, frame, how, method=method, tried_on=network)
    assert [one.method for one in tried] == [method] * 2
    expected = receipts(crops, [one.heatmap for one in tried], labels, network)
    assert [one.receipt for one in tried] == expected
    assert [one.receipt for one in explain(crops, labels, frame, how, method=method)] == [None, None]


def test_an_empty_map_lies_nowhere(module, tmp_path):
    layered = card("wbc", write_network(tmp_path, explanation_layer="features", labels=["red", "blue"]))
    black, nucleus = np.zeros((32, 32, 3), np.uint8), np.full((32, 32), 255, np.uint8)
    (found,) = explain([black], ["red"], [LEFT_UPPER], (module, layered), nuclei=[nucleus])
    assert found.strength == 0.0 and found.heatmap.max() == 0.0
    assert (found.focus_ratio, found.nucleus_ratio, found.cytoplasm_ratio) == (0.0, 0.0, 0.0)
    assert found.background_ratio == 0.0


def test_a_map_weaker_than_usual_is_to_be_shown_paler(module, patches, tmp_path):
    on_red = [(0, 0), (15, 0), (15, 15), (0, 15)]

    def shown(method, **thresholds):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        kept = {"abstain_below": 0.5, **thresholds}
        made = write_network(folder, explanation_layer="features", labels=["red", "blue"], thresholds=kept)
        (one,) = explain([patches], ["red"], [on_red], (module, card("wbc", made)), method=method)
        return one

    for method in Method:
        one = shown(method)
        assert one.shade == 1.0 and one.strength > 0
        assert shown(method, heat_strength={method: 4 * one.strength}).shade == pytest.approx(0.25)
        assert shown(method, heat_strength={method: one.strength / 4}).shade == 1.0
        others = {other: 4 * one.strength for other in Method if other is not method}
        assert shown(method, heat_strength=others).shade == 1.0
        number = shown(method, heat_strength=4 * one.strength).shade
        assert number == pytest.approx(0.25 if method is Method.HIRES_CAM else 1.0)


def test_the_shipped_networks_know_the_usual_strength_of_their_maps():
    assert all(registry.card("wbc").heat_strength(method) for method in Method)
    for name in ("wbc_second", "rbc"):
        assert registry.card(name).heat_strength(Method.HIRES_CAM)
