"""The filter through which a network sees the cells of one image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from inference.pipeline import stain
from inference.pipeline.enhance import enhance_batch
from inference.pipeline.findings import Image, Notice, Shown
from inference.pipeline.networks.registry import Card, PreprocessingVariant


@dataclass(frozen=True, slots=True)
class SeenFilter:
    """The variant of the Medical Enhanced Filter that a network's card names, and the image's stain
    normalisation where that is a part of it."""

    variant: PreprocessingVariant
    normaliser: stain.Normaliser | None = None
    notices: tuple[Notice, ...] = ()

    @classmethod
    def of(cls, image: Image | Sequence[Image], shown: Shown, card: Card) -> Self:
        """Prepare for an image or windows of a slide, uint8 RGB (height, width, 3), that show a field or a
        single cell."""
        variant = card.input.variant
        if variant is not PreprocessingVariant.MEF_V4:
            return cls(variant)
        source = stain.fit(image, stain.Method.MACENKO)
        normaliser = stain.between(source, stain.from_data(card.input.macenko_references[shown]))
        notices = (stain.NOT_NORMALISED[normaliser.flaw],) if normaliser.flaw else ()
        return cls(variant, normaliser, notices)

    def views(self, views: Mapping[str, Sequence[Image]]) -> dict[str, list[Image]]:
        """Return the crops, uint8 RGB, of every view through the filter."""
        return {name: self.crops(crops) for name, crops in views.items()}

    def crops(self, crops: Sequence[Image]) -> list[Image]:
        """Return crops, uint8 RGB, through the filter."""
        return enhance_batch(crops, self.variant, self.normaliser)
