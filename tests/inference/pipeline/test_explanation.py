import numpy as np
import pytest
import torch
from torch import nn

from inference.pipeline.explanation import explain, focus_ratio, grad_cam
from inference.pipeline.networks.registry import InputContract, card
from inference.pipeline.networks.runtime import FromPixels, torch_module
from tests.inference.pipeline.networks_for_tests import write_network


class Redness(nn.Module):
    """Class 0 is how red the image is, class 1 how blue; its feature maps are the colours themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 4, stride=4, groups=3, bias=False)
        nn.init.constant_(self.features.weight, 1 / 16)

    def forward(self, image):
        return self.features(image).mean(dim=(2, 3))[:, [0, 2]]


class Tokens(Redness):
    """The same with a class token in front of one token per patch, as a transformer has them."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Identity()

    def forward(self, image):
        patches = self.features(image).flatten(2).transpose(1, 2)
        tokens = self.tokens(torch.cat([torch.full_like(patches[:, :1], 9.0), patches], dim=1))
        colours = tokens[:, 1:].mean(dim=1) + 0.5 * tokens[:, 0]
        return colours[:, [0, 2]], colours[:, :0], colours


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


def test_the_map_lies_on_what_speaks_for_the_class(module, patches):
    pixels = torch.from_numpy(np.stack([patches, patches]))
    red, blue = grad_cam(module, "features", pixels, torch.tensor([0, 1]))
    assert red.shape == (8, 8)
    assert red[1:3, 1:3].sum() == pytest.approx(red.sum())
    assert blue[5:7, 5:7].sum() == pytest.approx(blue.sum())
    assert red.min() >= 0 and red.max() > 0


def test_tokens_lie_where_their_patches_lie_and_the_class_token_nowhere(module, patches):
    contract = InputContract(32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "")
    transformer = FromPixels(Tokens(), contract).eval()
    pixels, targets = torch.from_numpy(np.stack([patches, patches])), torch.tensor([0, 1])
    expected = grad_cam(module, "features", pixels, targets)
    np.testing.assert_allclose(grad_cam(transformer, "tokens", pixels, targets), expected, rtol=1e-5)


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
