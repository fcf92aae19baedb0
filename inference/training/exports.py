"""Confirmed cells that a laboratory exported (``manage.py export_labels``), checked before they are learnt
from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.pipeline.errors import PipelineError
from inference.training.labels import INDEX, Row, rows_of, samples
from inference.training.laboratories import LABORATORIES, TRAIN, VAL, Laboratory

EXPORT_FORMAT = "wbc-portal confirmed white cells 1"
RED_EXPORT_FORMAT = "wbc-portal confirmed red cells 1"
"""What the manifest of an export of red cells says. No training of this package takes one."""

MANIFEST = "manifest.json"
NEEDED = ("file", "label", "split", "patient", "sha1")


class UnusableExport(PipelineError):
    """A folder of --extra cannot be learnt from."""

    code = "unusable_export"


@dataclass(frozen=True, slots=True)
class Export:
    """The export in a folder: the laboratory it is learnt from as, its manifest, and that one's sha256."""

    folder: Path
    laboratory: Laboratory
    manifest: Mapping[str, Any]
    sha256: str

    @property
    def told(self) -> dict[str, Any]:
        """What a model card says of these cells."""
        return {
            "name": self.laboratory.name,
            "origin": f"cells confirmed in the laboratory {self.manifest['laboratory']}, pseudonymised",
            "licence": self.manifest["licence"],
            "cells": self.manifest["cells"],
            "per_class": self.manifest["per_class"],
            "manifest_sha256": self.sha256,
        }


def read_exports(folders: Sequence[Path]) -> tuple[Export, ...]:
    """Read and check the exports in some folders, each a laboratory of its own.

    Raises UnusableExport for a folder without a whole export, for files or labels that are not those of its
    index, for a patient or picture in both parts, for a part without cells, and for two exports of one name.
    """
    exports = tuple(_read(folder) for folder in folders)
    names = [export.laboratory.name for export in exports]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UnusableExport(
            f"Two folders of --extra hold exports of {', '.join(sorted(twice))}. Export all its cells into"
            " one folder."
        )
    _refuse_in_both("picture", [row for export in exports for row in _rows(export.folder)], "sha1")
    return exports


def _read(folder: Path) -> Export:
    try:
        data = (folder / MANIFEST).read_bytes()
        manifest = json.loads(data)
        said = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError):
        said = ""
    if said == RED_EXPORT_FORMAT:
        raise UnusableExport(
            f"{folder} holds an export of red cells. --extra takes white cells only: those that manage.py"
            " export_labels wrote without --cells red."
        )
    if said != EXPORT_FORMAT:
        raise UnusableExport(
            f"{folder} holds no export of confirmed cells ({MANIFEST}). --extra takes the folder that"
            " manage.py export_labels wrote."
        )
    if manifest.get("index_sha256") != _sha256(folder / INDEX):
        raise UnusableExport(
            f"{folder / INDEX} is not the one that {MANIFEST} describes: the export was cut off, or changed"
            " since. Export again into the same folder."
        )
    laboratory = Laboratory(f"lab:{manifest['laboratory']}", str(folder.resolve()))
    export = Export(folder, laboratory, manifest, hashlib.sha256(data).hexdigest())
    _check(export)
    return export


def _check(export: Export) -> None:
    rows = _rows(export.folder)
    for row in rows:
        if _sha1(export.folder / row["file"]) != row["sha1"]:
            raise UnusableExport(
                f"{export.folder / row['file']} is missing, or not the picture that {INDEX} names. Export"
                " again into the same folder."
            )
    _refuse_in_both("patient", rows, "patient")
    for part, of in ((TRAIN, "training"), (VAL, "validation")):
        try:
            samples(export.folder, part)
        except FileNotFoundError as error:
            raise UnusableExport(
                f"{export.folder} has no cells for {of}. An export has cells of both parts once enough"
                " patients are in it; confirm cells of more patients and export again."
            ) from error
        except ValueError as error:
            raise UnusableExport(f"{export.folder / INDEX}: {error}") from error


def _rows(folder: Path) -> list[Row]:
    try:
        return rows_of(folder / INDEX, {}, NEEDED)
    except (FileNotFoundError, ValueError) as error:
        raise UnusableExport(f"{folder} cannot be learnt from. {error}") from error


def _refuse_in_both(what: str, rows: Sequence[Row], column: str) -> None:
    part: dict[str, str] = {}
    for row in rows:
        if part.setdefault(row[column], row["split"]) != row["split"]:
            raise UnusableExport(
                f"The {what} {row[column]} is in both parts, {TRAIN} and {VAL}, so that the validation would"
                f" not tell how other {what}s are called."
            )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else ""


def all_laboratories(exports: Sequence[Export], held_out: Sequence[str] = ()) -> list[Laboratory]:
    """Return the laboratories to learn from: those of the product's sets that are not held out, then those of
    the exports."""
    standing = [one for one in LABORATORIES.values() if one.name not in held_out]
    return [*standing, *(export.laboratory for export in exports)]
