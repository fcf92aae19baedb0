"""The laboratories whose labelled white cells a network can learn from, and which cells each gives."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from inference.training.labels import INDEX, Choice, Sample, listing, rows_of, samples

TRAIN, VAL = "train", "val"

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Laboratory:
    """A laboratory's labelled cells in `folder`: the values of the column split that are for training and for
    validation, and µm per pixel where the scanner is known.

    `index` names a file of labelled boxes in fields; their split is that of the field in ``index.csv``.
    """

    name: str
    folder: str
    train: tuple[str, ...] = (TRAIN,)
    val: tuple[str, ...] = (VAL,)
    pixel_um: float | None = None
    index: str | None = None

    def cells(self, data: Path, part: str) -> list[Sample]:
        """List the cells for "train" or "val" in the data folder; raises ValueError and FileNotFoundError as
        `samples` does."""
        folder, splits = data / self.folder, self.train if part == TRAIN else self.val
        if self.index is None:
            listed = [cell for split in splits for cell in samples(folder, split)]
        else:
            listed = self._in_fields(folder, splits)
        return [replace(cell, laboratory=self.name) for cell in listed]

    def _in_fields(self, folder: Path, splits: tuple[str, ...]) -> list[Sample]:
        rows = rows_of(folder / INDEX, {}, ("file", "split"))
        chosen = {folder / row["file"] for row in rows if row["split"] in splits}
        return [cell for cell in listing(folder, Choice(index=self.index)).samples if cell.path in chosen]


LABORATORIES = {
    laboratory.name: laboratory
    for laboratory in (
        Laboratory("pbc", "wbc_pbc", pixel_um=0.1),
        Laboratory("apl", "wbc_apl", pixel_um=0.1),
        Laboratory("chula", "wbc_chula"),
        Laboratory("bcisc", "wbc_ood_bcisc", train=("ood_dev",), val=()),
        Laboratory("raabin", "fields_txl", index="wbc_raabin.csv"),
    )
}
"""The order decides the order of the crops. wbc_ood_jiangxi is none of them: it stays unseen for good."""


def unseen(data: Path) -> list[Sample]:
    """List the cells of wbc_ood_jiangxi."""
    return samples(data / "wbc_ood_jiangxi", "ood_dev")


def to_try_on(name: str, data: Path, about: int) -> Sequence[Sample]:
    """List about so many cells to try a network on, evenly taken: of "jiangxi" those that no network has
    learnt from, of a laboratory those for validation or, where it has none, for training."""
    cells = unseen(data) if name == "jiangxi" else LABORATORIES[name].cells(data, VAL)
    return thinned(cells or LABORATORIES[name].cells(data, TRAIN), about)


def thinned(listed: Sequence[Item], about: int) -> Sequence[Item]:
    """Return every n-th of a list, so that about the wanted number is left."""
    return listed[:: max(1, len(listed) // about)]


def pixel_um(cell: Sample) -> float | None:
    """Return µm per pixel of a cell's image, None where nobody has told."""
    laboratory = LABORATORIES.get(cell.laboratory)
    return cell.pixel_um or (laboratory.pixel_um if laboratory else None)
