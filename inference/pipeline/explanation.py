"""Show which part of a crop or field made the network call it so, how much of that lies on the cells, and
whether to believe it."""

from collections.abc import Iterable, Sequence
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
Covered = NDArray[np.bool_]
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
    cells = [covered([outline], len(crop)) for outline, crop in zip(outlines, crops, strict=True)]
    made = explain_within(crops, labels, cells, network, method=method, tried_on=tried_on)
    if nuclei is None:
        return made
    return [with_nucleus(*parts) for parts in zip(made, outlines, nuclei, strict=True)]


def explain_within(
    images: Sequence[Image],
    labels: Sequence[str],
    cells: Sequence[Covered],
    network: tuple[FromPixels, Card],
    *,
    method: Method = DEFAULT,
    tried_on: Network | None = None,
) -> list[Explanation]:
    """Explain the calls of a batch of images that hold one cell or many, as fields do.

    Takes square uint8 RGB images of one side, and for each bool (side, side), true where its cells lie; all
    else is as in `explain`.
    """
    module, card = network
    if not images:
        return []
    pixels = torch.from_numpy(prepare(images, card.input))
    targets = torch.tensor([card.labels.index(label) for label in labels])
    raw = class_activation(method, module, card.explanation_layer, pixels, targets)
    heatmaps = [_scaled(one, len(image)) for one, image in zip(raw, images, strict=True)]
    tried = receipts(images, heatmaps, labels, tried_on) if tried_on else repeat(None, len(images))
    usual = card.heat_strength(method)
    made = [(method, float(one.max()), usual, receipt) for one, receipt in zip(raw, tried, strict=True)]
    return [_explanation(*parts) for parts in zip(heatmaps, made, cells, strict=True)]


def _scaled(raw: Heatmap, side: int) -> Heatmap:
    """Return a map as wide as its crop, 0 to 1; all zero where it is empty.

    Its least value is taken off first, as the public implementation of these methods does: what all places
    have in common says nothing about a place, and Grad-CAM++ gives the glass 40 % of its greatest heat.
    """
    wide = cv2.resize(raw - raw.min(), (side, side), interpolation=cv2.INTER_CUBIC).clip(0, None)
    return np.asarray(wide / (wide.max() or 1.0), np.float32)


def _explanation(heatmap: Heatmap, made: Made, cells: Covered) -> Explanation:
    method, strength, usual, receipt = made
    shade = min(1.0, strength / usual) if usual else 1.0
    on_cells, beside = _share(heatmap, cells), _share(heatmap, ~cells)
    return Explanation(heatmap, on_cells, strength, method, receipt, shade, background_ratio=beside)


def with_nucleus(explanation: Explanation, outline: Outline, nucleus: Mask) -> Explanation:
    """Return an explanation that tells nucleus and cytoplasm apart.

    Takes the cell's outline, ``x, y`` in crop pixels, and its nucleus, uint8 (side, side), 255 in it.
    """
    heatmap = np.asarray(explanation.heatmap)
    inside = _share(heatmap, covered([outline], len(heatmap)) & (nucleus > 127))
    return replace(explanation, nucleus_ratio=inside, cytoplasm_ratio=explanation.focus_ratio - inside)


def outline_in_square(instance: Instance, box: Box, side: int) -> Outline:
    """Move a cell's outline into the pixels of its square, or of its field squeezed into one.

    `box` is what the square shows, in the instance's pixels; `side` the square's width in px.
    """
    left, top, right, bottom = box
    across, down = side / (right - left), side / (bottom - top)
    return [((x - left) * across, (y - top) * down) for x, y in instance.polygon]


def focus_ratio(heatmap: Heatmap, outline: Outline) -> float:
    """Return the share of a heat map's energy inside an outline (``x, y`` in px); 0 for an empty map."""
    return _share(heatmap, covered([outline], len(heatmap)))


def covered(outlines: Iterable[Outline], side: int) -> Covered:
    """Return bool (side, side), true inside any of the outlines, ``x, y`` in px; what of them lies beyond the
    square is left out."""
    mask = np.zeros((side, side), np.uint8)
    for outline in outlines:
        # One by one: drawn together, outlines that overlap would leave a hole where they do.
        cv2.fillPoly(mask, [np.round(np.asarray(outline, np.float64)).astype(np.int32)], 1)
    return mask > 0


def _share(heatmap: Heatmap, where: Covered) -> float:
    total = float(heatmap.sum(dtype=np.float64))
    return float(heatmap[where].sum(dtype=np.float64)) / total if total > 0 else 0.0
