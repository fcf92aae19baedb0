"""Writes confirmed cells as a data set that the training reads: crops, an index of them, a manifest."""

import csv
import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from inference.confirmed import ConfirmedCell
from inference.pipeline.cells import crop_box
from inference.pipeline.config import RBC_CLASSES, WBC_CLASSES, Config
from inference.pipeline.findings import Kind
from inference.pseudonyms import DIGITS, TRAIN, VAL
from inference.training.exports import EXPORT_FORMAT, MANIFEST, RED_EXPORT_FORMAT
from inference.training.labels import BOX_COLUMN, INDEX, PIXEL_COLUMN

CELLS = "cells"
OURS = re.compile(rf"[0-9a-f]{{{DIGITS}}}_\d+\.png")
"""What the picture of a cell is called."""

COLUMNS = {
    "file": "the square of the cell as the portal cut and showed it, PNG",
    "label": "what a person called the cell",
    "split": "train or val, by patient: no patient is in both, and a patient stays where they are",
    "patient": "pseudonym",
    "case": "pseudonym",
    "smear": "pseudonym",
    BOX_COLUMN: "the cell as it was segmented, in px of the file",
    PIXEL_COLUMN: "µm per px of the file, empty where unknown",
    "machine_label": "what the network called the cell in the analysis",
    "machine_confidence": "its confidence, 0-1",
    "network": "name of that network",
    "version": "its version",
    "sha256": "sha256 of its weights",
    "reader": "pseudonym of the person who confirmed the cell",
    "confirmed_on": "the day on which they did",
    "signed_off": "yes where the slide was signed off since",
    "sha1": "sha1 of the file",
}


COUNTED = {"patients": "patient", "cases": "case", "smears": "smear", "readers": "reader"}

Row = dict[str, Any]
"""A row of the index, by COLUMNS."""


class NotAnExport(Exception):
    """The folder holds something else."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What an export of a stream of cells calls itself, the classes that people can give, and what it is."""

    format: str
    classes: tuple[str, ...]
    content: str


STREAMS = {
    Kind.WBC: Stream(
        EXPORT_FORMAT,
        WBC_CLASSES,
        "White cells whose class a person of the laboratory confirmed or corrected in the review"
        " of a smear. Mostly cells that the network was unsure of, and blasts.",
    ),
    Kind.RBC: Stream(
        RED_EXPORT_FORMAT,
        (*RBC_CLASSES, "artifact"),
        "Red cells whose class a person of the laboratory confirmed or corrected in the review of a smear."
        " Mostly unsure cells of the classes that a grade rests on, and cells that people looked for. Of"
        " macrocytes and microcytes the measured diameter made the machine's call.",
    ),
}


@dataclass(frozen=True, slots=True)
class About:
    """Whose cells they are, under which terms they may be used, how they were chosen, and whether they are
    white or red."""

    laboratory: str
    licence: str
    selection: Mapping[str, Any]
    kind: Kind = Kind.WBC

    @property
    def stream(self) -> Stream:
        return STREAMS[self.kind]


def write_export(cells: Iterable[ConfirmedCell], out: Path, about: About) -> dict[str, Any]:
    """Write an export into a new or empty folder, or bring an earlier one of the laboratory up to date.

    The same cells give the same bytes. Returns the manifest. Raises NotAnExport for any other folder.
    """
    before = _earlier(out, about)
    (out / CELLS).mkdir(parents=True, exist_ok=True)
    # Until the end it is an export that is not whole: it can be written again, and nobody learns from it.
    _write(out / MANIFEST, _json({"format": about.stream.format, "laboratory": about.laboratory}))
    left_out: Counter[str] = Counter(without_picture=0, contradictory=0)
    written = list(_written(cells, out, left_out))
    rows = sorted(_agreeing(written, left_out), key=lambda row: str(row["file"]))
    for name in {*before, *(row["file"] for row in written)} - {row["file"] for row in rows}:
        (out / name).unlink(missing_ok=True)
    index = _csv(rows)
    _write(out / INDEX, index)
    manifest = _manifest(rows, left_out, about) | {"index_sha256": hashlib.sha256(index).hexdigest()}
    _write(out / MANIFEST, _json(manifest))
    return manifest


