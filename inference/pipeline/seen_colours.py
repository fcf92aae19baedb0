"""The colours in which a network sees the cells of one image: as they are, and in its training stain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from inference.pipeline import stain
from inference.pipeline.config import Config
from inference.pipeline.findings import Image, Notice, Severity
from inference.pipeline.networks.registry import Card

NOT_NORMALISED = Notice(
    "stain_not_normalised",
    "The image has too little contrast to normalise its stain; its cells were classified in its own colours.",
)
SWITCHED_OFF = Notice(
    "stain_as_is",
    "Stain normalisation is switched off; the cells were classified in their own colours.",
    Severity.INFO,
)


@dataclass(frozen=True, slots=True)
class SeenColours:
    """Reinhard's statistics of one image and those to move it to; None leaves the colours as they are."""

    normalisation: tuple[stain.Reference, stain.Reference] | None
    notices: tuple[Notice, ...] = ()

    @classmethod
    def of(cls, image: Image, shown: Literal["field", "cell"], card: Card, config: Config) -> Self:
        """Measure an image, uint8 RGB (height, width, 3), that shows a field or a single cell."""
        if "reinhard" not in card.input.views:
            return cls(None)
        if not config.normalise_stain:
            return cls(None, (SWITCHED_OFF,))
        source, target = stain.fit(image), stain.Reference(*card.input.stain_references[shown])
        return cls(None, (NOT_NORMALISED,)) if source.is_flat else cls((source, target))

    def views(self, crops: Sequence[Image]) -> list[list[Image]]:
        """Return the crops of the image, uint8 RGB, once for each way in which the network is to see them."""
        if self.normalisation is None:
            return [list(crops)]
        source, target = self.normalisation
        return [list(crops), [stain.normalise(crop, source, target) for crop in crops]]
