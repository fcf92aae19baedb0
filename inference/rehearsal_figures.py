"""What would change in a signed case if another network had called its white cells."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from inference import records
from inference.pipeline.aggregation import aggregate, share
from inference.pipeline.config import DIFFERENTIAL_CLASSES
from inference.pipeline.findings import Aggregate, Call, Cell, Share
from inference.results import ReviewedCell

LISTED = 200
"""So many of the cells that are called otherwise are named for each case; all are counted."""


@dataclass(frozen=True, slots=True)
class Anew:
    """A cell as it counts in the signed result, and what the other network says: its call, and why a person
    should look at the cell."""

    cell: ReviewedCell
    call: Call
    reasons: tuple[str, ...]

    @property
    def label(self) -> str:
        """What the cell would count as: a person's word on it stands."""
        return self.cell.review.label if self.cell.review else self.call.label

    @property
    def changed(self) -> bool:
        return self.call.label != self.cell.row.label


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many of `n` cells that a person decided on are called as the person did: `before` by the calls of
    the signed results and `after` by the other network, which `gained` some of them and `lost` others."""

    n: int = 0
    before: int = 0
    after: int = 0
    gained: int = 0
    lost: int = 0

    @property
    def shares(self) -> tuple[Share, Share]:
        """Both in %, with their exact 95 % intervals."""
        return share(self.before, self.n), share(self.after, self.n)

    def plus(self, other: "Agreement") -> "Agreement":
        """Both taken together."""
        return Agreement(
            self.n + other.n,
            self.before + other.before,
            self.after + other.after,
            self.gained + other.gained,
            self.lost + other.lost,
        )


def agreement(cells: Sequence[Anew]) -> Agreement:
    """Compare both networks with the words of people."""
    said = [(one, one.cell.review.label) for one in cells if one.cell.review]
    right = [(one.cell.row.label == label, one.call.label == label) for one, label in said]
    return Agreement(
        len(right),
        sum(before for before, _ in right),
        sum(after for _, after in right),
        sum(after and not before for before, after in right),
        sum(before and not after for before, after in right),
    )


def compared(cells: Sequence[Anew], left_out: int) -> dict[str, Any]:
    """The figures of one case, as JSON: `cells` compared and `left_out` for want of a stored picture, how
    many calls `changed`, how many cells would go `to_review` and how many no longer, the differential before
    and after, flags that would have `appeared` and `vanished`, the agreement with people, and the cells whose
    call changes or that would newly go to review."""
    before = aggregate([one.cell.finding() for one in cells])
    after = aggregate([_found(one) for one in cells])
    told = [one for one in cells if one.changed or _newly(one)]
    agreed = agreement(cells)
    return {
        "cells": len(cells),
        "left_out": left_out,
        "changed": sum(one.changed for one in cells),
        "to_review": sum(_newly(one) for one in cells),
        "from_review": sum(one.cell.row.needs_review and not one.reasons for one in cells),
        "leukocytes": [before.wbc_count, after.wbc_count],
        "lines": [_line(key, before, after) for key in DIFFERENTIAL_CLASSES],
        "appeared": _flags(after, before),
        "vanished": _flags(before, after),
        "agreement": {name: getattr(agreed, name) for name in Agreement.__dataclass_fields__},
        "told": [_told(one) for one in told[:LISTED]],
        "untold": max(0, len(told) - LISTED),
    }


def _found(one: Anew) -> Cell:
    found = records.cell(one.cell.row, one.label)
    return replace(found, review_reasons=one.reasons)


def _newly(one: Anew) -> bool:
    return bool(one.reasons) and not one.cell.row.needs_review


def _line(key: str, before: Aggregate, after: Aggregate) -> dict[str, Any]:
    pair = (before.differential[key], after.differential[key])
    return {"key": key, "shares": [[one.count, one.percent, one.low, one.high] for one in pair]}


def _flags(of: Aggregate, without: Aggregate) -> list[str]:
    codes = {flag.code for flag in without.flags}
    return [flag.text for flag in of.flags if flag.code not in codes]


def _told(one: Anew) -> dict[str, Any]:
    row, review = one.cell.row, one.cell.review
    return {
        "run": str(row.run_id),
        "number": row.number,
        "before": row.label,
        "before_confidence": row.confidence,
        "after": one.call.label,
        "after_confidence": float(one.call.confidence),
        "person": review.label if review else "",
        "reasons": list(one.reasons) if _newly(one) else [],
    }
