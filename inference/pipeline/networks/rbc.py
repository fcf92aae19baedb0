"""The networks that name the shapes of red cells, built like those of the white-cell stream."""

from collections.abc import Mapping
from dataclasses import replace

from inference.pipeline.networks import wbc
from inference.pipeline.networks.wbc import Architecture, WbcNetwork

ARCHITECTURE = "efficientnet_lite0"
EXPLAINED_STRIDE = 8
"""Explanations look at the last maps of this stride: those of stride 16 are 4×4 places of a crop of 64 px."""

ARCHITECTURES: Mapping[str, Architecture] = {
    "regnetx_002": Architecture("regnetx_002", side=64),
    "efficientnet_lite0": Architecture("tf_efficientnet_lite0", side=64),
    "efficientnet_b0": Architecture("efficientnet_b0", side=64),
    "efficientnetv2_s": Architecture("tf_efficientnetv2_s", side=64),
    "resnet50": Architecture("resnet50", side=64),
}
"""The networks that were thought of for red cells; of EfficientNetV2-S timm has pretrained weights only in
TensorFlow's padding."""


def build(
    architecture: str, classes: int, init: str = "scratch", attributes: int = 0, side: int = 0
) -> WbcNetwork:
    """Build a network by its name in `ARCHITECTURES`, or by that of any other timm image classifier.

    Takes, gives and raises what `networks.wbc.build` does; the network's answers are the same three.
    """
    of = ARCHITECTURES.get(architecture, Architecture(architecture))
    return wbc.made(replace(of, stride=EXPLAINED_STRIDE), classes, init, attributes, side)
