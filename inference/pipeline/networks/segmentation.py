"""The network that finds cells: where each one's centre is, what it is, and how far it reaches."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

ARCHITECTURE = "star_48"
STRIDE = 4
KINDS = 3
RAYS = 32
OFFSET_PX = 4.0
AREAS = slice(KINDS, 2 * KINDS + 1)
"""The channels of the answer that hold `Maps.areas`."""

RADIUS_PX = 12.0
"""Radii leave the network as logarithms of multiples of this."""


class Maps(NamedTuple):
    """What the network says about every cell of its grid, (n, channels, height / 4, width / 4).

    `centres` logits of a red cell's, white cell's or platelet's centre; `offsets` from the grid cell's
    middle to the centre, x and y in multiples of OFFSET_PX; `radii` in 32 directions from the centre, the
    logarithm of multiples of RADIUS_PX; `areas` logits of background, red cell, white cell, platelet.
    """

    centres: Tensor
    offsets: Tensor
    radii: Tensor
    areas: Tensor


def _convolved(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    """Two 3×3 convolutions beside the identity (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolved(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.second(self.first(features)))


class _Joined(nn.Module):
    """Coarse features added to finer ones at twice their resolution."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(coarse, fine, 1, bias=False)
        self.smooth = _convolved(fine, fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        raised = functional.interpolate(self.lateral(coarse), scale_factor=2.0, mode="nearest")
        joined: Tensor = self.smooth(raised + fine)
        return joined


class StarNetwork(nn.Module):
    """Encoder to stride 32, decoder back to stride 4, four outputs; about 1.7 million parameters.

    Input: float32 (n, 3, height, width), normalised RGB at 0.2 µm per pixel, sides multiples of 32. A red
    cell is then 36 px wide, 9 on the output grid. Centres as in CenterNet (Zhou et al. 2019), radii as in
    StarDist (Schmidt et al. 2018) and PolarMask (Xie et al. 2020).
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        stem, wider, wide, widest = width // 2, width * 5 // 3, width * 8 // 3, width * 10 // 3
        self.stem = nn.Sequential(_convolved(3, stem, 2), _convolved(stem, stem))
        self.quarter = nn.Sequential(_convolved(stem, width, 2), _Residual(width))
        self.eighth = nn.Sequential(_convolved(width, wider, 2), _Residual(wider), _Residual(wider))
        self.sixteenth = nn.Sequential(_convolved(wider, wide, 2), _Residual(wide), _Residual(wide))
        self.coarsest = nn.Sequential(_convolved(wide, widest, 2), _Residual(widest))
        self.to_sixteenth = _Joined(widest, wide)
        self.to_eighth = _Joined(wide, wider)
        self.to_quarter = _Joined(wider, width)
        self.what = nn.Sequential(_convolved(width, 64), nn.Conv2d(64, KINDS + KINDS + 1, 1))
        self.where = nn.Sequential(_convolved(width, 64), nn.Conv2d(64, 2 + RAYS, 1))
        last = self.what[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        # Centres are rare: begin with a chance of 1 % everywhere, as focal loss wants (Lin et al. 2017).
        nn.init.constant_(last.bias[:KINDS], -4.6)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return all maps in one tensor (n, 41, height / 4, width / 4); `split` names them."""
        quarter = self.quarter(self.stem(pixels))
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        sixteenth = self.to_sixteenth(self.coarsest(sixteenth), sixteenth)
        features = self.to_quarter(self.to_eighth(sixteenth, eighth), quarter)
        return torch.cat([self.what(features), self.where(features)], dim=1)


def split(maps: Tensor) -> Maps:
    """Name the channels of the network's answer."""
    centres, areas, offsets, radii = torch.split(maps, [KINDS, KINDS + 1, 2, RAYS], dim=1)
    return Maps(centres, offsets, radii, areas)


def build(architecture: str = ARCHITECTURE) -> StarNetwork:
    """Build the network with random weights; `architecture` is "star_" and the width at stride 4.

    Raises ValueError for any other name.
    """
    name, _, width = architecture.partition("_")
    if name != "star" or not width.isdigit():
        raise ValueError(f"{architecture} is no segmentation network; the name is star_ and a width.")
    return StarNetwork(int(width))
