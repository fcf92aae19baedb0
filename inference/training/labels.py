"""How the names that data sets use for white cells map onto the taxonomy."""

import csv
from dataclasses import dataclass
from pathlib import Path

from inference.pipeline.config import WBC_CLASSES

SUBTYPES = {
    "band_neutrophil": "neutrophil",
    "segmented_neutrophil": "neutrophil",
    "promyelocyte": "immature_granulocyte",
    "myelocyte": "immature_granulocyte",
    "metamyelocyte": "immature_granulocyte",
    "variant_lymphocyte": "lymphocyte",
    "promonocyte": "blast",
    "giant_platelet": "platelet",
    "smudge": "artifact",
}
"""Promonocytes count as blast equivalents (WHO classification of acute monocytic leukaemia)."""

LEFT_OUT = ("plasma_cell",)
"""Kinds the taxonomy has no class for; they are neither trained on nor counted in an evaluation."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a single cell, and the class of the taxonomy it belongs to."""

    path: Path
    label: str


def taxonomy_class(name: str) -> str | None:
    """Return the class a data set's label stands for, None for a kind that is left out.

    Raises ValueError when the name is neither a class nor a known subtype.
    """
    if name in LEFT_OUT:
        return None
    label = SUBTYPES.get(name, name)
    if label not in WBC_CLASSES:
        known = ", ".join([*WBC_CLASSES, *SUBTYPES, *LEFT_OUT])
        raise ValueError(f"“{name}” is not a class of white cells. Known names: {known}.")
    return label


def samples(folder: Path, split: str | None = None) -> list[Sample]:
    """List the labelled images of a data set in a fixed order.

    With `split` the rows of ``index.csv`` (columns file, label, split) are taken that carry it; without,
    every image in the folders named after classes.

    Raises ValueError for an unknown class name, FileNotFoundError when there is nothing to list.
    """
    found = _indexed(folder, split) if split else _in_folders(folder)
    mapped = [Sample(path, label) for path, name in found if (label := taxonomy_class(name))]
    if not mapped:
        raise FileNotFoundError(
            f"No labelled images in {folder}" + (f" with split “{split}”." if split else ".")
        )
    return mapped


def _indexed(folder: Path, split: str) -> list[tuple[Path, str]]:
    index = folder / "index.csv"
    if not index.is_file():
        raise FileNotFoundError(f"A split was asked for, but {folder} has no index.csv.")
    with index.open(newline="", encoding="utf-8") as lines:
        return [
            (folder / row["file"], row["label"]) for row in csv.DictReader(lines) if row["split"] == split
        ]


def _in_folders(folder: Path) -> list[tuple[Path, str]]:
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [
        (image, subfolder.name)
        for subfolder in folders
        if taxonomy_class(subfolder.name)
        for image in sorted(subfolder.iterdir())
        if image.suffix.lower() in IMAGE_SUFFIXES
    ]
