"""The hybrid networks: what they read, in which order, and that a stain does not change it."""

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


def test_grey_is_the_density_of_all_dyes_without_their_colours():
    light = torch.rand(2, 3, 32, 32) * 0.5 + 0.2
    grey = staging.GreyStain()(light)
    assert grey.shape == (2, 1, 32, 32)
    other = light[:, [2, 0, 1]] * torch.tensor([0.9, 0.8, 0.7]).view(1, 3, 1, 1)
    assert torch.allclose(grey, staging.GreyStain()(other), atol=0.05), (
        "neither order nor light of the colours"
    )
    summed = -torch.log(light + staging.DARKEST).sum(dim=1)
    for seen, whole in zip(grey[:, 0], summed, strict=True):
        assert torch.allclose(seen, (whole - whole.mean()) / whole.std(correction=0), atol=1e-4)
    both = staging.BothStains()(light)
    assert torch.equal(both, torch.cat([staging.OwnStain()(light), grey], dim=1))


@pytest.mark.parametrize("stain", staging.STAINS)
def test_each_stain_learns_and_the_runtime_says_the_same_as_torch(stain):
    torch.manual_seed(0)
    module = FromPixels(staging.build("mobilenetv3_lstm", 4, stain=stain), CONTRACT)
    module(pixels()).square().sum().backward()
    assert all(part.grad is not None for part in module.parameters())
    with torch.inference_mode():
        wanted = module.eval()(pixels(3)).numpy()
    assert np.allclose(compile_openvino(module, 64)(pixels(3).numpy())[0], wanted, atol=0.02)


@pytest.mark.parametrize(("stain", "channels"), [("own", 3), ("grey", 1), ("both", 4)])
def test_a_pretrained_backbone_takes_the_channels_of_every_stain(stain, channels):
    network, colour = (
        staging.build("efficientnet_lite0_lstm", 4, "imagenet", name).backbone for name in (stain, "own")
    )
    stem, learnt = network.conv_stem.weight, colour.conv_stem.weight
    assert stem.shape[1] == channels and torch.equal(network.bn1.weight, colour.bn1.weight)
    assert stain != "grey" or torch.allclose(stem, learnt.sum(dim=1, keepdim=True), atol=1e-6)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="mobilenetv3_lstm"):
        staging.build("resnet18", 4)
    with pytest.raises(ValueError, match="own, grey, both"):
        staging.build("mobilenetv3_lstm", 4, stain="green")
