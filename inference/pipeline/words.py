"""A cell in words from its crop: its nucleus found, the cell measured, the measures described."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inference.pipeline import cells
from inference.pipeline.cell_words import Description
from inference.pipeline.description import describe
from inference.pipeline.explanation import outline_in_square, with_nucleus
from inference.pipeline.findings import Call, Explanation, Image, Instance, Outline
from inference.pipeline.haematology import NUCLEUS_SURE
from inference.pipeline.levels import mask_of
from inference.pipeline.morphology import measure
from inference.pipeline.networks.registry import Card
from inference.pipeline.nucleus import nucleus_mask
from inference.pipeline.told import told

WITHOUT_NUCLEUS = frozenset({"platelet", "artifact"})

Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Cut:
    """A cell as it was cut out: its crop, uint8 RGB (side, side, 3), its outline in crop pixels, and the µm
    per pixel of the crop, None where nobody knows."""

    crop: Image
    outline: Outline
    um_per_px: float | None = None

    @classmethod
    def of(cls, crop: Image, instance: Instance, padding: float, pixel_um: float | None) -> Self:
        """Tell where a cell lies in the crop that was cut out around it with so much padding, and how large
        it is; `pixel_um` is µm per pixel of the image, None where nobody knows."""
        box, side = cells.crop_box(instance, padding), len(crop)
        scale = pixel_um and pixel_um * (box[2] - box[0]) / side
        return cls(crop, outline_in_square(instance, box, side), scale)


def in_words(cut: Cut, call: Call, card: Card, explanation: Explanation) -> tuple[Explanation, Description]:
    """Describe a cell as what it is called.

    Args:
        cut: the cell in its own colours, through no filter.
        call: what it is called, with what the network told of its attributes, if it did.
        card: that of the network.
        explanation: the heat map of the call, on the same crop.

    Returns:
        The explanation, which tells nucleus and cytoplasm apart where the nucleus of such a cell is found
        reliably, and the words.
    """
    mask = mask_of(cut.outline, len(cut.crop))
    nucleus = _nucleus(cut.crop, mask, call.label)
    cell = measure(cut.crop, mask, nucleus, cut.um_per_px)
    if call.label in NUCLEUS_SURE and nucleus.any():
        explanation = with_nucleus(explanation, cut.outline, nucleus)
    return explanation, describe(call.label, cell, told(call.attributes, card), explanation)


def _nucleus(crop: Image, mask: Mask, label: str) -> Mask:
    return np.zeros_like(mask) if label in WITHOUT_NUCLEUS else nucleus_mask(crop, mask)
