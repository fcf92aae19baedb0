"""What is drawn into the picture of a smear: its cells, and how far it was analysed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import NamedTuple

from inference import names, records, selectors
from inference.cell_facts import CellFacts
from inference.models import AnalysisRun, Cell
from inference.pipeline.findings import Box, Coverage, Kind, TileState
from inference.results import Cells, ReviewedCell

DRAWN_AT_MOST = 5_000
"""So many cells a browser draws and moves without delay."""

FIRST_TO_LAST = (Kind.WBC, Kind.PLATELET, Kind.RBC)
"""Who is drawn before whom, where there is no room for all."""

Span = tuple[int, int]
Drawn = ReviewedCell[CellFacts] | ReviewedCell[Cell]


class Place(NamedTuple):
    """The number of a cell and its box in level-0 pixels."""

    number: int
    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, slots=True)
class Layer:
    """The cells of one kind: how many were found, and which are drawn; of those that were not classified the
    places are all that is."""

    key: str
    name: str
    count: int
    cells: list[Drawn]
    uncalled: list[Place]

    @property
    def drawn(self) -> int:
        return len(self.cells) + len(self.uncalled)

    @property
    def left_out(self) -> int:
        return self.count - self.drawn

    def draws(self, number: int) -> bool:
        return any(cell.row.number == number for cell in self.cells) or any(
            place.number == number for place in self.uncalled
        )


@dataclass(frozen=True, slots=True)
class Tiles:
    """The tiles that ended in one state: their number, their share 0–1 of the area of all tiles, and their
    ground as an SVG path in level-0 pixels."""

    key: str
    name: str
    count: int
    share: float
    path: str


@dataclass(frozen=True, slots=True)
class Field:
    """The picture of a smear with everything that is drawn into it; `cell` is the one that was asked for."""

    run: AnalysisRun
    layers: list[Layer]
    tiles: list[Tiles]
    cell: ReviewedCell[Cell] | None

    @property
    def label_size(self) -> float:
        """The height in level-0 pixels of the names written into the picture, until it can be zoomed."""
        return max(self.run.width or 0, self.run.height or 0) / 48

    @property
    def hatch(self) -> float:
        """The scale of hatching in level-0 pixels, until the picture can be zoomed."""
        return self.label_size / 12

    @property
    def analysed_in_part(self) -> bool:
        return any(part.count for part in self.tiles if part.key != TileState.ANALYSED)


def field(run: AnalysisRun, cells: Cells, cell: ReviewedCell[Cell] | None) -> Field:
    """The picture of a finished run; `cell`, if any, is drawn however many others there are."""
    return Field(run, _layers(run, cells, cell), tiles(records.coverage(run)), cell)


def _layers(run: AnalysisRun, cells: Cells, asked: ReviewedCell[Cell] | None) -> list[Layer]:
    room, layers = DRAWN_AT_MOST, []
    for kind in FIRST_TO_LAST:
        layer = _layer(run, cells, kind, room)
        room -= layer.drawn
        if asked and asked.row.kind == kind and not layer.draws(asked.row.number):
            layer.cells.append(asked)
        layers.append(layer)
    return layers


def _layer(run: AnalysisRun, cells: Cells, kind: Kind, room: int) -> Layer:
    """Of the classified cells as many as there is room for, open ones first; of the others all or none."""
    called = [cell for cell in cells.classified if cell.row.kind == kind]
    kept: list[Drawn] = [*called]
    if len(called) > room:
        first = sorted(called, key=lambda cell: not cell.is_open)[:room]
        kept = [*sorted(first, key=lambda cell: cell.row.number)]
    places = []
    if 0 < cells.uncalled.get(kind, 0) <= room - len(kept):
        found = selectors.uncalled_cells(run).filter(kind=kind)
        places = list(starmap(Place, found.values_list(*Place._fields)))
    return Layer(kind.value, names.kind_name(kind), cells.count(kind), kept, places)


def tiles(coverage: Coverage) -> list[Tiles]:
    """How much of an image was analysed and why the rest was not; nothing to say of a single tile."""
    if len(coverage.boxes) < 2:
        return []
    grounds = _grounds(coverage.boxes)
    whole = sum(map(_area, grounds))
    return [_tiles(state, coverage, grounds, whole) for state in TileState]


def _tiles(state: TileState, coverage: Coverage, grounds: Sequence[Box], whole: int) -> Tiles:
    own = [ground for ground, found in zip(grounds, coverage.states, strict=True) if found is state]
    path = "".join(f"M{x0} {y0}H{x1}V{y1}H{x0}Z" for x0, y0, x1, y1 in own)
    return Tiles(state.value, names.tile_state_name(state), len(own), sum(map(_area, own)) / whole, path)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _grounds(boxes: Sequence[Box]) -> list[Box]:
    """The ground that each tile has to itself: overlapping neighbours meet halfway."""
    columns = _own_spans((x0, x1) for x0, _, x1, _ in boxes)
    rows = _own_spans((y0, y1) for _, y0, _, y1 in boxes)
    owned = ((columns[x0, x1], rows[y0, y1]) for x0, y0, x1, y1 in boxes)
    return [(left, top, right, bottom) for (left, right), (top, bottom) in owned]


def _own_spans(spans: Iterable[Span]) -> dict[Span, Span]:
    ordered = sorted(set(spans))
    cuts = [(before[1] + after[0]) // 2 for before, after in pairwise(ordered)]
    return dict(zip(ordered, pairwise([ordered[0][0], *cuts, ordered[-1][1]]), strict=True))
