"""The model card of the white-cell network: what it is, what it was made from, how far to trust it."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np

from inference.pipeline import stain
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.findings import Image
from inference.pipeline.networks import pretrained, registry
from inference.pipeline.networks.runtime import FromPixels
from inference.pipeline.stain_range import StainRange, joined
from inference.training.attributes import ATTRIBUTES
from inference.training.evaluate_segmentation import read_rgb
from inference.training.exports import Export
from inference.training.labels import INDEX, LEFT_OUT, SUBTYPES, rows_of
from inference.training.laboratories import LABORATORIES, TRAIN, thinned
from inference.training.proposed_cells import Proposed
from inference.training.wbc import Recipe

VERSIONS = {registry.WBC_NETWORK: "2.0.0", registry.SECOND_NETWORK: "3.0.0"}
FIELDS = {"pbc": "fields_txl", "raabin": "fields_txl", "bcisc": "fields_bcisc"}
"""The folders with fields of the laboratories whose white cells are learnt from, of those that have any."""

REFERENCE_IMAGES = 120
RANGE_IMAGES = 400
RIM = 50
"""Width in px of the rim of a field, which holds few white cells."""
STAIN_LIMIT = 4.0
"""Distance to the nearest laboratory's range from which a stain is beyond normalisation.

benchmarks/stain_range.py gives the shares of images beyond it. With the ranges of the four laboratories that
have images of single cells, none of 201 training and 263 validation cells of wbc_pbc lay beyond it, as they
are and blurred, and 8.5 and 11 % of them with the densities changed by up to 25 %; its other sets were not
measured with these ranges. Stains never learnt from: see tests/inference/pipeline/test_stain_range.py."""

DATA = {
    "pbc": {
        "name": "wbc_pbc",
        "origin": "Acevedo et al. 2020, Hospital Clínic Barcelona",
        "licence": "CC BY 4.0",
    },
    "apl": {
        "name": "wbc_apl",
        "origin": "DeepAPL, Johns Hopkins Hospital, patients with acute myeloid leukaemia",
        "licence": "copyright line only; research use",
    },
    "chula": {
        "name": "wbc_chula",
        "origin": "Chulalongkorn University, low-cost camera",
        "licence": "MIT",
    },
    "bcisc": {"name": "wbc_ood_bcisc", "origin": "BCISC, another microscope", "licence": "Apache-2.0"},
    "raabin": {
        "name": "fields_txl, white cells of the Raabin fields",
        "origin": "Raabin-WBC, two microscopes with phone cameras, boxes of TXL-PBC",
        "licence": "MIT for the boxes; pixels for research use",
    },
}
"""What a card says of the cells of each laboratory."""

INTENDED_USE = {
    registry.WBC_NETWORK: "Proposes a class for each segmented cell to a person who reviews it.",
    registry.SECOND_NETWORK: "A second opinion on each segmented cell: where it disagrees with the first"
    " network's call, a person looks at the cell. Its own calls are counted nowhere.",
}

ONE_LABORATORY = "Blasts and artifacts (smudge cells) were learnt from one laboratory only."
PROPOSED_BLASTS = (
    "Artifacts (smudge cells) and blasts that a person named were learnt from one laboratory only."
    " Lymphoblasts of a second were named after the stage of their field, which says nothing of a single"
    " cell, and no test set has lymphoblasts that a person named."
)

More = tuple[Sequence[Export], Sequence[Proposed]]
"""What a network learnt from beside the product's sets: exports of laboratories, and proposed cells."""
NO_MORE: More = ((), ())

TEXT: dict[str, Any] = {
    "task": "name single white cells of a peripheral blood smear in Romanowsky stains",
    "split": "column split of each index.csv: train (of wbc_ood_bcisc all of it) for the weights, val for"
    " temperature and thresholds; by patient in wbc_apl, by slide in wbc_chula, without patient identity in"
    " wbc_pbc, so figures on wbc_pbc are optimistic; in fields_txl by field, not by smear",
    "class_mapping": {**SUBTYPES, **dict.fromkeys(LEFT_OUT, "left out")},
    "limits": [
        "Immature cells and platelets were learnt from CellaVision scanners only; with other cameras and"
        " stains it is less accurate, above all where cells are blurred.",
        "A crop is scaled to the cell, so absolute cell size is not seen.",
        "Plasma cells and other kinds outside the labels are called one of the labels.",
        "Promonocytes count as blast equivalents; bands and segmented neutrophils are not told apart.",
    ],
}


def draft(
    recipe: Recipe, sha256: str, network: FromPixels, data: Path, more: More = NO_MORE
) -> dict[str, Any]:
    """Write the card of a network that is not calibrated yet.

    `more` are the exports and the proposed cells that were learnt from as well. One that learnt from exports
    has the beginning of its sha256 in its version.
    """
    (exports, _), held_out, body = more, recipe.held_out, cast(Any, network.network)
    return {
        "name": recipe.name,
        "version": VERSIONS[recipe.name] + (f"+{sha256[:8]}" if exports else ""),
        "sha256": sha256,
        "intended_use": f"For Research Use Only. Not for use in diagnostic procedures."
        f" {INTENDED_USE[recipe.name]}",
        **TEXT,
        **learnt_from(recipe, more),
        "architecture": recipe.architecture,
        "input": {
            **asdict(recipe.contract),
            "colour": "RGB",
            "normalisation": "(pixel / 255 - mean) / std",
            "stain_references": {
                shown: asdict(reference) for shown, reference in stain_references(data, held_out).items()
            },
            "macenko_references": macenko_references(data, held_out),
            "stain_ranges": {
                shown: [one.as_data() for one in within]
                for shown, within in stain_ranges(data, held_out).items()
            },
        },
        "labels": list(WBC_CLASSES),
        "attributes": {name: list(values) for name, values in ATTRIBUTES.items()},
        "temperature": 1.0,
        "thresholds": {"abstain_below": 0.5},
        "explanation_layer": body.explanation_layer,
        "training": asdict(recipe),
        "metrics": [],
    }


