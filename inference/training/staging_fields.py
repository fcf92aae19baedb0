"""The labelled fields that a staging network learns from, and the stains that others lend to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.config import STAGES_OF_LEUKEMIA
from inference.pipeline.findings import Image
from inference.training.evaluate_segmentation import read_rgb
from inference.training.labels import INDEX, Row, rows_of
from inference.training.laboratories import TRAIN, thinned
from inference.training.staging_augmentation import Stain

FOLDER = "staging_taleqani"
NAMES = dict(zip(("Benign", "Early", "Pre", "Pro"), STAGES_OF_LEUKEMIA, strict=True))
"""What the set calls the stages."""

FIELD_PX, IMAGE_PX = 188, 224
"""Side in px of a field, and of the image of the set that it is the top left of: the set's scale bars are
burnt in beyond it, each stage's in a style of its own, and give the stage away."""

LEARN, CHOOSE, TEST = "learn", "choose", "test"
CHOICE_BLOCK = "12"
"""The block of neighbouring images of fold 2, one of each stage, that is kept for temperature and thresholds;
fold 3 tests, and the rest is learnt from."""

LENDERS: Mapping[str, int] = {
    "fields_txl": 300,
    "rbc_chula": 150,
    "fields_bcisc": 36,
    "wbc_pbc": 100,
    "wbc_apl": 100,
}
"""About how many training images of each set lend their stain, fields and single cells."""

LENT_SIDE = 94


@dataclass(frozen=True, slots=True)
class Fields:
    """Labelled fields: uint8 RGB (n, FIELD_PX, FIELD_PX, 3), and int64 (n,), places in STAGES_OF_LEUKEMIA."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def part_of(row: Row) -> str:
    """Return whether a row of the set's index is learnt from, chosen by, or tested on."""
    if row["split"] != TRAIN:
        return TEST
    return CHOOSE if (row["fold"], row["index_block"]) == ("2", CHOICE_BLOCK) else LEARN


def rows(data: Path, part: str) -> list[Row]:
    """List the rows of one part of the set; raises FileNotFoundError and ValueError as `rows_of` does."""
    needed = ("file", "label", "fold", "index_block", "split")
    return [row for row in rows_of(data / FOLDER / INDEX, {}, needed) if part_of(row) == part]


def read(data: Path, part: str) -> Fields:
    """Read the fields of one part of the set."""
    chosen = rows(data, part)
    images = [top_left(read_rgb(data / FOLDER / row["file"])) for row in chosen]
    labels = [STAGES_OF_LEUKEMIA.index(NAMES[row["label"]]) for row in chosen]
    return Fields(np.stack(images), np.array(labels, np.int64))


def top_left(image: Image) -> Image:
    """Return the field in an image of the set, uint8 RGB; its lower right corner is never read."""
    return image[:FIELD_PX, :FIELD_PX]


def lent_stains(data: Path, own: Sequence[Image]) -> tuple[list[Stain], list[Stain]]:
    """Measure the stains that fields are moved to: those of the set's own fields, and of other laboratories'
    images."""
    files = [path for name, about in LENDERS.items() for path in _lending(data / name, about)]
    return [Stain.of(_small(image)) for image in own], [Stain.of(_small(read_rgb(path))) for path in files]


def _lending(folder: Path, about: int) -> Sequence[Path]:
    return [folder / row["file"] for row in thinned(rows_of(folder / INDEX, {"split": TRAIN}), about)]


def _small(image: Image) -> Image:
    return np.asarray(cv2.resize(image, (LENT_SIDE, LENT_SIDE), interpolation=cv2.INTER_AREA), np.uint8)
