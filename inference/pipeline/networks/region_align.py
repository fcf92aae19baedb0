"""RoIAlign (He et al. 2017) in plain torch, for where torchvision's compiled kernel does not load.

torchvision has one of its own in plain torch, that gathers every sample by index: it takes several times as
long and, where the number of samples is left to it, the memory of a whole image for every cell of the grid.
"""

import sys

import torch
from torch import Tensor
from torch.nn import functional

SAMPLES = 2
"""Samples of a cell of the grid, along each side, where the caller leaves their number open."""


def install() -> None:
    """Let torchvision use this where it would use its own in plain torch."""
    vars(sys.modules["torchvision.ops.roi_align"])["_roi_align"] = region_align


def region_align(
    features: Tensor, regions: Tensor, scale: float, height: int, width: int, ratio: int, aligned: bool
) -> Tensor:
    """See regions of feature maps on a grid.

    Args:
        features: float32 (n, channels, h, w).
        regions: float32 (k, 5), the index of the map and x0, y0, x1, y1 in px.
        scale: cells of the map per px.
        height: of the grid.
        width: of the grid.
        ratio: samples of a cell of the grid along each side; SAMPLES where it is not positive.
        aligned: whether the middle of the map's first cell lies at 0.5 rather than at 0.

    Returns:
        float32 (k, channels, height, width), means of samples, each between the four cells around it.
    """
    ratio = ratio if ratio > 0 else SAMPLES
    places = _places(regions[:, 1:] * scale - 0.5 * aligned, (height * ratio, width * ratio), aligned)
    limit = torch.tensor(features.shape[:1:-1], device=places.device).clamp(min=2) - 1
    pooled = features.new_zeros(len(regions), features.shape[1], height, width)
    for index in range(len(features)):
        chosen = torch.where(regions[:, 0] == index)[0]
        if len(chosen):
            grid = (2 * places[chosen] / limit - 1).flatten(0, 1)[None].to(features.dtype)
            seen = functional.grid_sample(
                features[index : index + 1], grid, padding_mode="border", align_corners=True
            )
            means = functional.avg_pool2d(seen[0], ratio)
            pooled[chosen] = means.view(-1, len(chosen), height, width).transpose(0, 1)
    return pooled


def _places(boxes: Tensor, grid: tuple[int, int], aligned: bool) -> Tensor:
    """Where samples lie, (k, rows, columns, 2) as x, y, evenly spread in boxes (k, 4); those that are not
    `aligned` are at least 1 wide and high."""
    low, size = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    size = size if aligned else size.clamp(min=1.0)
    rows, columns = (
        (torch.arange(count, device=boxes.device, dtype=boxes.dtype) + 0.5) / count for count in grid
    )
    x = (low[:, 0, None] + size[:, 0, None] * columns)[:, None].expand(-1, grid[0], -1)
    y = (low[:, 1, None] + size[:, 1, None] * rows)[:, :, None].expand(-1, -1, grid[1])
    return torch.stack([x, y], dim=3)
