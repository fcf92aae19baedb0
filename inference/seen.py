"""What of a smear people have looked at: in squares, from the views of the viewer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

import numpy as np
from django.db import transaction
from django.utils import timezone
from numpy.typing import NDArray

from accounts.permissions import Verb, require
from accounts.types import User
from inference import records
from inference.models import AnalysisRun, SeenField
from inference.pipeline.config import REFERENCE_PIXEL_UM
from inference.pipeline.findings import TileState

Squares = NDArray[np.bool_]

SIDE_PX = 256
SQUARES_ALONG = 256
"""Squares are of this side, or larger where there would be more than so many along the longer side."""

UM_PER_SCREEN_PX = 0.5
"""A view counts while a pixel of the screen shows at most so much: as a 20× objective does in a scanner."""


class NotAView(ValueError):
    """What a viewer reports is no view of the smear."""


@dataclass(frozen=True, slots=True)
class View:
    """A part of the picture on a screen, in level-0 pixels, `width` pixels of the screen across."""

    x0: float
    y0: float
    x1: float
    y1: float
    width: float


@dataclass(frozen=True, slots=True)
class Seen:
    """How much of a field was to be looked at and was, in squares; empty glass is not asked for."""

    asked: int
    looked_at: int

    @property
    def unseen_percent(self) -> float:
        return 100 * (self.asked - self.looked_at) / self.asked if self.asked else 0.0


def note_view(actor: User, run: AnalysisRun, view: View) -> None:
    """Keep that a person has had a part of a smear before them; a view from too far counts for nothing.

    A slide that is signed off keeps what was seen before. Raises NotAView.
    """
    require(actor, Verb.REVIEW_DECIDE, run)
    if not (view.width >= 1 and view.x1 > view.x0 and view.y1 > view.y0):
        raise NotAView
    if run.signed_off_at or not _is_near(run, view):
        return
    with transaction.atomic():
        empty = np.packbits(_none(run)).tobytes()
        kept, _new = SeenField.objects.select_for_update().get_or_create(
            run=run, person=actor, defaults={"squares": empty}
        )
        known = _unpacked(run, kept.squares)
        after = known | _inside(run, view)
        if (after != known).any():
            kept.squares, kept.looked_at = np.packbits(after).tobytes(), timezone.now()
            kept.save(update_fields=["squares", "looked_at"])


def _is_near(run: AnalysisRun, view: View) -> bool:
    um = (run.pixel_um or REFERENCE_PIXEL_UM) * (view.x1 - view.x0) / view.width
    return um <= UM_PER_SCREEN_PX


def seen(runs: Sequence[AnalysisRun]) -> dict[UUID, Seen]:
    """How much of each of some finished runs anybody who reviews has looked at; one question."""
    looks = _looks(runs)
    found = {}
    for run in runs:
        asked = _asked(run)
        found[run.pk] = Seen(int(asked.sum()), int((asked & looks.get(run.pk, _none(run))).sum()))
    return found


def unseen_ground(run: AnalysisRun) -> dict[str, Any]:
    """The ground nobody has looked at: its share 0–1 of what is asked for, and an SVG path in level-0 px."""
    asked, looked = _asked(run), _looks([run]).get(run.pk, _none(run))
    left = asked & ~looked
    share = float(left.sum() / asked.sum()) if asked.any() else 0.0
    return {"key": "unseen", "count": int(left.sum()), "share": share, "path": _path(run, left)}


def _looks(runs: Iterable[AnalysisRun]) -> dict[UUID, Squares]:
    by_id = {run.pk: run for run in runs}
    looks: dict[UUID, Squares] = {}
    kept = SeenField.objects.filter(run__in=list(by_id)).values_list("run", "squares")
    for run_id, squares in kept:
        looks[run_id] = looks.get(run_id, _none(by_id[run_id])) | _unpacked(by_id[run_id], squares)
    return looks


def _side(run: AnalysisRun) -> int:
    return max(SIDE_PX, -(-max(run.width or 1, run.height or 1) // SQUARES_ALONG))


def _none(run: AnalysisRun) -> Squares:
    side = _side(run)
    return np.zeros((-(-(run.height or 1) // side), -(-(run.width or 1) // side)), bool)


def _unpacked(run: AnalysisRun, squares: bytes | memoryview) -> Squares:
    none = _none(run)
    bits = np.unpackbits(np.frombuffer(squares, np.uint8), count=none.size)
    return bits.astype(bool).reshape(none.shape)


def _inside(run: AnalysisRun, view: View) -> Squares:
    """The squares whose centre, or what of it lies on the picture, is in a view."""
    return _marked(run, (view.x0, view.y0, view.x1, view.y1), _none(run))


def _marked(run: AnalysisRun, box: tuple[float, ...], squares: Squares) -> Squares:
    x0, y0, x1, y1 = box
    across, down = _centres(run)
    squares |= ((down >= y0) & (down <= y1))[:, None] & ((across >= x0) & (across <= x1))[None, :]
    return squares


def _centres(run: AnalysisRun) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The middle of each column and row of squares; the last ones end with the picture."""
    side, (rows, columns) = _side(run), _none(run).shape
    ends = [(columns, run.width or 1), (rows, run.height or 1)]
    across, down = (
        (np.arange(n) * side + np.minimum(np.arange(1, n + 1) * side, last)) / 2 for n, last in ends
    )
    return across, down


def _asked(run: AnalysisRun) -> Squares:
    """The squares that hold more than empty glass; all of them where the analysis knew no tiles."""
    coverage = records.coverage(run)
    if not coverage.boxes:
        return ~_none(run)
    squares = _none(run)
    for box, state in zip(coverage.boxes, coverage.states, strict=True):
        if state is not TileState.BACKGROUND:
            _marked(run, box, squares)
    return squares


def _path(run: AnalysisRun, squares: Squares) -> str:
    """Runs of neighbouring squares of a row as one rectangle each."""
    side, width, height = _side(run), run.width or 1, run.height or 1
    parts = []
    for row, line in enumerate(squares):
        top, bottom = row * side, min((row + 1) * side, height)
        for is_in, places in groupby(range(len(line)), key=line.__getitem__):
            if is_in:
                columns = list(places)
                left, right = columns[0] * side, min((columns[-1] + 1) * side, width)
                parts.append(f"M{left} {top}H{right}V{bottom}H{left}Z")
    return "".join(parts)
