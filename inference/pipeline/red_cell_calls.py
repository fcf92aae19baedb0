"""Names the shapes of the red cells of a slide: a sample of them, cut out, measured and called in batches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from inference.pipeline import cells
from inference.pipeline.calls import cut_out
from inference.pipeline.classification import classify
from inference.pipeline.config import Config
from inference.pipeline.explanation import outline_in_square
from inference.pipeline.findings import Call, Cell, Image, Instance, Kind, Notice, Outline, Severity, Stored
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import Network
from inference.pipeline.reasons import Circumstances, review_reasons
from inference.pipeline.red_cell_findings import RedCells
from inference.pipeline.red_cell_grading import graded
from inference.pipeline.red_cell_haematology import contradiction, disagrees
from inference.pipeline.red_cell_measures import compared_um, diameter_px, final_label, measure
from inference.pipeline.seen_colours import SeenColours
from inference.pipeline.seen_filter import SeenFilter
from inference.pipeline.slide import Slide
from inference.pipeline.spool import Spool

Part = Callable[[float], None]

NORMAL = "normal"

BORDER = 2
"""So many px of the image's border a cell may not touch: what lies beyond is not seen."""

FIRST_REVIEWED = ("sickle", "schistocyte", "malaria_infected")
"""The findings of which a few cells matter; their cells are put before a person first."""

NORMAL_REVIEWED = 5
"""At most so many of the places in the queue are for cells called normal whose measures contradict that: a
quarter of the usual 20, as a contradiction finds few wrong calls (docs/red_cells.md) and the other places
are for calls that a grade rests on."""

DISAGREE = "measures_disagree"


def red_cell_network(folder: Path = registry.WEIGHTS) -> Network | None:
    """Return the network that names the shapes of red cells, None where there is none.

    Raises NetworkUnavailable when its weights are missing or not those of its card.
    """
    if registry.RBC_NETWORK not in registry.names(folder):
        return None
    return runtime.load(registry.RBC_NETWORK, folder)


def sample(reds: Sequence[Instance], size: tuple[int, int], most: int) -> list[int]:
    """Choose the red cells to classify.

    Args:
        reds: all of them, in level-0 pixels.
        size: width and height of the image in px; cells at its border are left out.
        most: how many are chosen at most.

    Returns:
        Places in `reds`, ascending. Every so-manieth cell is taken in the order of the tiles and, in each, in
        reading order, so that every tile has its share and the same slide gives the same cells.
    """
    whole = [place for place, red in enumerate(reds) if _is_whole(red, size)]
    ordered = sorted(whole, key=lambda place: (reds[place].tile, *reversed(reds[place].centroid)))
    if len(ordered) <= most:
        return sorted(ordered)
    return sorted(ordered[int((step + 0.5) * len(ordered) / most)] for step in range(most))


def _is_whole(red: Instance, size: tuple[int, int]) -> bool:
    x0, y0, x1, y1 = red.box
    return x0 >= BORDER and y0 >= BORDER and x1 <= size[0] - BORDER and y1 <= size[1] - BORDER


@dataclass(frozen=True, slots=True)
class RedReader:
    """What it takes to name red cells. Crops are put away on disk, so that memory does not grow with the
    slide; `pixel_um` is None where it is only an estimate from the red cells."""

    slide: Slide
    network: Network
    colours: SeenColours
    filter: SeenFilter
    config: Config
    pixel_um: float | None
    spool: Spool = field(default_factory=Spool)

    @classmethod
    def of(cls, slide: Slide, samples: Sequence[Image], network: Network, config: Config) -> Self:
        """Prepare the network for a slide, of which windows stand for its tissue; `config.pixel_um` is what
        counts as measured."""
        colours = SeenColours.of(samples, "field", network.card, config)
        through = SeenFilter.of(samples, "field", network.card)
        return cls(slide, network, colours, through, config, config.pixel_um)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What is to be said about the colours in which the network sees the cells, and what it misses."""
        return (*self.colours.notices, *self.filter.notices, *_missed(self.network.card))

    def cells(self, others: Sequence[Instance], part: Part) -> list[Cell]:
        """Return all instances as cells, in their order; the sampled red ones called and measured.

        `part` is called with the share 0–1 of the sample that is done.
        """
        reds = [place for place, one in enumerate(others) if one.kind is Kind.RBC]
        size = self.slide.width, self.slide.height
        chosen = [
            reds[place]
            for place in sample([others[place] for place in reds], size, self.config.rbc_classified)
        ]
        found = [Cell(0, one) for one in others]
        median = float(np.median([diameter_px(others[place]) for place in chosen])) if chosen else 1.0
        batch = self.config.cells.rbc_batch
        for start in range(0, len(chosen), batch):
            places = chosen[start : start + batch]
            named = self._named([others[place] for place in places], median)
            for place, cell in zip(places, named, strict=True):
                found[place] = cell
            part(min(1.0, (start + batch) / len(chosen)))
        return found

    def _named(self, reds: Sequence[Instance], median_px: float) -> list[Cell]:
        """Call and measure one batch of red cells."""
        settings = self.config.cells
        crops = [cut_out(self.slide, red, settings.padding, settings.rbc_side) for red in reds]
        outlines = [self.outline(red) for red in reds]
        seen = self.filter.views(self.colours.views(crops, outlines))
        calls = classify(seen, self.network, None, settings.rbc_batch)
        return [
            self._cell(red, call, (crop, outline), median_px)
            for red, call, crop, outline in zip(reds, calls, crops, outlines, strict=True)
        ]

    def outline(self, red: Instance) -> Outline:
        """Return where a cell's outline lies in its crop."""
        settings = self.config.cells
        return outline_in_square(red, cells.crop_box(red, settings.padding), settings.rbc_side)

    def _cell(self, red: Instance, call: Call, seen: tuple[Image, Outline], median_px: float) -> Cell:
        """The network's shape and the measured size make the call; what similar cells are found by is not
        kept of red ones."""
        measures = measure(red, seen, self.pixel_um, median_px)
        size = final_label(NORMAL, compared_um(measures), self.config.rbc_diameter_um)
        called = replace(sized(call, size), embedding=None, attributes=None)
        crop: Stored = self.spool.keep(seen[0])
        return Cell(0, red, called, crop=crop, measures=measures)


