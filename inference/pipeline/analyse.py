"""The order of the stages, and nothing else."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from inference.pipeline import cells, quality, tiling
from inference.pipeline.aggregation import aggregate
from inference.pipeline.classification import classify
from inference.pipeline.config import Config
from inference.pipeline.errors import UnusableSmear
from inference.pipeline.explanation import Outline, explain, outline_in_square
from inference.pipeline.findings import (
    Call,
    Cell,
    Explanation,
    Findings,
    Image,
    Instance,
    Kind,
    Notice,
    Severity,
)
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.seen_colours import SeenColours
from inference.pipeline.segmentation import estimate_pixel_um, segment
from inference.pipeline.slide import Slide

STAGES = ("quality", "stain", "segmentation", "classification", "explanation", "aggregation")
"""What an analysis goes through, in order, as it is reported to whoever waits for it."""

ENDS = (0.05, 0.10, 0.60, 0.75, 0.95, 1.0)
"""The share of the whole that is done when each stage ends, as it takes on an ordinary field."""

SAMPLE_WINDOW, SAMPLE_WINDOWS = 512, 4
EXPLAINED_AT_ONCE = 32

Progress = Callable[[str, float], None]


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
        self.seconds[stage] = time.perf_counter() - began


def analyse(path: Path, config: Config, progress: Progress) -> Findings:
    """Analyse one smear image from file to figures.

    Args:
        path: an image file of a type that `Slide.open` takes.
        config: the choices of the laboratory.
        progress: called with a stage of STAGES and the share 0–1 of the whole that is done.

    Returns:
        The findings. White cells come first, each kind in reading order; only they are classified.

    Raises PipelineError when the image cannot be analysed; nothing is ever analysed in part.
    """
    network, clock = runtime.load(registry.WBC_NETWORK), _Clock(progress)
    with clock("quality"):
        slide = Slide.open(path, config.pixel_um)
        sample = _sample(slide)
        judged = quality.assess(sample, slide.width, slide.height)
    with clock("stain"):
        colours = SeenColours.of(sample, "field", network.card, config)
    with clock("segmentation") as part:
        smear = _segment(slide, config, quality.measure(sample).ground, part)
    with clock("classification"):
        squares = [_square(slide, instance, config) for instance in smear.whites]
        crops = [square.crop for square in squares]
        calls = classify(colours.views(crops), network, config.declared_classes, config.cells.wbc_batch)
    with clock("explanation") as part:
        reasons = [review_reasons(call, config) for call in calls]
        explanations = _explain(squares, calls, reasons, network, part)
    with clock("aggregation"):
        named = zip(smear.whites, calls, reasons, crops, explanations, strict=True)
        found = _numbered([Cell(0, *facts) for facts in named], smear.others)
        figures = aggregate(found)
    progress(STAGES[-1], 1.0)
    return Findings(
        width=slide.width,
        height=slide.height,
        pixel_um=smear.pixel_um,
        pixel_um_source=smear.pixel_um_source,
        quality=judged,
        cells=found,
        aggregate=figures,
        networks=(network.card.used,),
        notices=(*slide.notices, *colours.notices, *smear.notices),
        seconds=clock.seconds,
    )


def warm_up() -> None:
    """Load and compile the networks of the stages. Raises NetworkUnavailable when one is missing."""
    runtime.load(registry.WBC_NETWORK).warm_up()


def review_reasons(call: Call, config: Config) -> tuple[str, ...]:
    """Say why a person should look at a cell; an empty tuple when nobody needs to."""
    reasons = {
        "low_confidence": call.confidence < config.review_confidence,
        "abstained": call.abstained,
        "blast": call.label == "blast",
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def _numbered(whites: Sequence[Cell], others: Sequence[Instance]) -> tuple[Cell, ...]:
    unnumbered = [*whites, *(Cell(0, instance) for instance in others)]
    return tuple(replace(cell, cell_id=number) for number, cell in enumerate(unnumbered, start=1))


def _sample(slide: Slide) -> Image:
    """Return level-0 pixels that stand for the whole image: all of a field, windows spread over a slide."""
    window, windows = SAMPLE_WINDOW, SAMPLE_WINDOWS
    if slide.width * slide.height <= (window * windows) ** 2:
        return slide.read((0, 0, slide.width, slide.height))
    lefts = np.linspace(0, max(0, slide.width - window), windows).astype(int).tolist()
    tops = np.linspace(0, max(0, slide.height - window), windows).astype(int).tolist()
    right, bottom = min(window, slide.width), min(window, slide.height)
    rows = [[slide.read((x, y, x + right, y + bottom)) for x in lefts] for y in tops]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


@dataclass(frozen=True, slots=True)
class _Field:
    """The cells of a slide in level-0 pixels, and the scale they were found at."""

    whites: tuple[Instance, ...]
    others: tuple[Instance, ...]
    pixel_um: float | None
    pixel_um_source: str
    notices: tuple[Notice, ...]


def _segment(slide: Slide, config: Config, ground: float, part: Callable[[float], None]) -> _Field:
    pixel_um, source = _scale(slide, config)
    plan = tiling.choose(slide.read, slide.width, slide.height, config.tiles, ground)
    found: list[Instance] = []
    for number, box in enumerate(plan.boxes):
        kept = cells.select(segment(slide.read(box), pixel_um), config.cells, pixel_um)
        moved = [cells.to_level0(instance, box, number) for instance in kept]
        found += cells.drop_edge_cells(moved, box, (slide.width, slide.height), config.tiles)
        part((number + 1) / len(plan.boxes))
    unique = sorted(cells.drop_duplicates(found, config.cells), key=_reading_order)
    if not unique:
        raise UnusableSmear(
            "No cell was found in this image. Hand in a stained blood smear, photographed in focus through a"
            " 40x to 100x objective."
        )
    whites = tuple(instance for instance in unique if instance.kind is Kind.WBC)
    others = tuple(instance for instance in unique if instance.kind is not Kind.WBC)
    return _Field(whites, others, pixel_um, source, _tile_notices(plan))


def _reading_order(instance: Instance) -> tuple[str, float, float]:
    return instance.kind.value, instance.centroid[1], instance.centroid[0]


def _scale(slide: Slide, config: Config) -> tuple[float | None, str]:
    """Return micrometres per pixel and their source; the red cells give them when nobody else does."""
    if slide.pixel_um is not None:
        return slide.pixel_um, slide.pixel_um_source
    side = config.tiles.size
    left, top = max(0, (slide.width - side) // 2), max(0, (slide.height - side) // 2)
    middle = (left, top, min(left + side, slide.width), min(top + side, slide.height))
    estimated = estimate_pixel_um(slide.read(middle))
    return (estimated, "estimated") if estimated else (None, slide.pixel_um_source)


@dataclass(frozen=True, slots=True)
class _Square:
    """A cell's crop in the colours of the slide, and the cell's outline in its pixels."""

    crop: Image
    outline: Outline


def _square(slide: Slide, instance: Instance, config: Config) -> _Square:
    """Cut a cell out of the slide, reflected where its square reaches over the border."""
    side = config.cells.wbc_side
    x0, y0, x1, y1 = cells.crop_box(instance, config.cells.padding)
    left, top = max(0, x0), max(0, y0)
    region = slide.read((left, top, min(x1, slide.width), min(y1, slide.height)))
    square = cells.cut(region, (x0 - left, y0 - top, x1 - left, y1 - top))
    outline = outline_in_square(instance, (x0, y0, x1, y1), side)
    return _Square(cells.resized(square, side), outline)


def _explain(
    squares: Sequence[_Square],
    calls: Sequence[Call],
    reasons: Sequence[tuple[str, ...]],
    network: Network,
    part: Callable[[float], None],
) -> list[Explanation | None]:
    """Explain the calls that a person will look at, a batch at a time; None for the others."""
    wanted = [place for place, why in enumerate(reasons) if why]
    explanations: list[Explanation | None] = [None] * len(calls)
    for start in range(0, len(wanted), EXPLAINED_AT_ONCE):
        places = wanted[start : start + EXPLAINED_AT_ONCE]
        made = explain(
            [squares[i].crop for i in places],
            [calls[i].label for i in places],
            [squares[i].outline for i in places],
            (network.module, network.card),
        )
        for place, explanation in zip(places, made, strict=True):
            explanations[place] = explanation
        part((start + len(places)) / len(wanted))
    return explanations


def _tile_notices(plan: tiling.Tiling) -> tuple[Notice, ...]:
    blurred = f"{plan.blurred} tiles are out of focus and were left out."
    empty = f"{plan.background} tiles hold no cells and were left out."
    noted = (
        (plan.blurred, "tiles_blurred", blurred, Severity.WARN),
        (plan.background, "tiles_empty", empty, Severity.INFO),
    )
    return tuple(Notice(code, text, severity) for count, code, text, severity in noted if count)
