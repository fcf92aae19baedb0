"""Labels for white cells that nobody named one by one: after the stage of their field, or where two networks
agree surely.

They are learnt from only. No figure, temperature or threshold rests on them.
"""

import csv
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.pipeline.cells import crop, crop_box
from inference.pipeline.classification import classify
from inference.pipeline.config import Config
from inference.pipeline.errors import PipelineError
from inference.pipeline.explanation import outline_in_square
from inference.pipeline.findings import Call, Image, Instance, Kind
from inference.pipeline.networks.runtime import Network
from inference.pipeline.seen_colours import SeenColours
from inference.pipeline.seen_filter import SeenFilter
from inference.pipeline.segmentation import segment
from inference.pipeline.staging import BENIGN
from inference.training import staging_fields
from inference.training.cell_images import read_cell_image
from inference.training.labels import BOX_COLUMN, INDEX, rows_of
from inference.training.laboratories import TRAIN, Laboratory, thinned

log = logging.getLogger(__name__)

SURE = 0.8
"""From this confidence of both networks on, a class they agree on is learnt from."""

LIKELY = 0.5
"""From this confidence of one network on, a cell of a benign field is learnt from as a lymphocyte."""

NOT_LYMPHOID = ("neutrophil", "eosinophil", "erythroblast", "platelet", "artifact")
"""What a cell of a staged field must be called by neither network to pass for a lymphoid one."""

FIELDS_OF_LEUKEMIA = 450
"""About so many fields of leukemia give cells; the benign ones, of which few cells can be named, all do."""

MOST_OF_A_FIELD = 2
"""So many cells of a staged field are enough: they look alike, and their stain must not outweigh others."""

COLUMNS = ("file", "label", BOX_COLUMN)

Calls = tuple[Call, ...]
Label = Callable[[Calls], str | None]
"""What a cell is learnt from as, after the calls of both networks; None where it is not."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Fields of a folder that give cells: their files with how a cell of each is labelled, which part of a
    field is looked at, and what a card says of them."""

    folder: str
    fields: Callable[[Path], Sequence[tuple[str, Label]]]
    told: Mapping[str, str]
    most: int | None = None
    seen: Callable[[Image], Image] = lambda image: image


def agreed(calls: Calls) -> str | None:
    """Return the class that both networks are sure of."""
    (label, *others), surest = {call.label for call in calls}, min(call.confidence for call in calls)
    return label if not others and surest >= SURE else None


def blast(calls: Calls) -> str | None:
    """Name a cell of a field of lymphoblastic leukemia, where most nucleated cells are blasts."""
    return "blast" if _lymphoid(calls) else None


def lymphocyte(calls: Calls) -> str | None:
    """Name a cell of a benign field, whose lymphoid cells are lymphocytes and haematogones."""
    likely = any(call.label == "lymphocyte" and call.confidence >= LIKELY for call in calls)
    return "lymphocyte" if likely and _lymphoid(calls) else None


def _lymphoid(calls: Calls) -> bool:
    return not any(call.label in NOT_LYMPHOID for call in calls)


def _bccd(data: Path) -> list[tuple[str, Label]]:
    rows = rows_of(data / "fields_txl" / INDEX, {"source": "bccd", "split": TRAIN})
    return [(row["file"], agreed) for row in rows]


def _staged(data: Path) -> list[tuple[str, Label]]:
    rows = staging_fields.rows(data, staging_fields.LEARN)
    benign = [row["file"] for row in rows if staging_fields.NAMES[row["label"]] == BENIGN]
    ill = [row["file"] for row in rows if staging_fields.NAMES[row["label"]] != BENIGN]
    named = ((benign, lymphocyte), (thinned(ill, FIELDS_OF_LEUKEMIA), blast))
    return [(file, label) for files, label in named for file in files]