def _missed(card: Card) -> tuple[Notice, ...]:
    """Return what is to be said of the classes that the network mostly misses, as its card has them."""
    rarely: Mapping[str, float] = card.text["thresholds"].get("rarely_found", {})
    if not rarely:
        return ()
    named = ", ".join(f"{label} {100 * share:.0f} %" for label, share in sorted(rarely.items()))
    text = (
        f"The network misses most red cells of some classes: of its validation cells it found {named}. That"
        " it calls none or few of these says nothing; look for them yourself."
    )
    return (Notice("red_cells_rarely_found", text),)


def sized(call: Call, size: str) -> Call:
    """Return a call of a shape as one of RBC_CLASSES: what speaks for normal speaks for the measured size."""

    def named(shape: str) -> str:
        return size if shape == NORMAL else shape

    return replace(
        call,
        label=named(call.label),
        probabilities={named(shape): value for shape, value in call.probabilities.items()},
        sets={level: tuple(map(named, shapes)) for level, shapes in call.sets.items()},
    )


def red_cells(found: Sequence[Cell], config: Config) -> RedCells:
    """Grade the red cells of a smear."""
    reds = [cell for cell in found if cell.instance.kind is Kind.RBC]
    named = [(cell.call.label, cell.measures) for cell in reds if cell.call and cell.measures]
    return graded(len(reds), named, config.rbc_grades)


def reviewed(found: Sequence[Cell], red: RedCells, config: Config) -> tuple[list[Cell], tuple[Notice, ...]]:
    """Say which red cells a person should look at.

    At most `config.rbc_reviewed` get their reasons. `NORMAL_REVIEWED` of these are cells called normal, the
    most contradicted ones. The others are unsure cells whose class matters, that is has a grade of its own or
    one that is open: those of which few matter first, and then the least sure; how many more of these there
    are is noticed. On all other cells that their measures contradict this is noted, and nobody is asked.
    """
    matter = {one.label for one in red.classes if one.label != NORMAL and one.grade.high}
    reasons = [_reasons(cell, config) for cell in found]
    doubted = [
        place
        for place, cell in enumerate(found)
        if cell.call and cell.call.label in matter and reasons[place]
    ]
    doubted.sort(key=lambda place: _urgency(found[place]))
    normal = _most_contradicted(found)[: min(NORMAL_REVIEWED, config.rbc_reviewed)] if red.is_graded else []
    room = config.rbc_reviewed - len(normal)
    asked = {*normal, *doubted[:room]}
    cells_now = [
        _with(cell, why, place in asked) for place, (cell, why) in enumerate(zip(found, reasons, strict=True))
    ]
    return cells_now, _beyond(len(doubted), room)


def _most_contradicted(found: Sequence[Cell]) -> list[int]:
    """The places of the cells called normal that their measures contradict, the furthest out first."""
    beyond = {
        place: contradiction(NORMAL, cell.measures)
        for place, cell in enumerate(found)
        if cell.call and cell.call.label == NORMAL and cell.measures
    }
    return sorted((place for place, by in beyond.items() if by > 0), key=lambda place: -beyond[place])


def _with(cell: Cell, reasons: tuple[str, ...], is_asked: bool) -> Cell:
    """Of the reasons that put nobody to a cell only contradicting measures are kept."""
    if is_asked:
        return replace(cell, review_reasons=reasons)
    return replace(cell, noted=(DISAGREE,)) if DISAGREE in reasons else cell


def _reasons(cell: Cell, config: Config) -> tuple[str, ...]:
    if cell.call is None or cell.measures is None:
        return ()
    reasons = review_reasons(cell.call, Circumstances(), config)
    return (*reasons, DISAGREE) if disagrees(cell.call.label, cell.measures) else reasons


def _urgency(cell: Cell) -> tuple[bool, float]:
    label, confidence = (cell.call.label, cell.call.confidence) if cell.call else ("", 1.0)
    return label not in FIRST_REVIEWED, confidence


def _beyond(doubted: int, most: int) -> tuple[Notice, ...]:
    if doubted <= most:
        return ()
    text = (
        f"{doubted} red cells whose class matters to a grade are unsure; {most} of them stand in the review"
        " queue. The others can be seen and corrected in the gallery of red cells."
    )
    return (Notice("rbc_review_capped", text, Severity.INFO),)
