"""How data sets name white cells in terms of the taxonomy, and which labelled cells a data set holds."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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

INDEX = "index.csv"
BOX_COLUMN = "box_x0_y0_x1_y1"
PIXEL_COLUMN = "pixel_um"
GROUP_COLUMNS = ("patient", "slide", "smear")
ATTRIBUTE_COLUMNS = (
    "cell_size",
    "cell_shape",
    "nucleus_shape",
    "nuclear_cytoplasmic_ratio",
    "chromatin_density",
    "cytoplasm_vacuole",
    "cytoplasm_texture",
    "cytoplasm_colour",
    "granule_type",
    "granule_colour",
    "granularity",
)
"""The morphology of WBCAtt (Tsutsui et al. 2023), in the order of `Sample.attributes`."""

Row = Mapping[str, str]

Named = Callable[[str], str | None]
"""Says which class a data set's label stands for, None for a kind that is left out; raises ValueError."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled white cell: the image that shows it, and the class of the taxonomy it belongs to.

    `box`, x0, y0, x1, y1 in px, says where it lies in the image of a field; None where the image shows a
    single cell. `attributes` are its words of morphology, in the order of ATTRIBUTE_COLUMNS and "" where one
    is unknown; `group` is the patient or smear; all empty where the data set does not say. `pixel_um`
    is µm per pixel of the image where its index says so.
    """

    path: Path
    label: str
    box: tuple[float, float, float, float] | None = None
    attributes: tuple[str, ...] = ()
    laboratory: str = ""
    group: str = ""
    pixel_um: float | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that was left out, relative to the data set's folder where it lies in it, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Which cells of a data set: those in its class folders, or the rows of an index that hold all of
    `where` (column → value). An index is read when one is named or a column is asked for."""

    where: Mapping[str, str] = field(default_factory=dict)
    index: str | None = None

    @classmethod
    def of(cls, split: str | None, where: Sequence[str] = (), index: str | None = None) -> "Choice":
        """Read a split and conditions written as ``COLUMN=VALUE``; raises ValueError for another form."""
        pairs = [condition.partition("=") for condition in where]
        if wrong := [condition for condition, pair in zip(where, pairs, strict=True) if not all(pair[:2])]:
            raise ValueError(f"“{wrong[0]}” is no condition; write COLUMN=VALUE, such as split=val.")
        chosen = {"split": split} if split is not None else {}
        return cls({**chosen, **{column: value for column, _, value in pairs}}, index)

    @property
    def by_index(self) -> bool:
        return bool(self.where) or self.index is not None


FOLDERS = Choice()


@dataclass(frozen=True, slots=True)
class Listing:
    """The labelled cells of the data set in `folder` in a fixed order, and what was left out."""

    folder: Path
    samples: list[Sample]
    skipped: list[Skipped]

    def name_of(self, sample: Sample) -> str:
        """What a sample's file is called in lists."""
        return sample.path.relative_to(self.folder).as_posix()


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
    """List the labelled cells of a data set in a fixed order; with `split` the rows of its index with it.

    Raises ValueError for an unknown class name, FileNotFoundError when there is nothing to list.
    """
    return listing(folder, Choice.of(split)).samples


def listing(folder: Path, choice: Choice = FOLDERS, named: Named = taxonomy_class) -> Listing:
    """List the labelled cells of a data set, and what of it was left out; `named` reads its labels.

    The images in folders named after classes, or the rows of an index: columns `file` and `label`, and where
    there are any `box_x0_y0_x1_y1`, `pixel_um`, `patient`, `slide` or `smear`, and those of
    ATTRIBUTE_COLUMNS.

    Raises ValueError for an unknown class name or column, FileNotFoundError when there is nothing to list.
    """
    found = _indexed(folder, choice, named) if choice.by_index else _in_folders(folder, named)
    if not found.samples:
        reasons = "".join(f" {skipped.file}: {skipped.reason}" for skipped in found.skipped[:3])
        expected = "" if choice.by_index else " One folder of images per class is expected."
        raise FileNotFoundError(f"No labelled images in {folder}.{expected}{reasons}")
    return found


def _indexed(folder: Path, choice: Choice, named: Named) -> Listing:
    rows = rows_of(folder / (choice.index or INDEX), choice.where, ("file", "label"))
    labels = {name: named(name) for name in dict.fromkeys(row["label"] for row in rows)}
    left_out = Counter(row["label"] for row in rows if labels[row["label"]] is None)
    listed = [
        Sample(
            folder / row["file"],
            label,
            _box(row),
            _attributes(row),
            group=_group(row),
            pixel_um=_pixel_um(row),
        )
        for row in rows
        if (label := labels[row["label"]])
    ]
    return Listing(folder, listed, [_without_class(name, count) for name, count in left_out.items()])


