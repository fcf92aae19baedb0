"""The two parts that the proposed network adds to its backbone: WBCAttention and MedSwish."""

import torch
from torch import Tensor, nn

REDUCTION = 16
SPATIAL_PX = 7


class WBCAttention(nn.Module):
    """Weighs feature maps first channel by channel, then place by place.

    Takes and gives float (n, channels, rows, columns). Channels: their average and their maximum over all
    places pass one shared network of two layers, are added, and a sigmoid makes weights of the sum. Places:
    average and maximum over the channels pass a 7×7 convolution and a sigmoid. About 132 thousand parameters
    on 1024 channels.
    Source: Woo et al. 2018, "CBAM: Convolutional Block Attention Module".
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        self.shared = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1)
        )
        self.places = nn.Conv2d(2, 1, SPATIAL_PX, padding=SPATIAL_PX // 2)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps, every value times a weight in 0–1 of its channel and one of its place."""
        average, most = maps.mean(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
        maps = maps * torch.sigmoid(self.shared(average) + self.shared(most))
        seen = torch.cat([maps.mean(dim=1, keepdim=True), maps.amax(dim=1, keepdim=True)], dim=1)
        return maps * torch.sigmoid(self.places(seen))


class MedSwish(nn.Module):
    """The activation x·σ(βx)·(1 + α·tanh x) of values of any shape; β is learnt, from 1 on."""

    def __init__(self, alpha: float = 0.1) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = nn.Parameter(torch.ones(()))

    def forward(self, values: Tensor) -> Tensor:
        """Return the activated values."""
        return values * torch.sigmoid(self.beta * values) * (1.0 + self.alpha * torch.tanh(values))
