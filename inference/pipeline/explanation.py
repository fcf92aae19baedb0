"""Show which part of a crop made the network call it so: Grad-CAM, and how much of it lies on the cell."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.pipeline.findings import Box, Explanation, Image, Instance, Outline
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import FromPixels, prepare, several


def explain(
    crops: Sequence[Image],
    labels: Sequence[str],
    outlines: Sequence[Outline],
    network: tuple[FromPixels, Card],
) -> list[Explanation]:
    """Explain the calls of a batch of crops.

    Args:
        crops: square uint8 RGB crops of one side.
        labels: the class to explain for each crop.
        outlines: the cell's outline in each crop, ``x, y`` in crop pixels.
        network: the network in torch, float32, and its card, which names the layer to look at.

    Returns:
        One explanation per crop, its heat map as wide as the crop.
    """
    module, card = network
    if not crops:
        return []
    pixels = torch.from_numpy(prepare(crops, card.input))
    targets = torch.tensor([card.labels.index(label) for label in labels])
    maps = grad_cam(module, card.explanation_layer, pixels, targets)
    return [
        _explanation(raw, crop.shape[0], outline)
        for raw, crop, outline in zip(maps, crops, outlines, strict=True)
    ]


def grad_cam(module: FromPixels, layer: str, pixels: Tensor, targets: Tensor) -> NDArray[np.float32]:
    """Return Grad-CAM maps float32 (n, rows, columns), not scaled, never negative.

    `pixels` is uint8 (n, side, side, 3) RGB, `targets` int64 (n,) the class whose logit is explained. The
    layer gives maps (n, channels, rows, columns), or a transformer's tokens (n, tokens, channels), which have
    a map once the class token before them is left out. The gradients weigh the activations place by place
    instead of by their mean: before the last layer the mean points beside the cell (focus on white cells 0.48
    by the mean, 0.67 place by place).
    Source: Selvaraju et al. 2017, "Grad-CAM"; Draelos and Carin 2020, "HiResCAM".
    """
    with _activations(module, layer) as kept, torch.enable_grad():
        logits = several(module(pixels))[0]
        chosen = logits.gather(1, targets[:, None]).sum()
        (gradients,) = torch.autograd.grad(chosen, kept)
    evidence = (gradients * kept[0]).detach()
    maps = evidence.sum(dim=1) if evidence.ndim == 4 else _on_grid(evidence.sum(dim=2))
    return np.asarray(maps.relu().cpu(), np.float32)


def _on_grid(tokens: Tensor) -> Tensor:
    """Lay one value per token (n, tokens) out as the patches of a square image lie, (n, rows, columns).

    Tokens that are no patches, as the class token, come first and are left out.
    """
    rows = math.isqrt(tokens.shape[1])
    return tokens[:, tokens.shape[1] - rows**2 :].reshape(-1, rows, rows)


@contextmanager
def _activations(module: FromPixels, layer: str) -> Iterator[list[Tensor]]:
    """Collect what a layer gives out while the block runs."""
    kept: list[Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: object, output: Tensor) -> None:
        kept.append(output)

    handle = module.network.get_submodule(layer).register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


def _explanation(raw: NDArray[np.float32], side: int, outline: Outline) -> Explanation:
    wide = np.clip(cv2.resize(raw, (side, side), interpolation=cv2.INTER_CUBIC), 0, None)
    strength = float(raw.max())
    heatmap = (wide / wide.max()).astype(np.float32) if wide.max() > 0 else np.zeros((side, side), np.float32)
    return Explanation(heatmap, focus_ratio(heatmap, outline), strength)


def outline_in_square(instance: Instance, box: Box, side: int) -> Outline:
    """Move a cell's outline into the pixels of its square.

    `box` is the square the cell was cut from, in the instance's pixels; `side` the crop's width in px.
    """
    left, top, scale = box[0], box[1], side / (box[2] - box[0])
    return [((x - left) * scale, (y - top) * scale) for x, y in instance.polygon]


def focus_ratio(heatmap: NDArray[np.float32], outline: Outline) -> float:
    """Return the share of a heat map's energy inside an outline (``x, y`` in px); 0 for an empty map."""
    mask = np.zeros(heatmap.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(np.asarray(outline, np.float64)).astype(np.int32)], 1)
    total = float(heatmap.sum())
    return float(heatmap[mask > 0].sum()) / total if total > 0 else 0.0
