"""The model card of the white-cell network: what it is, what it was made from, how far to trust it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from inference.pipeline import stain
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.findings import Image
from inference.pipeline.networks import registry
from inference.pipeline.networks.runtime import FromPixels
from inference.pipeline.stain_range import StainRange, joined
from inference.training.attributes import ATTRIBUTES
from inference.training.evaluate_segmentation import read_rgb
from inference.training.labels import INDEX, LEFT_OUT, SUBTYPES, rows_of, samples
from inference.training.laboratories import LABORATORIES, TRAIN, Laboratory
from inference.training.wbc import Recipe

VERSION = "1.1.0"
FIELD_SOURCES = ("pbc", "raabin")
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
        {"name": "wbc_chula", "origin": "Chulalongkorn University, low-cost camera", "licence": "MIT"},
        {"name": "wbc_ood_bcisc", "origin": "BCISC, another microscope", "licence": "Apache-2.0"},
        {
            "name": "fields_txl, white cells of the Raabin fields",
            "origin": "Raabin-WBC, two microscopes with phone cameras, boxes of TXL-PBC",
            "licence": "MIT for the boxes; pixels for research use",
        },
    ],
    "split": "column split of each index.csv: train (of wbc_ood_bcisc all of it) for the weights, val for"
    " temperature and thresholds; by patient in wbc_apl, by slide in wbc_chula, without patient identity in"
    " wbc_pbc, so figures on wbc_pbc are optimistic; in fields_txl by field, not by smear",
    "class_mapping": {**SUBTYPES, **dict.fromkeys(LEFT_OUT, "left out")},
    "limits": [
        "Blasts and artifacts (smudge cells) were learnt from one laboratory only.",
        "Immature cells and platelets were learnt from CellaVision scanners only; with other cameras and"
        " stains it is less accurate, above all where cells are blurred.",
        "A crop is scaled to the cell, so absolute cell size is not seen.",
        "Plasma cells and other kinds outside the labels are called one of the labels.",
        "Promonocytes count as blast equivalents; bands and segmented neutrophils are not told apart.",
    ],
}


def draft(recipe: Recipe, sha256: str, network: FromPixels, data: Path) -> dict[str, Any]:
    """Write the card of a network that is not calibrated yet."""
    references, ranges = stain_references(data), stain_ranges(data)
    body: Any = network.network
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
            "stain_references": {shown: asdict(reference) for shown, reference in references.items()},
            "stain_ranges": {shown: [one.as_data() for one in within] for shown, within in ranges.items()},
        },
        "labels": list(WBC_CLASSES),
        "attributes": {name: list(values) for name, values in ATTRIBUTES.items()},
        "temperature": 1.0,
        "thresholds": {"abstain_below": 0.5},
        "explanation_layer": body.explanation_layer,
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
        "field": _median(_fields(data)["pbc"]),
    }


def stain_ranges(data: Path) -> dict[str, list[StainRange]]:
    """Measure how the stain of each training laboratory varies, on its cells and where there are any on its
    fields.

    Every field counts twice, whole and as its rim, because the share of white cells varies between fields and
    is no matter of stain.
    """
    cells = [
        [stain.sample(read_rgb(path)) for path in thinned(_single_cells(laboratory, data), RANGE_IMAGES)]
        for laboratory in LABORATORIES.values()
        if laboratory.index is None
    ]
    fields = [
        [stain.sample(part) for path in files for image in [read_rgb(path)] for part in (image, rim(image))]
        for files in _fields(data).values()
    ]
    return {
        "cell": [StainRange.of(joined(sampled), STAIN_LIMIT) for sampled in cells],
        "field": [StainRange.of(joined(sampled), STAIN_LIMIT) for sampled in fields],
    }


def _single_cells(laboratory: Laboratory, data: Path) -> list[Path]:
    return [cell.path for cell in laboratory.cells(data, TRAIN)]


def _fields(data: Path) -> dict[str, list[Path]]:
    """Return the training fields of the laboratories whose white cells were learnt from."""
    folder = data / "fields_txl"
    rows = rows_of(folder / INDEX, {"split": TRAIN}, ("file", "source"))
    listed = {
        source: [folder / row["file"] for row in rows if row["source"] == source] for source in FIELD_SOURCES
    }
    return {**listed, "bcisc": sorted((data / "fields_bcisc" / "images").glob("*.jpg"))}


def rim(field: Image) -> list[Image]:
    """Return the four strips along the border of a field, uint8 RGB."""
    return [field[:RIM], field[-RIM:], field[RIM:-RIM, :RIM], field[RIM:-RIM, -RIM:]]


def thinned(listed: Sequence[Item], about: int) -> Sequence[Item]:
    """Return every n-th of a list, so that about the wanted number is left."""
    return listed[:: max(1, len(listed) // about)]


def _median(files: Sequence[Path]) -> stain.Reference:
    fitted = [stain.reinhard(read_rgb(path)) for path in thinned(files, REFERENCE_IMAGES)]
    means = np.median([reference.mean for reference in fitted], axis=0).round(3).tolist()
    spreads = np.median([reference.std for reference in fitted], axis=0).round(3).tolist()
    return stain.Reference(tuple(means), tuple(spreads))
