"""The model card of the white-cell network: what it is, what it was made from, how far to trust it."""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from inference.pipeline import stain
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.findings import Image
from inference.pipeline.networks import registry
from inference.pipeline.stain_range import StainRange, joined
from inference.training.evaluate_segmentation import read_rgb
from inference.training.labels import LEFT_OUT, SUBTYPES, samples
from inference.training.wbc import Recipe

VERSION = "1.0.0"
EXPLANATION_LAYER = "s3"
VIEWS = {"as_is": 2.0, "reinhard": 1.0}
REFERENCE_IMAGES = 120
RANGE_IMAGES = 400
RIM = 50
"""Width in px of the rim of a field, which holds few white cells."""
STAIN_LIMIT = 4.0
"""Distance from which a stain is beyond normalisation, in shares of images beyond it: none of the training
laboratories' as they are, 8–12 % of their cells and 20 % of their fields with the densities changed by up to
25 % (which the network bears), 97–100 % of the cells and 67–100 % of the fields of the other laboratories
(benchmarks/stain_range.py)."""

Item = TypeVar("Item")

TEXT: dict[str, Any] = {
    "task": "name single white cells of a peripheral blood smear in Romanowsky stains",
    "intended_use": "For Research Use Only. Not for use in diagnostic procedures. Proposes a class for each"
    " segmented cell to a person who reviews it.",
    "data": [
        {
            "name": "wbc_pbc",
            "origin": "Acevedo et al. 2020, Hospital Clínic Barcelona",
            "licence": "CC BY 4.0",
        },
        {
            "name": "wbc_apl",
            "origin": "DeepAPL, Johns Hopkins Hospital, patients with acute myeloid leukaemia",
            "licence": "copyright line only; research use",
        },
    ],
    "split": "column split of each index.csv: train for the weights, val for temperature and threshold;"
    " by patient in wbc_apl, without patient identity in wbc_pbc, so figures on wbc_pbc are optimistic",
    "class_mapping": {**SUBTYPES, **dict.fromkeys(LEFT_OUT, "left out")},
    "limits": [
        "Blasts and artifacts (smudge cells) were learnt from one laboratory only.",
        "Both sources use CellaVision scanners; with other cameras and stains it is far less accurate.",
        "A crop is scaled to the cell, so absolute cell size is not seen.",
        "Plasma cells and other kinds outside the labels are called one of the labels.",
        "Promonocytes count as blast equivalents; bands and segmented neutrophils are not told apart.",
    ],
}


def draft(
    recipe: Recipe,
    sha256: str,
    references: dict[str, stain.Reference],
    ranges: dict[str, StainRange] | None = None,
) -> dict[str, Any]:
    """Write the card of a network that is not calibrated yet."""
    return {
        "name": registry.WBC_NETWORK,
        "version": VERSION,
        "sha256": sha256,
        **TEXT,
        "architecture": recipe.architecture,
        "input": {
            **asdict(recipe.contract),
            "colour": "RGB",
            "normalisation": "(pixel / 255 - mean) / std",
            "views": VIEWS,
            "half_turn": True,
            "stain_references": {shown: asdict(reference) for shown, reference in references.items()},
            "stain_ranges": {shown: within.as_data() for shown, within in (ranges or {}).items()},
        },
        "labels": list(WBC_CLASSES),
        "temperature": 1.0,
        "thresholds": {"abstain_below": 0.5},
        "explanation_layer": EXPLANATION_LAYER,
        "training": asdict(recipe),
        "metrics": [],
    }


def stain_references(data: Path) -> dict[str, stain.Reference]:
    """Measure the training stain on fields and on images of single cells of the same scanner.

    Both are medians over training images: wbc_pbc's for the cell, the ``pbc`` part of fields_txl's for the
    field.
    """
    return {
        "cell": _median([sample.path for sample in samples(data / "wbc_pbc", "train")]),
        "field": _median(_pbc_fields(data / "fields_txl")),
    }


def stain_ranges(data: Path) -> dict[str, StainRange]:
    """Measure how the training stains vary, on the images that `stain_references` takes and wbc_apl's cells.

    Every field counts twice, whole and as its rim, because the share of white cells varies between fields and
    is no matter of stain.
    """
    cells = [
        stain.sample(read_rgb(sample.path))
        for source in ("wbc_pbc", "wbc_apl")
        for sample in thinned(samples(data / source, "train"), RANGE_IMAGES)
    ]
    fields = [read_rgb(path) for path in _pbc_fields(data / "fields_txl")]
    parts = [stain.sample(part) for field in fields for part in (field, rim(field))]
    return {
        "cell": StainRange.of(joined(cells), STAIN_LIMIT),
        "field": StainRange.of(joined(parts), STAIN_LIMIT),
    }


def rim(field: Image) -> list[Image]:
    """Return the four strips along the border of a field, uint8 RGB."""
    return [field[:RIM], field[-RIM:], field[RIM:-RIM, :RIM], field[RIM:-RIM, -RIM:]]


def thinned(listed: Sequence[Item], about: int) -> Sequence[Item]:
    """Return every n-th of a list, so that about the wanted number is left."""
    return listed[:: max(1, len(listed) // about)]


def _pbc_fields(folder: Path) -> list[Path]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return [folder / row["file"] for row in rows if row["source"] == "pbc" and row["split"] == "train"]


def _median(files: Sequence[Path]) -> stain.Reference:
    fitted = [stain.reinhard(read_rgb(path)) for path in thinned(files, REFERENCE_IMAGES)]
    means = np.median([reference.mean for reference in fitted], axis=0).round(3).tolist()
    spreads = np.median([reference.std for reference in fitted], axis=0).round(3).tolist()
    return stain.Reference(tuple(means), tuple(spreads))
