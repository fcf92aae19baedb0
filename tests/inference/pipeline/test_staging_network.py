"""The four hybrid networks: what they read, in which order, and that a stain does not change it."""

import numpy as np
import pytest
import torch

from inference.pipeline.networks import staging
from inference.pipeline.networks.registry import InputContract
from inference.pipeline.networks.runtime import FromPixels, compile_openvino

CONTRACT = InputContract(64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "")


def pixels(count=2, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(40, 200, (count, 64, 64, 3), np.uint8))


def test_regions_are_read_row_by_row_from_the_top_left():
    maps = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert staging.regions(maps)[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_the_recurrent_reader_heeds_the_order():
    torch.manual_seed(0)
    reader, maps = staging.ARCHITECTURES["mobilenetv3_lstm"].reader(8).eval(), torch.randn(1, 8, 3, 3)
    assert not torch.allclose(reader(maps), reader(maps.flip(3)), atol=1e-4)


@pytest.mark.parametrize("architecture", staging.ARCHITECTURES)
def test_each_gives_one_logit_per_stage_and_learns(architecture):
    torch.manual_seed(0)
    network = FromPixels(staging.build(architecture, 4), CONTRACT)
    logits = network(pixels())
    assert logits.shape == (2, 4)
    logits.square().sum().backward()
    assert all(part.grad is not None for part in network.parameters())


def test_a_channels_own_stain_and_light_change_nothing():
    light = torch.rand(1, 3, 32, 32, dtype=torch.float64) * 0.5 + 0.2
    density = -torch.log(light + staging.DARKEST)
    gain = torch.tensor([0.8, 1.2, 0.9]).view(1, 3, 1, 1)
    other = torch.exp(-(density * gain + 0.1)) - staging.DARKEST
    stain = staging.OwnStain()
    assert torch.allclose(stain(light), stain(other), atol=1e-6)
    assert not torch.allclose(stain(light), stain(light.flip(3)), atol=0.1)


def test_an_empty_field_is_not_blown_up():
    empty = torch.full((1, 3, 32, 32), 0.9) + torch.rand(1, 3, 32, 32) / 255
    assert staging.OwnStain()(empty).abs().max() < 0.5


def test_the_runtime_says_the_same_as_torch():
    torch.manual_seed(0)
    module = FromPixels(staging.build("mobilenetv3_lstm", 4), CONTRACT).eval()
    with torch.inference_mode():
        wanted = module(pixels(3)).numpy()
    assert np.allclose(compile_openvino(module, 64)(pixels(3).numpy())[0], wanted, atol=0.02)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="mobilenetv3_lstm"):
        staging.build("resnet18", 4)
