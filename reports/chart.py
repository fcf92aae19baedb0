"""The differential as bars: where bar, interval and reference range of each class lie on one scale."""

from dataclasses import dataclass

from .content import Line

WIDTH = 200.0
SCALES = (20.0, 40.0, 60.0, 80.0, 100.0)


@dataclass(frozen=True, slots=True)
class Bar:
    """One class; lengths and places are in the drawing's own units, `WIDTH` of them to the whole scale."""

    line: Line
    length: float
    low: float
    high: float
    range_start: float
    range_length: float


@dataclass(frozen=True, slots=True)
class Chart:
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, int], ...]
    scale: int


def chart(lines: tuple[Line, ...]) -> Chart:
    """The bars on the shortest scale that holds every share, every interval and every reference range."""
    ends = [max(line.high, line.reference[1] if line.reference else 0.0) for line in lines]
    scale = next(end for end in SCALES if end >= min(max(ends, default=0.0), 100.0))
    ticks = tuple((WIDTH * part / 4, round(scale * part / 4)) for part in range(5))
    return Chart(tuple(_bar(line, WIDTH / scale) for line in lines), ticks, round(scale))


def _bar(line: Line, unit: float) -> Bar:
    start, end = line.reference or (0.0, 0.0)
    values = (line.percent, line.low, line.high, start, end - start)
    return Bar(line, *(round(value * unit, 2) for value in values))