def rows_of(index: Path, where: Mapping[str, str], needed: Sequence[str] = ("file",)) -> list[Row]:
    """Return the rows of an index (CSV) that hold all of `where`, column → value.

    Raises FileNotFoundError where there is no index or no such row, ValueError for a column it lacks.
    """
    if not index.is_file():
        raise FileNotFoundError(f"Rows of an index were asked for, but there is no {index}.")
    with index.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        columns, rows = list(reader.fieldnames or ()), list(reader)
    if missing := [name for name in (*needed, *where) if name not in columns]:
        raise ValueError(f"{index} has no column {missing[0]}; its columns are {', '.join(columns)}.")
    chosen: list[Row] = [row for row in rows if all(row[column] == value for column, value in where.items())]
    if not chosen:
        raise FileNotFoundError(f"No row of {index} has {_told(where, rows) or 'a cell'}.")
    return chosen


def _told(where: Mapping[str, str], rows: Sequence[Row]) -> str:
    """Say what was asked for, and what there is."""
    asked = " and ".join(f"{column} “{value}”" for column, value in where.items())
    there = (f"{column} is {_some({row[column] for row in rows})}" for column in where)
    return f"{asked}; {', '.join(there)}" if where else ""


def _some(values: set[str]) -> str:
    named = sorted(value for value in values if value)
    return " or ".join(named[:6]) + (f" or one of {len(named) - 6} others" if len(named) > 6 else "")


def _box(row: Row) -> tuple[float, float, float, float] | None:
    text = row.get(BOX_COLUMN)
    if not text:
        return None
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split())
    except ValueError as error:
        raise ValueError(f"“{text}” of {row['file']} is no box; write x0 y0 x1 y1 in px.") from error
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"The box “{text}” of {row['file']} is empty; x0 < x1 and y0 < y1 are expected.")
    return x0, y0, x1, y1


def _pixel_um(row: Row) -> float | None:
    text = row.get(PIXEL_COLUMN)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"“{text}” of {row['file']} is no size of a pixel; write µm, such as 0.1.")
    return value


def _attributes(row: Row) -> tuple[str, ...]:
    words = tuple(row.get(column) or "" for column in ATTRIBUTE_COLUMNS)
    return words if any(words) else ()


def _group(row: Row) -> str:
    return next((row[column] for column in GROUP_COLUMNS if row.get(column)), "")


def _without_class(name: str, count: int) -> Skipped:
    return Skipped(name, f"The taxonomy has no class for this kind; {count} labelled as it are left out.")


def _in_folders(folder: Path, named: Named) -> Listing:
    folders = [path for path in _visible(folder) if path.is_dir()]
    labels = {path.name: _class_of(path, named) for path in folders}
    found = Listing(
        folder, [], [Skipped(path.name, IN_NO_FOLDER) for path in _visible(folder) if _is_image(path)]
    )
    for subfolder in folders:
        images = [path for path in _visible(subfolder) if _is_image(path)]
        label = labels[subfolder.name]
        if label is None:
            found.skipped.append(_without_class(subfolder.name, len(images)))
            continue
        found.samples.extend(Sample(path, label) for path in images)
        found.skipped.extend(_others(subfolder, bool(images)))
    return found


IN_NO_FOLDER = "It lies in no folder named after a class."


def _class_of(folder: Path, named: Named) -> str | None:
    try:
        return named(folder.name)
    except ValueError as error:
        index = folder.parent / INDEX
        hint = f" If the labels are in {INDEX}, choose its rows by a column." if index.is_file() else ""
        raise ValueError(f"The folder {error}{hint}") from error


def _others(folder: Path, holds_images: bool) -> Iterator[Skipped]:
    if not holds_images:
        yield Skipped(folder.name, "The folder holds no image.")
    for path in _visible(folder):
        if path.is_dir():
            yield Skipped(f"{folder.name}/{path.name}", "Folders inside a class folder are not read.")
        elif not _is_image(path):
            suffixes = ", ".join(IMAGE_SUFFIXES)
            yield Skipped(f"{folder.name}/{path.name}", f"Its name is not that of an image ({suffixes}).")


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()
