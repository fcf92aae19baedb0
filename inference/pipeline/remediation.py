"""Look again at cells whose call is in doubt: in another stain, and cut out without their surroundings.

A call is in doubt when the network looked beside the cell or when the stain lies outside the stains that it
was trained on. Whatever is tried is kept, and so is the first call: the one stands that was made on the cell
and is the surest; where none was, the network abstains.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np

from inference.pipeline import stain
from inference.pipeline.classification import classify
from inference.pipeline.config import Augmentation, Config
from inference.pipeline.explanation import explain
from inference.pipeline.findings import Attempt, Call, Image, Outline, Remediation, Remedy, Shown
from inference.pipeline.levels import mask_of
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import Network
from inference.pipeline.seen_colours import AS_IS

METHODS = {Remedy.REINHARD: stain.Method.REINHARD, Remedy.MACENKO: stain.Method.MACENKO}

TIGHT_PADDING = 0.05
"""How much longer than the cell the side of the tighter square is; the usual one is 25 % longer."""

RIM = 0.02
"""Width of the soft rim around the cell in the tighter square, in shares of its side."""

See = Callable[[Sequence[Image], Sequence[Outline]], Mapping[str, Sequence[Image]]]
"""Shows crops with their outlines in all views of the network."""


def doubts(focus_ratio: float, stain_beyond: bool, card: Card) -> tuple[str, ...]:
    """Return why a call is in doubt, nothing where it is not: by the share of the evidence on the cell, and
    by whether the stain is further from the network's than normalisation can bridge."""
    reasons = {"off_cell": focus_ratio < card.focus_below, "stain": stain_beyond}
    return tuple(reason for reason, holds in reasons.items() if holds)


@dataclass(frozen=True, slots=True)
class Doubted:
    """A cell whose call is in doubt: its crop, uint8 RGB (side, side, 3), its outline in crop pixels, its
    call, the share of the evidence that lay on the cell, and why it is in doubt."""

    crop: Image
    outline: Outline
    call: Call
    focus_ratio: float
    triggers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remedies:
    """What can be tried on the cells of one image; `normalisers` move its stain to that of the training."""

    normalisers: Mapping[Remedy, stain.Normaliser]

    @classmethod
    def of(cls, image: Image | Sequence[Image], shown: Shown, card: Card) -> Self:
        """Measure an image or windows of a slide, uint8 RGB, that show a field or a single cell.

        A method for which the card has no reference, or that finds too little stain, is not tried.
        """
        moved = {
            remedy: stain.between(stain.fit(image, METHODS[remedy]), target)
            for remedy, target in _targets(shown, card).items()
        }
        return cls({remedy: move for remedy, move in moved.items() if not move.flaw})

    @property
    def names(self) -> tuple[Remedy, ...]:
        """The remedies in the order in which they are tried."""
        return (*self.normalisers, Remedy.TIGHT)

    def apply(self, remedy: Remedy, crop: Image, outline: Outline) -> tuple[Image, Outline]:
        """Return a crop, uint8 RGB, as a remedy shows it, and where its cell's outline lies in it."""
        if remedy is Remedy.TIGHT:
            return tightened(crop, outline)
        return self.normalisers[remedy].apply(crop), outline


def _targets(shown: Shown, card: Card) -> dict[Remedy, stain.Fitted]:
    contract, targets = card.input, dict[Remedy, stain.Fitted]()
    if shown in contract.stain_references:
        targets[Remedy.REINHARD] = stain.Reference(*contract.stain_references[shown])
    if shown in contract.macenko_references:
        targets[Remedy.MACENKO] = stain.from_data(contract.macenko_references[shown])
    return targets


def tightened(crop: Image, outline: Outline) -> tuple[Image, Outline]:
    """Return the square just around a cell, of the crop's side, with even glass where the cell is not.

    Takes uint8 RGB (side, side, 3) and the outline in its pixels; the glass is the median colour of the
    brighter half of what lies beside the cell. A crop that holds nothing but its cell is given back.
    """
    side, points = len(crop), np.asarray(outline, np.float64)
    mask = mask_of(outline, side)
    around = crop[mask == 0]
    if not len(around) or not mask.any():
        return crop, outline
    brightness = around.sum(axis=1, dtype=np.int64)
    glass = np.median(around[brightness >= np.median(brightness)], axis=0)
    share = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), RIM * side)[..., None]
    share = np.maximum(share, (mask > 0).astype(np.float32)[..., None])
    alone = (glass + (crop - glass) * share).astype(np.uint8)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = side / max(1.0, float((high - low).max()) * (1 + TIGHT_PADDING))
    offset = side / 2 - scale * (low + high) / 2
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    moved = cv2.warpAffine(alone, matrix, (side, side), flags=cv2.INTER_CUBIC, borderValue=glass.tolist())
    return np.asarray(moved, np.uint8), [(float(x), float(y)) for x, y in points * scale + offset]


def remediate(
    doubted: Sequence[Doubted], remedies: Remedies, see: See, network: Network, config: Config
) -> list[tuple[Call, Remediation]]:
    """Try all remedies on a batch of cells of one image.

    Args:
        doubted: the cells.
        remedies: what can be tried.
        see: shows crops in the views of the network.
        network: the network that called them.
        config: the laboratory's choices, of which the declared classes and the batch count here.

    Returns:
        For each cell the call that stands, and what was tried. Remedies are called upright only.
    """
    least = network.card.focus_below
    if not doubted:
        return []
    tried = {remedy: _try(remedy, doubted, remedies, see, (network, config)) for remedy in remedies.names}
    settled = []
    for place, cell in enumerate(doubted):
        calls = {Remedy.NONE: (cell.call, cell.focus_ratio)}
        calls |= {remedy: answers[place] for remedy, answers in tried.items()}
        settled.append(settle(calls, least, cell.triggers))
    return settled


def _try(
    remedy: Remedy, doubted: Sequence[Doubted], remedies: Remedies, see: See, by: tuple[Network, Config]
) -> list[tuple[Call, float]]:
    network, config = by
    shown = [remedies.apply(remedy, cell.crop, cell.outline) for cell in doubted]
    crops, outlines = [crop for crop, _ in shown], [outline for _, outline in shown]
    views = see(crops, outlines)
    calls = classify(views, network, config.declared_classes, config.cells.wbc_batch, Augmentation.NONE)
    looked = explain(views[AS_IS], [call.label for call in calls], outlines, (network.module, network.card))
    return [(call, where.focus_ratio) for call, where in zip(calls, looked, strict=True)]


def settle(
    calls: Mapping[Remedy, tuple[Call, float]], focus_below: float, triggers: tuple[str, ...]
) -> tuple[Call, Remediation]:
    """Decide which of several calls of one cell stands.

    `calls` holds for every remedy, and for none, the call and the share of the evidence on the cell. Of those
    with their focus on the cell the surest stands, the first of equals; without any the first call is kept
    and abstained from.
    """
    attempts = tuple(
        Attempt(remedy, call.label, call.confidence, focus, focus >= focus_below)
        for remedy, (call, focus) in calls.items()
    )
    on_cell = [attempt for attempt in attempts if attempt.on_cell]
    if not on_cell:
        first = calls[Remedy.NONE][0]
        return replace(first, abstained=True), Remediation(triggers, attempts, None)
    best = max(on_cell, key=lambda attempt: attempt.confidence)
    return calls[best.remedy][0], Remediation(triggers, attempts, best.remedy)