def _earlier(out: Path, about: About) -> list[str]:
    """Return the pictures of an earlier export of the laboratory, of the same stream, in a folder."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return []
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        same = manifest["format"] == about.stream.format and manifest["laboratory"] == about.laboratory
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise NotAnExport(
            f"{out} is not empty and holds no earlier export of {about.laboratory} of these cells. Name a new"
            " or empty folder, or that of an earlier export."
        )
    return [f"{CELLS}/{path.name}" for path in (out / CELLS).glob("*.png") if OURS.fullmatch(path.name)]


def _written(cells: Iterable[ConfirmedCell], out: Path, left_out: Counter[str]) -> Iterator[Row]:
    """Write the picture of every cell that has one, and return its row of the index."""
    for cell in cells:
        if not cell.crop or not cell.crop.storage.exists(str(cell.crop.name)):
            left_out["without_picture"] += 1
            continue
        with cell.crop.open() as file:
            data: bytes = file.read()
        name = f"{CELLS}/{cell.name}.png"
        _write(out / name, data)
        yield {"file": name, **_row(cell, data)}


def _row(cell: ConfirmedCell, data: bytes) -> Row:
    with Image.open(io.BytesIO(data)) as picture:
        side = picture.width
    x0, y0, x1, _ = crop_box(cell.instance, Config().cells.padding)
    scale = side / (x1 - x0)
    box = [(value - (x0, y0)[place % 2]) * scale for place, value in enumerate(cell.instance.box)]
    return {
        "label": cell.label,
        "split": cell.part,
        "patient": cell.patient,
        "case": cell.case,
        "smear": cell.smear,
        BOX_COLUMN: " ".join(f"{min(max(value, 0), side):.1f}" for value in box),
        PIXEL_COLUMN: f"{cell.pixel_um / scale:.5f}" if cell.pixel_um else "",
        "machine_label": cell.machine_label,
        "machine_confidence": f"{cell.machine_confidence:.4f}",
        "network": cell.network.name,
        "version": cell.network.version,
        "sha256": cell.network.sha256,
        "reader": cell.reader,
        "confirmed_on": cell.confirmed_on.isoformat(),
        "signed_off": "yes" if cell.signed_off else "no",
        "sha1": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    }


def _agreeing(rows: Sequence[Row], left_out: Counter[str]) -> list[Row]:
    """Keep one row of each picture, and none of a picture that people called differently: the same image may
    have been handed in twice, even for two patients."""
    alike: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: str(row["file"])):
        alike[row["sha1"]].append(row)
    agreed = [of for of in alike.values() if len({row["label"] for row in of}) == 1]
    left_out["contradictory"] = sum(len(of) for of in alike.values()) - sum(map(len, agreed))
    left_out["shown_twice"] = sum(len(of) - 1 for of in agreed)
    return [of[0] for of in agreed]


def _manifest(rows: Sequence[Row], left_out: Mapping[str, int], about: About) -> dict[str, Any]:
    parts = {part: Counter(row["label"] for row in rows if row["split"] == part) for part in (TRAIN, VAL)}
    networks = Counter((row["network"], row["version"], row["sha256"]) for row in rows)
    days = sorted(row["confirmed_on"] for row in rows)
    return {
        "format": about.stream.format,
        "laboratory": about.laboratory,
        "licence": about.licence,
        "intended_use": "For Research Use Only. Not for use in diagnostic procedures.",
        "content": about.stream.content,
        "classes": list(about.stream.classes),
        "selection": dict(about.selection),
        "cells": len(rows),
        "corrected": sum(row["label"] != row["machine_label"] for row in rows),
        "per_class": {
            part: {label: count[label] for label in about.stream.classes if count[label]}
            for part, count in parts.items()
        },
        **{name: len({row[key] for row in rows}) for name, key in COUNTED.items()},
        "confirmed": {"first": days[0], "last": days[-1]} if days else {},
        "networks": [
            {"name": name, "version": version, "sha256": sha256, "cells": count}
            for (name, version, sha256), count in sorted(networks.items())
        ],
        "left_out": dict(sorted(left_out.items())),
        "columns": COLUMNS,
    }


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one; one that is the same is left alone."""
    if path.is_file() and path.read_bytes() == data:
        return
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(data)
    fresh.replace(path)
