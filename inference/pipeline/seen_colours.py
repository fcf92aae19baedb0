"""The colours in which a network sees the cells of one image: as they are, and in its training stain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from inference.pipeline import stain, stain_range
from inference.pipeline.config import Config
from inference.pipeline.findings import Image, Notice, Severity
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
    "The stain or the light of this image lies beyond what normalisation can bring back to the stains that"
    " the network was trained on. Its calls may be wrong: every white cell needs a look. A Romanowsky stain"
    " of usual strength under white light would have been right.",
)

Shown = Literal["field", "cell"]


@dataclass(frozen=True, slots=True)
class SeenColours:
    """How the crops of one image are moved to the training stain, None where they are seen in their own
    colours only, with what is to be said about that; and `known`, in 0–1, how close the stain is to those the
    network was trained on: 1 as far as normalisation reaches."""

    normaliser: stain.Normaliser | None
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
        known = _known(image, shown, card)
        if "reinhard" not in card.input.views:
            return cls(None, (), known)
        if not config.normalise_stain:
            return cls(None, (SWITCHED_OFF,), known)
        target = stain.Reference(*card.input.stain_references[shown])
        normaliser = stain.between(stain.reinhard(image), target)
        if normaliser.flaw:
            return cls(None, (stain.NOT_NORMALISED[normaliser.flaw],), known)
        return cls(normaliser, (), known)

    def views(self, crops: Sequence[Image]) -> list[list[Image]]:
        """Return the crops of the image, uint8 RGB, once for each way in which the network is to see them."""
        if self.normaliser is None:
            return [list(crops)]
        return [list(crops), [self.normaliser.apply(crop) for crop in crops]]


def _known(image: Image | Sequence[Image], shown: Shown, card: Card) -> float:
    """Compare an image with the range of stains that the network's card gives, if it gives one."""
    data = card.text["input"].get("stain_ranges", {}).get(shown)
    if data is None:
        return 1.0
    within = StainRange.from_data(data)
    return min(1.0, within.limit / max(within.distance(stain_range.figures(stain.sample(image))), 1e-9))
