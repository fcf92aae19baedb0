"""What the calls of cells that wait for a person could still change: flags, sides of ranges, grades."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from inference.pipeline.aggregation import flags, share
from inference.pipeline.config import DIFFERENTIAL_CLASSES, RBC_CLASSES
from inference.pipeline.decision import side_of_range
from inference.pipeline.red_cell_grading import LEAST_CELLS, Limits, step

POSSIBLE = 0.05
"""A class of at least this probability counts among those that a cell could be."""

Range = tuple[float, float]
State = Callable[[Counter[str]], int]


class StakeKind(StrEnum):
    FLAG = "flag"
    REFERENCE = "reference"
    GRADE = "grade"


@dataclass(frozen=True, slots=True)
class Stake:
    """One thing that the call of a cell could change: a flag by its code, or the share of a class.

    `up` says which way: the flag raised, or the share taken above `limit`, in %; None of flags and grades.
    """

    kind: StakeKind
    key: str
    up: bool
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A cell that waits for a person: what it counts as now, and every class it could be, with that one."""

    now: str
    options: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Target:
    """Something that depends on the share of a class among the classes of a `pool`; `state` grows with it."""

    kind: StakeKind
    key: str
    label: str
    pool: frozenset[str]
    concerns: frozenset[str]
    state: State
    limits: tuple[float, ...] = ()

    def weight(self, called: str) -> int:
        """Which way a cell of a class takes the share: 1 up, -1 down, 0 neither way."""
        return 1 if called == self.label else -1 if called in self.pool else 0

    def stake(self, now: int, up: bool) -> Stake:
        """`limits` lie between the states from the lowest up, which is -1 where there are two."""
        crossed = self.limits[now + 1 if up else now] if self.limits else None
        return Stake(self.kind, self.key, up, crossed)


def options(
    label: str, probabilities: Mapping[str, float], named: Collection[str] = (), least: float = POSSIBLE
) -> frozenset[str]:
    """Every class that a cell could turn out to be.

    Args:
        label: the machine's call.
        probabilities: the network's, by class, 0–1.
        named: further classes that something speaks for: a prediction set, a second network.
        least: from which probability on a class is possible.

    Returns:
        The classes with the call among them; where nothing speaks for another class, that it is no cell at
        all, which a person can say of any.
    """
    likely = (name for name, probability in probabilities.items() if probability >= least)
    found = frozenset((label, *named, *likely))
    return found if len(found) > 1 else frozenset((label, "artifact"))


def open_stakes(
    counts: Counter[str],
    waiting: Sequence[OpenCall],
    ranges: Mapping[str, Range],
    grades: Mapping[str, Limits],
) -> list[tuple[Stake, ...]]:
    """Say of each open cell what its call could change.

    The open cells are taken together: of five open blasts none alone takes the flag back, but all of them do.
    For each flag, range and grade the counts are looked at with the open cells called as far as they can be
    to the one side, and to the other. A cell bears on it where that changes what is said now, and where the
    cell, called otherwise than it counts now, adds to the change.

    Args:
        counts: all cells of the case as they count now, open ones as the machine calls them.
        waiting: the open ones among them.
        ranges: reference ranges by class, % of leukocytes.
        grades: limits of 1+, 2+ and 3+ by class, % of classified red cells.

    Returns:
        The stakes of each open cell, in their order; empty where nothing hangs on its call.
    """
    settled = counts - Counter(cell.now for cell in waiting)
    found: list[list[Stake]] = [[] for _ in waiting]
    for target in (*_flag_targets(), *_range_targets(ranges), *_grade_targets(grades)):
        for up in (True, False):
            _note(target, up, (counts, settled), waiting, found)
    return [tuple(stakes) for stakes in found]


def _note(
    target: _Target,
    up: bool,
    counted: tuple[Counter[str], Counter[str]],
    waiting: Sequence[OpenCall],
    found: list[list[Stake]],
) -> None:
    """Add to the stakes of the cells that could move a target up or, else, down."""
    counts, settled = counted
    sign = 1 if up else -1
    now = target.state(counts)
    utmost = [max(sorted(cell.options), key=lambda name: sign * target.weight(name)) for cell in waiting]
    if sign * target.state(settled + Counter(utmost)) <= sign * now:
        return
    stake = target.stake(now, up)
    for cell, name, stakes in zip(waiting, utmost, found, strict=True):
        moves = sign * target.weight(name) > sign * target.weight(cell.now)
        if moves and target.concerns & cell.options:
            stakes.append(stake)


def _flag_targets() -> list[_Target]:
    """The flags of the white cells; what raises them is asked of `aggregation.flags` itself."""
    leukocytes = frozenset(DIFFERENTIAL_CLASSES)
    immature, neutrophil = "immature_granulocyte", "neutrophil"
    return [
        _flag("blast_detected", "blast", frozenset(("blast",))),
        _flag("possible_leukemia", "blast", leukocytes),
        _flag("left_shift", immature, frozenset((immature, neutrophil)), also=neutrophil),
        _flag("erythroblasts_present", "erythroblast", frozenset(("erythroblast",))),
    ]


def _flag(code: str, label: str, pool: frozenset[str], also: str = "") -> _Target:
    def state(counts: Counter[str]) -> int:
        return int(any(flag.code == code for flag in flags(counts)))

    return _Target(StakeKind.FLAG, code, label, pool, frozenset((label, also)), state)


def _range_targets(ranges: Mapping[str, Range]) -> list[_Target]:
    pool = frozenset(DIFFERENTIAL_CLASSES)
    return [_range(label, pool, limits) for label, limits in ranges.items() if label in pool]


def _range(label: str, pool: frozenset[str], limits: Range) -> _Target:
    def state(counts: Counter[str]) -> int:
        leukocytes = sum(counts[name] for name in pool)
        return side_of_range(share(counts[label], leukocytes), leukocytes, *limits)

    return _Target(StakeKind.REFERENCE, label, label, pool, frozenset((label,)), state, limits)


def _grade_targets(grades: Mapping[str, Limits]) -> list[_Target]:
    return [_grade(label, limits) for label, limits in grades.items() if label in RBC_CLASSES]


def _grade(label: str, limits: Limits) -> _Target:
    pool = frozenset(RBC_CLASSES)

    def state(counts: Counter[str]) -> int:
        classified = sum(counts[name] for name in pool)
        return step(100 * counts[label] / classified, limits) if classified >= LEAST_CELLS else 0

    return _Target(StakeKind.GRADE, label, label, pool, frozenset((label,)), state)
