"""Calls the white cells of a slide and explains the calls that a person will look at, a batch at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from inference.pipeline import cells
from inference.pipeline.classification import classify
from inference.pipeline.config import Config
from inference.pipeline.explanation import Outline, explain, outline_in_square
from inference.pipeline.findings import Call, Explanation, Image, Instance, Stored
from inference.pipeline.networks.runtime import Network
from inference.pipeline.seen_colours import SeenColours
from inference.pipeline.seen_filter import SeenFilter
from inference.pipeline.slide import Slide
from inference.pipeline.spool import Spool

CROPS_AT_ONCE = 256
EXPLAINED_AT_ONCE = 32

Part = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Reader:
    """What it takes to call cells: the network, how it is to see them, and the laboratory's choices.

    Crops and heat maps are put away on disk, so that a slide with thousands of white cells fits in memory.
    """

    slide: Slide
    network: Network
    colours: SeenColours
    filter: SeenFilter
    config: Config
    spool: Spool = field(default_factory=Spool)

    def crops(self, whites: Sequence[Instance]) -> list[Stored]:
        """Cut the squares around cells out of the slide."""
        return [self.spool.keep(self._crop(instance)) for instance in whites]

    def _crop(self, instance: Instance) -> Image:
        """Cut a cell out of the slide, reflected where its square reaches over the border."""
        x0, y0, x1, y1 = cells.crop_box(instance, self.config.cells.padding)
        left, top = max(0, x0), max(0, y0)
        region = self.slide.read((left, top, min(x1, self.slide.width), min(y1, self.slide.height)))
        square = cells.cut(region, (x0 - left, y0 - top, x1 - left, y1 - top))
        return cells.resized(square, self.config.cells.wbc_side)

    def call(self, crops: Sequence[Stored], part: Part) -> list[Call]:
        """Call every crop."""
        calls: list[Call] = []
        for places in _batches(range(len(crops)), CROPS_AT_ONCE):
            seen = self.filter.views(self.colours.views([np.asarray(crops[place]) for place in places]))
            calls += classify(seen, self.network, self.config.declared_classes, self.config.cells.wbc_batch)
            part(len(calls) / len(crops))
        return calls

    def explain(
        self, whites: Sequence[Instance], crops: Sequence[Stored], wanted: Sequence[str | None], part: Part
    ) -> list[Explanation | None]:
        """Explain the class that is `wanted` of each cell; None where none is."""
        explanations: list[Explanation | None] = [None] * len(whites)
        places = [place for place, label in enumerate(wanted) if label is not None]
        for done, batch in enumerate(_batches(places, EXPLAINED_AT_ONCE), start=1):
            (seen,) = self.filter.views([[np.asarray(crops[place]) for place in batch]])
            made = explain(
                seen,
                [str(wanted[place]) for place in batch],
                [self._outline(whites[place]) for place in batch],
                (self.network.module, self.network.card),
            )
            for place, explanation in zip(batch, made, strict=True):
                heatmap = self.spool.keep(np.asarray(explanation.heatmap))
                explanations[place] = replace(explanation, heatmap=heatmap)
            part(min(1.0, done * EXPLAINED_AT_ONCE / len(places)))
        return explanations

    def _outline(self, instance: Instance) -> Outline:
        box = cells.crop_box(instance, self.config.cells.padding)
        return outline_in_square(instance, box, self.config.cells.wbc_side)


def _batches(places: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]