ORIGINS = {
    "bccd": Origin(
        "fields_txl",
        _bccd,
        {
            "name": "fields_txl, white cells of the BCCD fields",
            "origin": f"BCCD, fields of TXL-PBC, split train; labelled where two networks agreed with {SURE}"
            " or more each",
            "licence": "MIT",
        },
    ),
    "taleqani": Origin(
        staging_fields.FOLDER,
        _staged,
        {
            "name": "staging_taleqani, lymphoid cells",
            "origin": "fields of acute lymphoblastic leukemia of Taleqani Hospital, folds 0-2 without block"
            " 12, of leukemia every third; cells named after the stage of their field: blast in leukemia,"
            " lymphocyte in benign ones",
            "licence": "research use",
        },
        MOST_OF_A_FIELD,
        staging_fields.top_left,
    ),
}


def propose(data: Path, out: Path, networks: Sequence[Network]) -> None:
    """Label cells of all origins by the calls of two networks, and write one index (CSV) of each to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, origin in ORIGINS.items():
        rows = [row for field in origin.fields(data) for row in _rows(data, origin, field, networks)]
        with _index(out, name).open("w", newline="", encoding="utf-8") as lines:
            csv.writer(lines).writerows([COLUMNS, *rows])
        log.info("%s: %d cells", name, len(rows))


def _rows(
    data: Path, origin: Origin, field: tuple[str, Label], networks: Sequence[Network]
) -> list[tuple[str, str, str]]:
    file, label = field
    image = origin.seen(read_cell_image(data / origin.folder / file))
    whites = whole_cells(image)
    calls = zip(*(called(image, whites, network) for network in networks), strict=True)
    named = [(one, label(said)) for one, said in zip(whites, calls, strict=True)]
    taken = [(one, name) for one, name in named if name][: origin.most]
    return [(file, name, " ".join(map(str, one.box))) for one, name in taken]


def whole_cells(image: Image) -> list[Instance]:
    """Find the white cells of a field, uint8 RGB (height, width, 3), that its border does not cut."""
    return [one for one in segment(image, None) if one.kind is Kind.WBC and _whole(one, image)]


def _whole(instance: Instance, image: Image) -> bool:
    (x0, y0, x1, y1), (height, width) = instance.box, image.shape[:2]
    return x0 > 0 and y0 > 0 and x1 < width and y1 < height


def called(image: Image, whites: Sequence[Instance], network: Network) -> list[Call]:
    """Call white cells of a field, uint8 RGB (height, width, 3), as an analysis of that field alone would."""
    config, card = Config(), network.card
    padding, side = config.cells.padding, config.cells.wbc_side
    crops = [crop(image, one, config.cells, side) for one in whites]
    outlines = [outline_in_square(one, crop_box(one, padding), side) for one in whites]
    colours, through = SeenColours.of(image, "field", card, config), SeenFilter.of(image, "field", card)
    return classify(through.views(colours.views(crops, outlines)), network)


def _index(out: Path, name: str) -> Path:
    return out.resolve() / f"{name}.csv"


@dataclass(frozen=True, slots=True)
class Proposed:
    """The proposed cells of one origin: the laboratory they are learnt from as, their number, and the sha256
    of their index."""

    name: str
    laboratory: Laboratory
    cells: int
    sha256: str

    @property
    def told(self) -> dict[str, Any]:
        """What a model card says of these cells."""
        return {**ORIGINS[self.name].told, "cells": self.cells, "index_sha256": self.sha256}


def read_proposed(folder: Path | None) -> tuple[Proposed, ...]:
    """Read the indexes of a folder; none where no folder is given. Raises UnusableProposals for one without
    them."""
    return () if folder is None else tuple(_read(folder))


class UnusableProposals(PipelineError):
    """A folder of --proposed cannot be learnt from."""

    code = "unusable_proposals"


def _read(folder: Path) -> Iterator[Proposed]:
    for name, origin in ORIGINS.items():
        index = _index(folder, name)
        try:
            cells = len(rows_of(index, {}, COLUMNS))
        except (FileNotFoundError, ValueError) as error:
            raise UnusableProposals(
                f"{folder} cannot be learnt from. {error} --proposed takes the folder that"
                " python -m inference.training proposed wrote."
            ) from error
        laboratory = Laboratory(name, origin.folder, val=(), index=str(index))
        yield Proposed(name, laboratory, cells, hashlib.sha256(index.read_bytes()).hexdigest())
