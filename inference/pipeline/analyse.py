"""The order of the stages, and nothing else."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from inference.pipeline import quality, segmentation, tiling
from inference.pipeline.aggregation import aggregate
from inference.pipeline.calls import Reader, white_cell_networks
from inference.pipeline.config import Config
from inference.pipeline.errors import PipelineError, UnusableSmear
from inference.pipeline.findings import (
    NOT_STAGED,
    Cell,
    Findings,
    Image,
    Instance,
    Notice,
    Staging,
    Stored,
)
from inference.pipeline.networks.runtime import Network
from inference.pipeline.red_cell_calls import RedReader, red_cell_network, red_cells, reviewed
from inference.pipeline.red_cell_explanation import explained
from inference.pipeline.red_cell_findings import RedCells
from inference.pipeline.search import Found, search
from inference.pipeline.second_look import Called, Looked, called_again, second_look
from inference.pipeline.slide import Slide
from inference.pipeline.staging import stage

STAGES = ("quality", "stain", "segmentation", "classification", "explanation", "staging", "aggregation")
"""What an analysis goes through, in order, as it is reported to whoever waits for it; staging only where
it was asked for."""

ENDS = (0.05, 0.10, 0.60, 0.75, 0.92, 0.97, 1.0)
"""The share of the whole that is done when each stage ends, as it takes on an ordinary field."""

OVERVIEW_SIDE = 2048
"""Longer side in px of the picture of the whole slide from which its tissue is told from empty glass."""

Progress = Callable[[str, float], None]

Read = Callable[[Sequence[Cell]], Sequence[Cell]]
"""Has somebody else look at the white cells: they come back in order, with readings beside the calls."""


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks that call white cells, and the one that names the shapes of red ones, if there is one."""

    white: Sequence[Network]
    red: Network | None

    @property
    def all(self) -> tuple[Network, ...]:
        return (*self.white, *([self.red] if self.red else []))


