"""Show which part of a crop made the network call it so, how much of that lies on the cell, and whether to
believe it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from inference.pipeline.class_activation import class_activation
from inference.pipeline.faithfulness import receipts
from inference.pipeline.findings import Box, Explanation, Image, Instance, Method, Outline, Receipt
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import FromPixels, Network, prepare

Heatmap = NDArray[np.float32]
Mask = NDArray[np.uint8]
Made = tuple[Method, float, float | None, Receipt | None]
"""How a map was made, its raw maximum and the usual one, where that is known, and its receipt."""

DEFAULT = Method.HIRES_CAM


def explain(
    crops: Sequence[Image],
    labels: Sequence[str],
    outlines: Sequence[Outline],
    network: tuple[FromPixels, Card],
    *,
    nuclei: Sequence[Mask] | None = None,
    method: Method = DEFAULT,
    tried_on: Network | None = None,
) -> list[Explanation]:
    """Explain the calls of a batch of crops.

    Args:
        crops: square uint8 RGB crops of one side, upright.
        labels: the class to explain for each crop.
        outlines: the cell's outline in each crop, ``x, y`` in crop pixels.
        network: the network in torch, float32, and its card, which names the layer to look at.
        nuclei: where in each crop the nucleus lies, uint8 (side, side), 255 in it; None where nobody knows.
        method: how the heat maps are made.
        tried_on: the same network ready to run, to try every map on: each explanation then has a receipt.

    Returns:
        One explanation per crop, its heat map as wide as the crop.
    """
    module, card = network
    if not crops:
        return []
    pixels = torch.from_numpy(prepare(crops, card.input))
    targets = torch.tensor([card.labels.index(label) for label in labels])
    raw = class_activation(method, module, card.explanation_layer, pixels, targets)
    heatmaps = [_scaled(one, len(crop)) for one, crop in zip(raw, crops, strict=True)]
    tried = receipts(crops, heatmaps, labels, tried_on) if tried_on else repeat(None, len(crops))
    usual = card.heat_strength(method)
    made = [(method, float(one.max()), usual, receipt) for one, receipt in zip(raw, tried, strict=True)]
    drawn = repeat(None, len(crops)) if nuclei is None else nuclei
    return [_explanation(*parts) for parts in zip(heatmaps, made, outlines, drawn, strict=True)]


def _scaled(raw: Heatmap, side: int) -> Heatmap:
    """Return a map as wide as its crop, 0 to 1; all zero where it is empty.

    Its least value is taken off first, as the public implementation of these methods does: what all places
    have in common says nothing about a place, and Grad-CAM++ gives the glass 40 % of its greatest heat.
    """
    wide = cv2.resize(raw - raw.min(), (side, side), interpolation=cv2.INTER_CUBIC).clip(0, None)
    return np.asarray(wide / (wide.max() or 1.0), np.float32)


def _explanation(heatmap: Heatmap, made: Made, outline: Outline, nucleus: Mask | None) -> Explanation:
    method, strength, usual, receipt = made
    cell = _inside(outline, len(heatmap))
    shade = min(1.0, strength / usual) if usual else 1.0
    beside = _share(heatmap, ~cell)
    made_of = Explanation(
        heatmap, _share(heatmap, cell), strength, method, receipt, shade, background_ratio=beside
    )
    return made_of if nucleus is None else with_nucleus(made_of, outline, nucleus)


def with_nucleus(explanation: Explanation, outline: Outline, nucleus: Mask) -> Explanation:
    """Return an explanation that tells nucleus and cytoplasm apart.

    Takes the cell's outline, ``x, y`` in crop pixels, and its nucleus, uint8 (side, side), 255 in it.
    """
    heatmap = np.asarray(explanation.heatmap)
    inside = _share(heatmap, _inside(outline, len(heatmap)) & (nucleus > 127))
    return replace(explanation, nucleus_ratio=inside, cytoplasm_ratio=explanation.focus_ratio - inside)


def outline_in_square(instance: Instance, box: Box, side: int) -> Outline:
    """Move a cell's outline into the pixels of its square.

    `box` is the square the cell was cut from, in the instance's pixels; `side` the crop's width in px.
    """
    left, top, scale = box[0], box[1], side / (box[2] - box[0])
    return [((x - left) * scale, (y - top) * scale) for x, y in instance.polygon]


def focus_ratio(heatmap: Heatmap, outline: Outline) -> float:
    """Return the share of a heat map's energy inside an outline (``x, y`` in px); 0 for an empty map."""
    return _share(heatmap, _inside(outline, len(heatmap)))


def _inside(outline: Outline, side: int) -> NDArray[np.bool_]:
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round(np.asarray(outline, np.float64)).astype(np.int32)], 1)
    return mask > 0


def _share(heatmap: Heatmap, where: NDArray[np.bool_]) -> float:
    total = float(heatmap.sum(dtype=np.float64))
    return float(heatmap[where].sum(dtype=np.float64)) / total if total > 0 else 0.0
