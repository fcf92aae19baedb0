"""The cells most like one cell: confirmed ones of the laboratory and, while those are few, the training's."""

from base64 import b64decode
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from django.db.models import QuerySet
from numpy.typing import NDArray

from accounts.types import User
from inference import candidates, records, selectors
from inference.models import AnalysisRun, Cell, CellReview
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.findings import NetworkUsed
from inference.pipeline.networks import registry

NEAREST = 6
"""So many confirmed cells are shown; while there are fewer, the training cells are told of as well."""

COMPARED_AT_MOST = 20_000
"""Among so many of the confirmed cells, the newest, the nearest are sought."""

CLASSES_TOLD = 3
ROWS_AT_ONCE = 2_000
SPARE = 6
"""So many more than are shown are fetched, in case some show the cell in question in another analysis."""

Embedding = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A confirmed cell, the review that stands, its cosine similarity (-1 to 1) to the cell in question, and
    whether both are of the same smear."""

    review: CellReview
    similarity: float
    same_smear: bool

    @property
    def cell(self) -> Cell:
        return self.review.cell


@dataclass(frozen=True, slots=True)
class ClassLikeness:
    """How similar a cell is to the mean of a class in the training, and how similar the `count` cells that it
    was taken from are: half of them more than `median`, 90 of 100 from `low` to `high`."""

    label: str
    similarity: float
    count: int
    low: float
    median: float
    high: float

    @property
    def is_far(self) -> bool:
        """Whether the cell is less like the class than 95 of 100 of its training cells."""
        return self.similarity < self.low


@dataclass(frozen=True, slots=True)
class Similar:
    """What a cell is like. `embedded` is false where its analysis kept nothing to compare it by; `compared`
    counts the confirmed cells among which the neighbours, nearest first, were sought."""

    cell: Cell
    network: NetworkUsed | None
    embedded: bool
    compared: int = 0
    neighbours: tuple[Neighbour, ...] = ()
    training: tuple[ClassLikeness, ...] = ()

    @property
    def votes(self) -> list[tuple[str, int]]:
        """How many of the neighbours were confirmed as what, most frequent first."""
        return Counter(neighbour.review.label for neighbour in self.neighbours).most_common()


def similar(user: User, cell: Cell, count: int = NEAREST) -> Similar:
    """The confirmed cells of a person's laboratory that are most like a cell.

    A cell is confirmed as soon as a person's word on it stands, whether its slide is signed off or not; an
    undone word counts no more. Only cells called by the same network, of the same version, are compared.
    """
    network = next(iter(records.networks(cell.run)), None)
    if cell.embedding is None or network is None:
        return Similar(cell, network, embedded=False)
    asked = _decoded(bytes(cell.embedding))
    nearest, compared = _nearest(asked, _confirmed(user, network).exclude(pk=cell.pk), count + SPARE)
    neighbours = _neighbours(cell, nearest)[:count]
    folder = candidates.folder_with(user.lab_id, network.sha256)
    training = _training(asked, (network, folder), cell.label) if len(neighbours) < count else ()
    return Similar(cell, network, True, compared, neighbours, training)


def _decoded(data: bytes | bytearray) -> Embedding:
    return np.frombuffer(data, records.EMBEDDED).astype(np.float32)


def _confirmed(user: User, network: NetworkUsed) -> QuerySet[Cell]:
    """The cells called by a network, which is the first that a run names, among the newest confirmed ones.

    These are listed first, by who confirmed them: a list of keys to fetch keeps the database from going
    through all cells of the laboratory.
    """
    runs = AnalysisRun.objects.filter(
        lab=user.lab,
        networks__0__name=network.name,
        networks__0__version=network.version,
        networks__0__sha256=network.sha256,
    )
    standing = CellReview.objects.filter(undone_at=None, reviewer__lab=user.lab)
    newest = standing.exclude(cell__double_reading__in=selectors.PENDING).order_by("-pk")
    return Cell.objects.filter(
        pk__in=newest.values("cell")[:COMPARED_AT_MOST],
        run__in=runs.order_by().values("pk"),
        embedding__isnull=False,
    )


def _nearest(asked: Embedding, confirmed: QuerySet[Cell], count: int) -> tuple[dict[int, float], int]:
    """The keys of the nearest cells with their similarity, nearest first, and how many were compared."""
    rows = confirmed.order_by().values_list("pk", "embedding")
    keys, kept = list[int](), bytearray()
    for key, embedding in rows.iterator(ROWS_AT_ONCE):
        keys.append(key)
        kept += embedding or b""
    similarity = _decoded(kept).reshape(len(keys), len(asked)) @ asked
    first = np.argsort(-similarity, kind="stable")[:count]
    return {keys[place]: float(similarity[place]) for place in first}, len(keys)


def _neighbours(cell: Cell, nearest: dict[int, float]) -> tuple[Neighbour, ...]:
    reviews = (
        CellReview.objects.filter(undone_at=None, cell__in=nearest)
        .select_related("reviewer", "cell__run__smear__case")
        .defer("cell__polygon", "cell__embedding", "cell__run__coverage")
    )
    return tuple(
        Neighbour(review, nearest[review.cell_id], _of_one_image(cell, review.cell))
        for review in sorted(reviews, key=lambda review: -nearest[review.cell_id])
        if not _is_same(cell, review.cell)
    )


def _of_one_image(one: Cell, other: Cell) -> bool:
    return one.run.smear.sha256 == other.run.smear.sha256


def _is_same(one: Cell, other: Cell) -> bool:
    """Whether another analysis of the same image, in this case or another, found the very same cell."""
    inside = other.x0 <= one.centroid_x < other.x1 and other.y0 <= one.centroid_y < other.y1
    return one.run_id != other.run_id and inside and _of_one_image(one, other)


def _training(asked: Embedding, network: tuple[NetworkUsed, Path], label: str) -> tuple[ClassLikeness, ...]:
    """The classes whose training cells are most like a cell, and the one it was called, most similar first;
    none where the card of its network, in that folder, describes no cells or is of another version by now."""
    ranked = sorted(_likenesses(asked, *network), key=lambda one: -one.similarity)
    return tuple(one for place, one in enumerate(ranked) if place < CLASSES_TOLD or one.label == label)


def _likenesses(asked: Embedding, network: NetworkUsed, folder: Path) -> list[ClassLikeness]:
    try:
        card = registry.card(network.name, folder)
    except NetworkUnavailable:
        return []
    if card.used != network:
        return []
    classes = card.text.get("embedding", {"classes": {}})["classes"]
    return [
        ClassLikeness(label, float(_decoded(b64decode(of["mean"])) @ asked), of["n"], *of["similarity"])
        for label, of in classes.items()
    ]
