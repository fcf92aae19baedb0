"""Whether a count lies above or below a limit, and how many more cells would decide it."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import betaincinv

from inference.pipeline.aggregation import FEW_CELLS, share
from inference.pipeline.findings import Share

MOST_MORE = 1000
"""Beyond so many more cells counting on is no advice."""


class Side(StrEnum):
    """Where a share lies: above or below a limit or, as long as its interval holds the limit, undecided."""

    ABOVE = "above"
    BELOW = "below"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A share against one `limit` in %; `more` cells are likely to decide it, None where `MOST_MORE` are not
    or where it is decided."""

    limit: float
    side: Side
    more: int | None = None


@dataclass(frozen=True, slots=True)
class Ratio:
    """So many per 100 of others, with its exact 95 % interval."""

    value: float
    low: float
    high: float


def verdict(count: int, total: int, limit: float) -> Verdict:
    """Hold `count` of `total` cells against a limit in %.

    The share is decided when its exact 95 % interval (Clopper and Pearson, Biometrika 1934) leaves the limit
    out; that is Rümke's table for differential counts (CLSI H20-A2) read the other way round.
    """
    found = share(count, total)
    if found.low > limit:
        return Verdict(limit, Side.ABOVE)
    if found.high < limit:
        return Verdict(limit, Side.BELOW)
    return Verdict(limit, Side.UNDECIDED, more_cells(count, total, limit))


def side_of_range(found: Share, leukocytes: int, low: float, high: float) -> int:
    """Say on which side of a reference range a share lies.

    From 100 leukocytes on the share itself decides, as at the microscope; of fewer only the whole interval.

    Args:
        found: the share of a class; in %.
        leukocytes: of how many.
        low, high: the range in %.

    Returns:
        -1 below the range, 1 above it, 0 within it or undecided.
    """
    many = leukocytes >= FEW_CELLS
    least, most = (found.percent, found.percent) if many else (found.low, found.high)
    return int(least > high) - int(most < low)


def more_cells(count: int, total: int, limit: float, most: int = MOST_MORE) -> int | None:
    """The number of further cells after which the interval leaves the limit out, if the share stays.

    The share of a larger count is hardly ever whole, so the interval is taken of the real number of cells
    that keeps it: the incomplete beta function needs no whole ones, and the answer does not jump by rounding.

    Args:
        count: 0 to `total`, the cells of the class.
        total: all cells counted; of none there is no share to go by.
        limit: in %.
        most: where to stop looking.

    Returns:
        1 to `most`; None when so many do not decide it.
    """
    if not total or 100 * count == limit * total:
        return None
    totals = total + np.arange(1, most + 1, dtype=float)
    counts = totals * count / total
    if 100 * count < limit * total:
        left_out = 100 * betaincinv(counts + 1, totals - counts, 0.975) < limit
    else:
        rest = np.maximum(totals - counts, 0)
        left_out = 100 * betaincinv(counts, rest + 1, 0.025) > limit
    found = np.flatnonzero(left_out)
    return int(found[0]) + 1 if found.size else None


def per_100(part: int, others: int) -> Ratio | None:
    """Cells per 100 of others, such as erythroblasts per 100 leukocytes; None where there are no others.

    Of both together the part is a share; its exact interval, as odds, is that of the ratio: the conditional
    interval of two Poisson counts (Przyborowski and Wilenski, Biometrika 1940).
    """
    if not others:
        return None
    found = share(part, part + others)
    return Ratio(100 * part / others, _odds(found.low), _odds(found.high))


def _odds(percent: float) -> float:
    return 100 * percent / (100 - percent)
