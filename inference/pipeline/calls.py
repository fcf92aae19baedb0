"""Calls the white cells of a slide, a batch at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from inference.pipeline import adaptation, cells
from inference.pipeline.classification import classify, turns_noticed
from inference.pipeline.config import Config
from inference.pipeline.explanation import outline_in_square
from inference.pipeline.findings import (
    Call,
    Image,
    Instance,
    Notice,
    Outline,
    SecondCall,
    Stored,
)
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.remediation import Remedies
from inference.pipeline.seen_colours import SeenColours
from inference.pipeline.seen_filter import SeenFilter
from inference.pipeline.slide import Slide
from inference.pipeline.spool import Spool

CROPS_AT_ONCE = 256

Part = Callable[[float], None]


def white_cell_networks(folder: Path = registry.WEIGHTS, first: Path | None = None) -> list[Network]:
    """Return the network that calls the white cells and, where there is one, the second after it.

    The first comes from the folder `first` where one is named, never from another in its stead.

    Raises NetworkUnavailable when weights are missing or not those of their card.
    """
    _, *others = registry.white_cell_networks(folder)
    named = [(registry.WBC_NETWORK, first or folder), *((name, folder) for name in others)]
    return [runtime.load(name, place) for name, place in named]


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
    notices: tuple[Notice, ...] = ()
    remedies: Remedies | None = None
    spool: Spool = field(default_factory=Spool)

    @classmethod
    def of(cls, slide: Slide, samples: Sequence[Image], network: Network, config: Config) -> Self:
        """Prepare a network for a slide, of which windows stand for its tissue."""
        colours = SeenColours.of(samples, "field", network.card, config)
        through = SeenFilter.of(samples, "field", network.card)
        turns = turns_noticed(network.card, config.augmentation)
        notices = (*colours.notices, *through.notices, *turns)
        remedies = Remedies.of(samples, "field", network.card) if config.remediate else None
        return cls(slide, network, colours, through, config, notices, remedies)

    def crops(self, whites: Sequence[Instance]) -> list[Stored]:
        """Cut the squares around cells out of the slide."""
        config = self.config.cells
        return [
            self.spool.keep(cut_out(self.slide, white, config.padding, config.wbc_side)) for white in whites
        ]

    def adapted(self, whites: Sequence[Instance], crops: Sequence[Stored]) -> Self:
        """Return the reader with its network adapted to the slide, where the laboratory chose that."""
        if not self.config.adapt_batch_statistics:
            return self
        some = slice(None, None, -(-len(crops) // adaptation.MOST_CELLS) or 1)
        network, notice = adaptation.adapted(self.network, self._seen(whites[some], crops[some]))
        return replace(self, network=network, notices=(*self.notices, notice))

    def call(self, whites: Sequence[Instance], crops: Sequence[Stored], part: Part) -> list[Call]:
        """Call every crop."""
        calls: list[Call] = []
        config = self.config
        for start in range(0, len(crops), CROPS_AT_ONCE):
            some = slice(start, start + CROPS_AT_ONCE)
            seen = self._seen(whites[some], crops[some])
            calls += classify(
                seen, self.network, config.declared_classes, config.cells.wbc_batch, config.augmentation
            )
            part(len(calls) / len(crops))
        return calls

    def second_calls(
        self, whites: Sequence[Instance], crops: Sequence[Stored], part: Part
    ) -> list[SecondCall]:
        """Call every crop as the second network."""
        return [second_call(call, self.network) for call in self.call(whites, crops, part)]

    def _seen(self, whites: Sequence[Instance], crops: Sequence[Stored]) -> dict[str, list[Image]]:
        return self.see([np.asarray(crop) for crop in crops], [self.outline(white) for white in whites])

    def see(self, crops: Sequence[Image], outlines: Sequence[Outline]) -> dict[str, list[Image]]:
        """Show crops, with the outlines of their cells in crop pixels, in all views of the network."""
        return self.filter.views(self.colours.views(crops, outlines))

    def outline(self, instance: Instance) -> Outline:
        """Return where a cell's outline lies in its crop."""
        box = cells.crop_box(instance, self.config.cells.padding)
        return outline_in_square(instance, box, self.config.cells.wbc_side)


def cut_out(slide: Slide, instance: Instance, padding: float, side: int) -> Image:
    """Cut a cell out of a slide as uint8 RGB (side, side, 3), reflected where its square reaches over the
    border."""
    x0, y0, x1, y1 = cells.crop_box(instance, padding)
    left, top = max(0, x0), max(0, y0)
    region = slide.read((left, top, min(x1, slide.width), min(y1, slide.height)))
    return cells.resized(cells.cut(region, (x0 - left, y0 - top, x1 - left, y1 - top)), side)


def second_call(call: Call, network: Network) -> SecondCall:
    """Return what is kept of a second network's call."""
    return SecondCall(call.label, call.confidence, network.card.name, network.card.version)
