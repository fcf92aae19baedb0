"""Two counts of one patient, of white cells or of red: what changed beyond counting error, and which change
of a differential no patient shows so soon."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import binomtest, fisher_exact

from inference.pipeline.aggregation import FEW_CELLS, share
from inference.pipeline.config import DIFFERENTIAL_CLASSES, RBC_CLASSES, shape_of
from inference.pipeline.findings import Share

ERROR = 0.05
"""How often two counts of the same blood may be said to differ in any class, by chance."""

RED_SHAPES = tuple(dict.fromkeys(map(shape_of, RBC_CLASSES)))
"""The shapes of red cells that are compared, in the order of the taxonomy. Macrocytes and microcytes are
normal ones here: they are told by the pixel size, which two smears need not know equally well."""

SOON_DAYS, LATE_DAYS = 3.0, 14.0
PLAUSIBLE: Mapping[str, tuple[float, float]] = {
    "neutrophil": (40.0, 55.0),
    "lymphocyte": (40.0, 55.0),
    "monocyte": (20.0, 30.0),
    "eosinophil": (30.0, 40.0),
    "basophil": (10.0, 15.0),
    "immature_granulocyte": (25.0, 40.0),
    "blast": (20.0, 40.0),
}
"""By how many points of the 100 % a class changes at most within `SOON_DAYS` and within `LATE_DAYS`; after
those anything may have happened. CLSI EP33 asks for limits of identity checks by analyte and by the time
between; it gives none for differentials, and these are reasoned, not measured (docs/over_time.md)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One class in two counts. `points` is the later share less the earlier one in points of the 100 %, with
    `low` and `high` of its interval; `beyond` says that counting error does not explain it."""

    key: str
    before: Share
    after: Share
    points: float
    low: float
    high: float
    beyond: bool

    @property
    def least(self) -> float:
        """The smallest change, in points, that the two counts still allow."""
        return max(0.0, self.low, -self.high)


def compare(
    before: Mapping[str, int], after: Mapping[str, int], classes: Sequence[str] = DIFFERENTIAL_CLASSES
) -> tuple[Change, ...]:
    """Compare two counts class by class.

    Tested by Fisher's exact test (Fisher 1935), with the interval of the difference of two proportions by
    Newcombe's hybrid score method (Statistics in Medicine 1998;17:873, method 10). Both are corrected for the
    number of classes after Bonferroni, so that two counts of the same blood are said to differ in 5 of 100
    pairs at most.

    Args:
        before, after: cells by class; other classes than `classes` are left out.
        classes: those that make up the 100 %; at first those of the differential.

    Returns:
        One change for each class; none where one of the two counted nothing.
    """
    totals = tuple(sum(counts.get(key, 0) for key in classes) for counts in (before, after))
    if not all(totals):
        return ()
    level = ERROR / len(classes)
    pairs = {key: tuple(zip((before.get(key, 0), after.get(key, 0)), totals, strict=True)) for key in classes}
    return tuple(_change(key, first, second, level) for key, (first, second) in pairs.items())


def compare_red(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[Change, ...]:
    """Compare the shapes of the classified red cells of two smears, as `compare` does, corrected for all
    shapes.

    Args:
        before, after: red cells by their class of RBC_CLASSES.
    """
    return compare(_by_shape(before), _by_shape(after), RED_SHAPES)


def _by_shape(counts: Mapping[str, int]) -> Counter[str]:
    shapes: Counter[str] = Counter()
    for key, count in counts.items():
        shapes[shape_of(key)] += count
    return shapes


def _change(key: str, first: tuple[int, int], second: tuple[int, int], level: float) -> Change:
    table = [[first[0], first[1] - first[0]], [second[0], second[1] - second[0]]]
    beyond = bool(fisher_exact(table).pvalue < level)
    low, high = newcombe(first, second, 1 - level)
    shares = share(*first), share(*second)
    return Change(key, *shares, shares[1].percent - shares[0].percent, low, high, beyond)


def newcombe(first: tuple[int, int], second: tuple[int, int], level: float = 0.95) -> tuple[float, float]:
    """The interval of the second proportion less the first (Newcombe 1998, method 10), in points of 100.

    Args:
        first, second: cells of the class, and all cells, at least one.
        level: confidence level, 0–1.
    """
    (p, p_low, p_high), (q, q_low, q_high) = (_wilson(*pair, level) for pair in (first, second))
    below = ((q - q_low) ** 2 + (p_high - p) ** 2) ** 0.5
    above = ((q_high - q) ** 2 + (p - p_low) ** 2) ** 0.5
    return 100 * (q - p - below), 100 * (q - p + above)


def _wilson(count: int, total: int, level: float) -> tuple[float, float, float]:
    interval = binomtest(count, total).proportion_ci(level, method="wilson")
    return count / total, float(interval.low), float(interval.high)


def implausible(changes: tuple[Change, ...], days: float) -> tuple[Change, ...]:
    """The changes that are more than a patient's blood does in so many days: is it the same patient?

    The least change that both counts still allow is held against the limit, never the change itself, so that
    counting error raises no alarm; and fewer than 100 leukocytes in either count raise none at all.
    """
    if days > LATE_DAYS or not changes or _counted(changes) < FEW_CELLS:
        return ()
    return tuple(change for change in changes if change.least > limit(change.key, days))


def limit(key: str, days: float) -> float:
    """The plausible change of a class within so many days, in points of the 100 %."""
    return PLAUSIBLE[key][days > SOON_DAYS]


def _counted(changes: tuple[Change, ...]) -> int:
    """The leukocytes of the smaller count."""
    return min(sum(change.before.count for change in changes), sum(change.after.count for change in changes))
