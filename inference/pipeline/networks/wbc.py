"""The networks that name the cells of the white-cell stream: one registry, one way to build each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from inference.pipeline.networks import pretrained
from inference.pipeline.networks.attention import MedSwish, WBCAttention

ARCHITECTURE = "efficientnet_lite0"
DROPOUT = 0.2
HEAD_WIDTH = 512
EXPLAINED_STRIDE = 16


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a network is built: the timm model behind it and what timm is told, whether the proposed network's
    attention and head stand on it, and its usual `side` in px.

    Where `looked_at` is empty, explanations look at the last maps of `stride`: those of stride 32 are 4×4
    places of a crop of 128 px, too coarse to say what lies on the cell.
    """

    backbone: str
    side: int = 224
    arguments: Mapping[str, Any] = field(default_factory=dict)
    proposed: bool = False
    looked_at: str = ""
    stride: int = EXPLAINED_STRIDE


ARCHITECTURES: Mapping[str, Architecture] = {
    "densenet121_wbc": Architecture("densenet121", proposed=True),
    "densenet121": Architecture("densenet121"),
    "vgg16": Architecture("vgg16_bn"),
    "resnet50v2": Architecture("resnetv2_50"),
    "mobilenetv2": Architecture("mobilenetv2_100"),
    "efficientnet_b0": Architecture("efficientnet_b0"),
    "resnet18": Architecture("resnet18"),
    # Where the next thing that happens to a map is a layer normalisation, which no scaling of its input
    # changes, gradient times activation is nothing but rounding: these two are looked at behind it.
    "convnext_tiny": Architecture("convnext_tiny", looked_at="stages.3.downsample.0"),
    "vit_tiny": Architecture(
        "vit_tiny_patch16_224",
        arguments={"global_pool": "avg", "fc_norm": False, "dynamic_img_size": True},
        looked_at="norm",
    ),
    "regnetx_002": Architecture("regnetx_002", side=128),
    "regnety_002": Architecture("regnety_002", side=128),
    "regnety_004": Architecture("regnety_004", side=128),
    "efficientnet_lite0": Architecture("tf_efficientnet_lite0", side=128),
}
"""The networks that are compared. VGG16 is the one with batch normalisation, and without the two layers of
120 million parameters that its first version put before the classes."""


class WbcNetwork(nn.Module):
    """Backbone, pooling, dropout, and a head for the classes beside one for the morphology attributes.

    Input: float32 (n, 3, side, side), normalised RGB, a side divisible by 32; 16 is enough for vit_tiny.
    """

    def __init__(self, of: Architecture, backbone: nn.Module, classes: int, attributes: int = 0) -> None:
        super().__init__()
        self.backbone, features = backbone, int(backbone.num_features)  # type: ignore[arg-type]
        self._looked_at, self._stride = of.looked_at, of.stride
        self.attention = WBCAttention(features) if of.proposed else nn.Identity()
        self.dropout = nn.Dropout(DROPOUT)
        self.classes = _proposed_head(features, classes) if of.proposed else nn.Linear(features, classes)
        self.attributes = nn.Linear(features, attributes) if attributes else None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of the classes (n, classes), of all attributes' values one attribute after the
        other (n, attributes), and the embedding (n, features): the pooled maps before dropout."""
        maps = self.attention(self.backbone.forward_features(image))  # type: ignore[operator]
        embedding: Tensor = self.backbone.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        pooled = self.dropout(embedding)
        told = self.attributes(pooled) if self.attributes is not None else pooled[:, :0]
        return self.classes(pooled), told, embedding

    @property
    def explanation_layer(self) -> str:
        """The dotted name of the layer that explanations look at."""
        if self._looked_at:
            return f"backbone.{self._looked_at}"
        levels: Any = self.backbone.feature_info
        levels = getattr(levels, "info", levels)
        fine = [level["module"] for level in levels if level["reduction"] <= self._stride]
        return f"backbone.{fine[-1]}"


def _proposed_head(features: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, HEAD_WIDTH), MedSwish(), nn.Dropout(DROPOUT), nn.Linear(HEAD_WIDTH, classes)
    )


def build(
    architecture: str, classes: int, init: str = "scratch", attributes: int = 0, side: int = 0
) -> WbcNetwork:
    """Build a network by its name in `ARCHITECTURES`, or by that of any other timm image classifier.

    Args:
        architecture: the name.
        classes: how many classes it tells apart.
        init: "scratch" for random weights, or "imagenet" for a backbone with pretrained ones; the heads and
            the attention are always random.
        attributes: how many values the morphology attributes have in all; 0 for a network without.
        side: the side in px it will mostly see, to place a transformer's positions; 0 for the usual one.

    Returns:
        The network, in training mode.

    Raises ValueError when there is no such network, NetworkUnavailable when the pretrained weights cannot be
    had.
    """
    of = ARCHITECTURES.get(architecture, Architecture(architecture))
    return made(of, classes, init, attributes, side)


def made(of: Architecture, classes: int, init: str, attributes: int, side: int) -> WbcNetwork:
    """Build a network from its description; takes the rest, and raises, as `build` does."""
    return WbcNetwork(of, _backbone(of, init, side), classes, attributes)


def _backbone(of: Architecture, init: str, side: int) -> nn.Module:
    if not pretrained.known(of.backbone):
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"{of.backbone} is no network that can be built; there are {known}, and timm's own.")
    arguments = dict(of.arguments)
    if "dynamic_img_size" in arguments:
        arguments["img_size"] = side or of.side
    network: nn.Module = pretrained.backbone(of.backbone, init, num_classes=0, **arguments)
    if of.backbone.startswith("vgg"):
        network.pre_logits = nn.Identity()
    return network
