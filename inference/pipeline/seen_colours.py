"""The colours in which a network sees the cells of one image: as they are, and brought to common ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from inference.pipeline import levels, stain, stain_range
from inference.pipeline.config import Config
from inference.pipeline.findings import Image, Notice, Outline, Severity, Shown
from inference.pipeline.networks.registry import Card
from inference.pipeline.stain_range import StainRange

NOT_NORMALISED = stain.NOT_NORMALISED[stain.Flaw.BLANK]
SWITCHED_OFF = Notice(
    "stain_as_is",
    "Stain normalisation is switched off; the cells were classified in their own colours.",
    Severity.INFO,
)
BEYOND = Notice(
    "stain_beyond_normalisation",
    "The stain or the light of this image lies beyond what can be brought back to the stains that the network"
    " was trained on. Its calls may be wrong: every white cell needs a look. A Romanowsky stain of usual"
    " strength under white light would have been right.",
)

AS_IS = "as_is"


@dataclass(frozen=True, slots=True)
class SeenColours:
    """The views of the crops of one image by their names on the network's card; `normaliser` moves them to
    the training stain for "reinhard". `notices` tell what is to be said about that, and `known`, in 0–1, how
    close the stain is to those the network was trained on: 1 as far as normalisation reaches."""

    names: tuple[str, ...]
    normaliser: stain.Normaliser | None = None
    notices: tuple[Notice, ...] = ()
    known: float = 1.0

    @property
    def beyond(self) -> Notice | None:
        """What to say of a stain that is further off than normalisation reaches, None where it is not."""
        return BEYOND if self.known < 1 else None

    @classmethod
    def of(cls, image: Image | Sequence[Image], shown: Shown, card: Card, config: Config) -> Self:
        """Measure an image or windows of a slide, uint8 RGB (height, width, 3), that show a field or a single
        cell."""
        known, names = _known(image, shown, card), tuple(card.input.views)
        if not config.normalise_stain and len(names) > 1:
            return cls((AS_IS,), None, (SWITCHED_OFF,), known)
        if "reinhard" not in names:
            return cls(names, None, (), known)
        target = stain.Reference(*card.input.stain_references[shown])
        normaliser = stain.between(stain.reinhard(image), target)
        if normaliser.flaw:
            left = tuple(name for name in names if name != "reinhard")
            return cls(left, None, (stain.NOT_NORMALISED[normaliser.flaw],), known)
        return cls(names, normaliser, (), known)

    def views(self, crops: Sequence[Image], outlines: Sequence[Outline]) -> dict[str, list[Image]]:
        """Return the crops of the image, uint8 RGB, once for each way in which the network is to see them.

        `outlines` are those of their cells, ``x, y`` in crop pixels.
        """
        masks = [levels.mask_of(outline, len(crop)) for crop, outline in zip(crops, outlines, strict=True)]
        return {name: self._view(name, crops, masks) for name in self.names}

    def _view(self, name: str, crops: Sequence[Image], masks: Sequence[levels.Mask]) -> list[Image]:
        if name == "reinhard" and self.normaliser:
            return [self.normaliser.apply(crop) for crop in crops]
        return [levels.shown(name, crop, mask) for crop, mask in zip(crops, masks, strict=True)]


def _known(image: Image | Sequence[Image], shown: Shown, card: Card) -> float:
    """Compare an image with the ranges of stains that the network's card gives, one for each laboratory it
    was trained on, if it gives any."""
    ranges = card.text["input"].get("stain_ranges", {}).get(shown, [])
    if not ranges:
        return 1.0
    figures = stain_range.figures(stain.sample(image))
    known = [
        within.limit / max(within.distance(figures), 1e-9) for within in map(StainRange.from_data, ranges)
    ]
    return min(1.0, max(known))