@dataclass(slots=True)
class _Clock:
    """Reports each stage when it begins, and keeps how many seconds it took."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[Callable[[float], None]]:
        place = STAGES.index(stage)
        start, end = (0.0, *ENDS)[place : place + 2]
        self.progress(stage, start)
        began = time.perf_counter()
        yield lambda share: self.progress(stage, start + share * (end - start))
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began


def analyse(path: Path, config: Config, progress: Progress, read: Read = list) -> Findings:
    """Analyse one smear image from file to figures.

    Args:
        path: an image file of a type that `Slide.open` takes.
        config: the choices of the laboratory.
        progress: called with a stage of STAGES and the share 0–1 of the whole that is done.
        read: a second reader of the cells; it changes no call.

    Returns:
        The findings. White cells come first, each kind in reading order. They are classified and, where a
        network names the shapes of red cells, a sample of those.

    Raises PipelineError when the image cannot be analysed; nothing is ever analysed in part.
    """
    networks = Networks(white_cell_networks(first=config.wbc_folder), red_cell_network())
    clock = _Clock(progress)
    with clock("quality"):
        slide = Slide.open(path, config.pixel_um)
    with slide:
        findings = _findings(slide, networks, (config, read), clock)
    progress(STAGES[-1], 1.0)
    return findings


def _findings(slide: Slide, networks: Networks, chosen: tuple[Config, Read], clock: _Clock) -> Findings:
    config, read = chosen
    with clock("quality"):
        samples, plan = _surveyed(slide, config)
        judged = quality.assess(samples, slide.width, slide.height)
    with clock("stain"):
        readers = [Reader.of(slide, samples, network, config) for network in networks.white]
        colours = readers[0].colours
        if colours.beyond:
            judged = quality.with_stain_review(judged, colours.beyond, colours.known)
    with clock("segmentation") as part:
        engine = segmentation.engine(config.engine)
        found = _some(search(slide, samples, plan, config, engine, part))
    with clock("classification") as part:
        crops = readers[0].crops(found.whites)
        readers = [reader.adapted(found.whites, crops) for reader in readers]
        white = 0.5 if networks.red else 1.0
        calls = _called(readers, found.whites, crops, lambda share: part(white * share))
        named = _named(slide, samples, networks.red, (found, config), lambda share: part((1 + share) / 2))
    with clock("explanation") as part:
        looked = second_look(readers[0], (found, crops), calls, part)
        whites = called_again(readers[0], read(_cells(found.whites, crops, calls, looked)))
        others = explained(named.reader, named.cells) if named.reader else named.cells
    staging, unstaged = _staged(slide, whites, replace(config, pixel_um=found.pixel_um), clock)
    with clock("aggregation"):
        counted = _numbered(whites, others)
        figures = aggregate(counted)
    noticed = dict.fromkeys((*(n for reader in readers for n in reader.notices), *named.notices))
    return Findings(
        width=slide.width,
        height=slide.height,
        pixel_um=found.pixel_um,
        pixel_um_source=found.pixel_um_source,
        quality=judged,
        cells=counted,
        aggregate=figures,
        networks=(*(network.card.used for network in networks.all), *engine.used),
        notices=(*slide.notices, *noticed, *found.notices, *unstaged),
        seconds=clock.seconds,
        coverage=found.coverage,
        staging=staging,
        red=named.red,
    )


@dataclass(frozen=True, slots=True)
class _Named:
    """The cells beside the white ones, the red ones graded, and what read them; None where no network names
    their shapes."""

    cells: Sequence[Cell]
    red: RedCells | None = None
    notices: tuple[Notice, ...] = ()
    reader: RedReader | None = None


def _named(
    slide: Slide,
    samples: Sequence[Image],
    network: Network | None,
    of: tuple[Found, Config],
    part: Callable[[float], None],
) -> _Named:
    """Name the shapes of a sample of the red cells. A pixel size that they gave themselves measures none."""
    found, config = of
    if network is None:
        return _Named([Cell(0, instance) for instance in found.others])
    measured = None if found.pixel_um_source == "estimated" else found.pixel_um
    reader = RedReader.of(slide, samples, network, replace(config, pixel_um=measured))
    named = reader.cells(found.others, part)
    red = red_cells(named, config)
    looked_at, capped = reviewed(named, red, config)
    return _Named(looked_at, red, (*reader.notices, *capped), reader)


def _staged(
    slide: Slide, whites: Sequence[Cell], config: Config, clock: _Clock
) -> tuple[Staging | None, tuple[Notice, ...]]:
    """Stage a smear where that was asked for. What it cannot be staged for is noticed: the cells count all
    the same."""
    if not config.staging:
        return None, ()
    with clock("staging"):
        try:
            return stage(slide, whites, config.pixel_um, config.staging_folder), ()
        except PipelineError as error:
            return None, (Notice(NOT_STAGED, f"The smear was not staged. {error.text}"),)


def warm_up(config: Config) -> None:
    """Load and compile the networks of the stages. Raises NetworkUnavailable when one is missing."""
    for network in Networks(white_cell_networks(first=config.wbc_folder), red_cell_network()).all:
        network.warm_up()
    segmentation.engine(config.engine).warm_up()


def _called(
    readers: Sequence[Reader],
    whites: Sequence[Instance],
    crops: Sequence[Stored],
    part: Callable[[float], None],
) -> list[Called]:
    """Call every cell and, where there is a second reader, call it again."""
    first, *others = readers
    calls = first.call(whites, crops, lambda share: part(share / len(readers)))
    for second in others:
        again = second.second_calls(whites, crops, lambda share: part((1 + share) / 2))
        return list(zip(calls, again, strict=True))
    return [(call, None) for call in calls]


def _cells(
    whites: Sequence[Instance], crops: Sequence[Stored], calls: Sequence[Called], looked: Sequence[Looked]
) -> list[Cell]:
    return [
        Cell(
            0,
            white,
            one.call,
            one.reasons,
            crop,
            one.explanation,
            second,
            one.remediation,
            description=one.words,
        )
        for white, crop, (_, second), one in zip(whites, crops, calls, looked, strict=True)
    ]


def _surveyed(slide: Slide, config: Config) -> tuple[list[Image], tiling.Plan]:
    """Look at a slide from afar: windows of it at level 0 that stand for its tissue, and its tiles."""
    overview = slide.overview(OVERVIEW_SIDE)
    samples = [slide.read(box) for box in tiling.windows(overview, slide.width, slide.height)]
    gate = tiling.gate(samples, config.tiles)
    return samples, tiling.plan(overview, (slide.width, slide.height), gate, config.tiles)


def _some(found: Found) -> Found:
    if found.whites or found.others:
        return found
    raise UnusableSmear(
        "No cell was found in this image. Hand in a stained blood smear, photographed in focus through a"
        " 40x to 100x objective."
    )


def _numbered(whites: Sequence[Cell], others: Sequence[Cell]) -> tuple[Cell, ...]:
    return tuple(replace(cell, cell_id=number) for number, cell in enumerate((*whites, *others), start=1))
