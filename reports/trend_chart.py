"""Figures over time as a drawing: where point, interval, reference range and limit lie on one scale."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

WIDTH, HEIGHT = 400.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 34.0, 12.0, 8.0, 24.0
SCALES = (2.0, 4.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 200.0, 400.0, 1000.0)
STEPS = 4


@dataclass(frozen=True, slots=True)
class Point:
    """A figure with its interval, `count` cells of or beside `n`, and its grade or why it has none; `x`, `y`,
    `top` and `bottom` are its places in the drawing."""

    when: datetime
    value: float
    low: float
    high: float
    is_signed: bool
    count: int
    n: int
    grade: str = ""
    x: float = 0.0
    y: float = 0.0
    top: float = 0.0
    bottom: float = 0.0


@dataclass(frozen=True, slots=True)
class Axis:
    """What the scale must hold beside the points: the reference range, and limits with what is written at
    them; `ends_at` is its end."""

    reference: tuple[float, float] | None = None
    limits: tuple[tuple[float, str], ...] = ()
    ends_at: float = SCALES[-1]


@dataclass(frozen=True, slots=True)
class Chart:
    """Places in the drawing's own units, from its upper left corner."""

    points: tuple[Point, ...]
    ticks: tuple[tuple[float, float], ...]
    dates: tuple[tuple[float, datetime, str], ...]
    band: tuple[float, float] | None
    limits: tuple[tuple[float, str], ...]

    @property
    def line(self) -> str:
        """The way from point to point."""
        return "M" + "L".join(f"{point.x} {point.y}" for point in self.points)


def chart(points: Sequence[Point], axis: Axis) -> Chart:
    """Draw points, the earliest first, on the shortest scale that holds values, range and most intervals.

    The interval of a few cells may reach far beyond all values: it is cut at the end of the scale, which
    holds every value half as high again.
    """
    scale = _scale(points, axis)
    first, last = points[0].when, points[-1].when
    placed = tuple(_placed(point, _x(point.when, first, last), scale) for point in points)
    ticks = tuple((_y(scale * step / STEPS, scale), scale * step / STEPS) for step in range(STEPS + 1))
    ends = [(placed[0].x, first, "start"), (placed[-1].x, last, "end")]
    dates = tuple(ends) if first.date() != last.date() else ((placed[0].x, first, "middle"),)
    band = (_y(axis.reference[1], scale), _y(axis.reference[0], scale)) if axis.reference else None
    limits = tuple((_y(limit, scale), label) for limit, label in axis.limits if limit <= scale)
    return Chart(placed, ticks, dates, band, limits)


def _scale(points: Sequence[Point], axis: Axis) -> float:
    values = max(point.value for point in points)
    wanted = max(min(max(point.high for point in points), 1.5 * values), 1.0)
    wanted = max(wanted, axis.reference[1] if axis.reference else 0.0)
    wanted = max([wanted, *(limit for limit, _label in axis.limits if values > limit / 4)])
    return next((end for end in SCALES if end >= min(wanted, axis.ends_at)), SCALES[-1])


def _x(when: datetime, first: datetime, last: datetime) -> float:
    """By time; a single point stands in the middle."""
    room = WIDTH - LEFT - RIGHT - 16
    whole = (last - first).total_seconds()
    share = (when - first).total_seconds() / whole if whole else 0.5
    return round(LEFT + 8 + room * share, 1)


def _y(value: float, scale: float) -> float:
    room = HEIGHT - TOP - BOTTOM
    return round(TOP + room * (1 - min(value, scale) / scale), 1)


def _placed(point: Point, x: float, scale: float) -> Point:
    y, top, bottom = (_y(value, scale) for value in (point.value, point.high, point.low))
    return replace(point, x=x, y=y, top=top, bottom=bottom)