def learnt_from(recipe: Recipe, more: More = NO_MORE) -> dict[str, Any]:
    """Return what the card says of the data: those of the laboratories learnt from, exports and proposed
    cells among them, what the first weights brought along, and which laboratories were held out."""
    (exports, proposed), held_out = more, recipe.held_out
    learnt = [text for name, text in DATA.items() if name not in held_out]
    learnt += [one.told for one in proposed]
    learnt += pretrained.origin(recipe.backbone, recipe.init)
    without = ", ".join(text["name"] for name, text in DATA.items() if name in held_out)
    limits = [PROPOSED_BLASTS if proposed else ONE_LABORATORY, *TEXT["limits"]]
    if without:
        limits.append(
            f"Held out, not learnt from: {without}. Classes that no other set shows were not learnt."
        )
    if not exports:
        return {"data": learnt, "limits": limits}
    names = ", ".join(export.laboratory.name for export in exports)
    limits.append(
        f"Learnt also from {names}: cells that people there confirmed, mostly ones that a network before was"
        " unsure of. The ranges of stains are those of the other sets."
    )
    return {
        "data": [*learnt, *(export.told for export in exports)],
        "limits": limits,
        "split": f"{TEXT['split']}; in {names} by patient",
    }


def stain_references(data: Path, held_out: Collection[str] = ()) -> dict[str, stain.Reference]:
    """Measure the training stain on images of single cells and on fields of the same scanner, each as the
    median over training images; nothing where no laboratory learnt from has both."""
    return {shown: _median(files) for shown, files in _references(data, held_out).items()}


def macenko_references(data: Path, held_out: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Measure the two stains of the same images by Macenko's method, as plain JSON types."""
    return {
        shown: stain.as_data(
            stain.fit([read_rgb(path) for path in thinned(of, REFERENCE_IMAGES)], stain.Method.MACENKO)
        )
        for shown, of in _references(data, held_out).items()
    }


def _references(data: Path, held_out: Collection[str]) -> dict[str, list[Path]]:
    """Return the images of single cells and the fields of the first laboratory learnt from that has both."""
    cells, fields = _single_cells(data, held_out), _fields(data, held_out)
    both = next((name for name in cells if name in fields), None)
    return {"cell": cells[both], "field": fields[both]} if both else {}


def stain_ranges(data: Path, held_out: Collection[str] = ()) -> dict[str, list[StainRange]]:
    """Measure how the stain of each laboratory learnt from varies, on its cells and where there are any on
    its fields.

    Every field counts twice, whole and as its rim, because the share of white cells varies between fields and
    is no matter of stain.
    """
    cells = [
        [stain.sample(read_rgb(path)) for path in thinned(files, RANGE_IMAGES)]
        for files in _single_cells(data, held_out).values()
    ]
    fields = [
        [stain.sample(part) for path in files for image in [read_rgb(path)] for part in (image, rim(image))]
        for files in _fields(data, held_out).values()
    ]
    return {
        "cell": [StainRange.of(joined(sampled), STAIN_LIMIT) for sampled in cells],
        "field": [StainRange.of(joined(sampled), STAIN_LIMIT) for sampled in fields],
    }


def _single_cells(data: Path, held_out: Collection[str]) -> dict[str, list[Path]]:
    """Return the training images of single cells, by laboratory."""
    return {
        name: [cell.path for cell in laboratory.cells(data, TRAIN)]
        for name, laboratory in LABORATORIES.items()
        if laboratory.index is None and name not in held_out
    }


def _fields(data: Path, held_out: Collection[str]) -> dict[str, list[Path]]:
    """Return the training fields, by laboratory."""
    return {name: _fields_of(name, data / folder) for name, folder in FIELDS.items() if name not in held_out}


def _fields_of(name: str, folder: Path) -> list[Path]:
    if name == "bcisc":
        return sorted((folder / "images").glob("*.jpg"))
    rows = rows_of(folder / INDEX, {"source": name, "split": TRAIN})
    return [folder / row["file"] for row in rows]


def rim(field: Image) -> list[Image]:
    """Return the four strips along the border of a field, uint8 RGB."""
    return [field[:RIM], field[-RIM:], field[RIM:-RIM, :RIM], field[RIM:-RIM, -RIM:]]


def _median(files: Sequence[Path]) -> stain.Reference:
    fitted = [stain.reinhard(read_rgb(path)) for path in thinned(files, REFERENCE_IMAGES)]
    means = np.median([reference.mean for reference in fitted], axis=0).round(3).tolist()
    spreads = np.median([reference.std for reference in fitted], axis=0).round(3).tolist()
    return stain.Reference(tuple(means), tuple(spreads))
