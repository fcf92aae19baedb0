"""The networks that stage a field of a smear: a backbone, and a part that reads its maps as a sequence."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inference.pipeline.networks import pretrained

ARCHITECTURE = "mobilenetv3_lstm"
WIDTH = 256
HEADS, DEPTH = 4, 2
DROPOUT = 0.3

DARKEST = 1 / 256
"""Added to the light before its logarithm is taken, so that black stays finite."""
LEAST_SPREAD = 0.02
"""Standard deviation of density below which a field counts as empty and its noise is not stretched."""


def _density(light: Tensor) -> Tensor:
    return -torch.log(light + DARKEST)


def _against_itself(density: Tensor) -> Tensor:
    mean = density.mean(dim=(2, 3), keepdim=True)
    spread = (density - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
    return (density - mean) / spread.clamp(min=LEAST_SPREAD)


class OwnStain(nn.Module):
    """The optical density of each channel, less its mean over the field, over its standard deviation there.

    A field is seen against its own stain: a stain or a light that scales or shifts the densities of a channel
    changes nothing. Input: float32 (n, 3, height, width) in 0–1; output of the same shape.
    Source: Ulyanov et al. 2016 (instance normalisation), on densities.
    """

    channels = 3

    def forward(self, light: Tensor) -> Tensor:
        return _against_itself(_density(light))


class GreyStain(nn.Module):
    """The optical density summed over the dyes, without their colours, against its own mean and deviation.

    Each dye adds to the density of every channel, so that the sum over the channels is one over the dyes; it
    is taken a third of, which changes nothing but what counts as empty. Input: float32
    (n, 3, height, width) in 0–1; output (n, 1, height, width).
    """

    channels = 1

    def forward(self, light: Tensor) -> Tensor:
        return _against_itself(_density(light).mean(dim=1, keepdim=True))


class BothStains(nn.Module):
    """What `OwnStain` gives and, as a fourth channel, `GreyStain`: float32 (n, 4, height, width)."""

    channels = OwnStain.channels + GreyStain.channels

    def __init__(self) -> None:
        super().__init__()
        self.own, self.grey = OwnStain(), GreyStain()

    def forward(self, light: Tensor) -> Tensor:
        return torch.cat([self.own(light), self.grey(light)], dim=1)


STAIN = "own"
STAINS: Mapping[str, type[OwnStain | GreyStain | BothStains]] = {
    STAIN: OwnStain,
    "grey": GreyStain,
    "both": BothStains,
}
"""What a network can see a field through; `STAIN` where its card does not say."""


def regions(maps: Tensor) -> Tensor:
    """Read maps (n, channels, height, width) as a sequence (n, height · width, channels): row by row from the
    top, each from left to right."""
    return maps.flatten(2).transpose(1, 2)


class Recurrent(nn.Module):
    """An LSTM or a bidirectional GRU over the regions; the mean of what it says after each of them."""

    def __init__(self, features: int, over: nn.Module, width: int) -> None:
        super().__init__()
        self.norm, self.over, self.width = nn.LayerNorm(features), over, width

    def forward(self, maps: Tensor) -> Tensor:
        said: Tensor = self.over(self.norm(regions(maps)))[0]
        return said.mean(dim=1)


class Attention(nn.Module):
    """The encoder of a vision transformer over the regions, which know their places; the mean over them.

    Source: Dosovitskiy et al. 2021, with the fixed sine and cosine positions of He et al. 2022.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        from timm.models.vision_transformer import Block

        self.width = WIDTH
        self.into = nn.Linear(features, WIDTH)
        self.blocks = nn.Sequential(*(Block(WIDTH, HEADS, mlp_ratio=2.0) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, maps: Tensor) -> Tensor:
        from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed

        height, width = maps.shape[2:]
        places = build_sincos2d_pos_embed([int(height), int(width)], WIDTH, device=maps.device)
        seen = self.blocks(self.into(regions(maps)) + places.to(maps.dtype))
        read: Tensor = self.norm(seen)
        return read.mean(dim=1)


def _lstm(features: int) -> Recurrent:
    return Recurrent(features, nn.LSTM(features, WIDTH, batch_first=True), WIDTH)


def _bi_gru(features: int) -> Recurrent:
    return Recurrent(features, nn.GRU(features, WIDTH, batch_first=True, bidirectional=True), 2 * WIDTH)


@dataclass(frozen=True, slots=True)
class Architecture:
    """The timm model behind a staging network, and what reads its maps."""

    backbone: str
    reader: Callable[[int], Recurrent | Attention]


ARCHITECTURES: Mapping[str, Architecture] = {
    "xception_bigru": Architecture("legacy_xception", _bi_gru),
    "efficientnet_b3_bigru": Architecture("efficientnet_b3", _bi_gru),
    "efficientnet_b3_vit": Architecture("efficientnet_b3", Attention),
    "mobilenetv3_lstm": Architecture("mobilenetv3_large_100", _lstm),
    "efficientnet_lite0_lstm": Architecture("tf_efficientnet_lite0", _lstm),
}
"""The hybrid networks that are compared: four as published, and one whose backbone comes with ImageNet
weights wherever the package index can be reached."""


class StagingNetwork(nn.Module):
    """One of the `STAINS`, backbone, reader of its regions, dropout and a layer for the stages.

    Input: float32 (n, 3, side, side) RGB in 0–1, a side of 32 px or more; output: logits (n, stages).
    """

    # Not `maps`, which a card may name as well: after them each region is normalised over its channels, so
    # that activation times gradient adds up to nothing there, and a map by HiResCAM is rounding alone.
    explanation_layer = "reader.norm"

    def __init__(
        self,
        stain: OwnStain | GreyStain | BothStains,
        backbone: nn.Module,
        reader: Callable[[int], Recurrent | Attention],
        stages: int,
    ) -> None:
        super().__init__()
        self.stain, self.backbone, self.maps = stain, backbone, nn.Identity()
        self.reader = reader(backbone.feature_info.channels()[-1])  # type: ignore[union-attr,operator]
        self.dropout = nn.Dropout(DROPOUT)
        self.stages = nn.Linear(self.reader.width, stages)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.maps(self.backbone(self.stain(image))[-1])
        logits: Tensor = self.stages(self.dropout(self.reader(maps)))
        return logits


def build(architecture: str, stages: int, init: str = "scratch", stain: str = STAIN) -> StagingNetwork:
    """Build a staging network by its name in `ARCHITECTURES`.

    Args:
        architecture: the name.
        stages: how many stages it tells apart.
        init: "scratch" for random weights, or "imagenet" for a backbone with pretrained ones; what stands on
            it is always random.
        stain: what it sees a field through, by its name in `STAINS`.

    Returns:
        The network, in training mode.

    Raises ValueError when there is no such network or stain, NetworkUnavailable when the pretrained
    weights cannot be had.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"{architecture} is no staging network; there are {', '.join(ARCHITECTURES)}.")
    if stain not in STAINS:
        raise ValueError(f"A staging network sees no field through {stain}; there are {', '.join(STAINS)}.")
    of, seen = ARCHITECTURES[architecture], STAINS[stain]()
    chosen = {"features_only": True, "out_indices": [-1], "in_chans": seen.channels}
    return StagingNetwork(seen, pretrained.backbone(of.backbone, init, **chosen), of.reader, stages)
