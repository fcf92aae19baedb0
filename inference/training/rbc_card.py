"""The model card of the red-cell network: what it is, what it was made from, how far to trust it."""

from dataclasses import asdict
from typing import Any, cast

from inference.pipeline.config import RBC_SHAPES, RBC_SIZES, RBC_UNTRAINED
from inference.pipeline.networks import pretrained
from inference.pipeline.networks.runtime import FromPixels
from inference.training.rbc_cells import EVERY, PER_FIELD
from inference.training.wbc import Recipe

VERSION = "2.1.0"
TEXT: dict[str, Any] = {
    "task": "name the shape of single red cells of a peripheral blood smear in Romanowsky stains",
    "intended_use": "For Research Use Only. Not for use in diagnostic procedures. Proposes a shape for each"
    " segmented red cell to a person who reviews it.",
    "data": [
        {
            "name": "rbc_chula",
            "origin": "Chula RBC-12, Chulalongkorn University; points in fields of one microscope",
            "licence": "MIT",
        },
        {
            "name": "rbc_sickle_uganda",
            "origin": "Tushabe et al. 2024, phones through the eyepiece; of the training cells one in"
            f" {EVERY}, and of every crop at most one round neighbour as normal",
            "licence": "research use",
        },
        {
            "name": "slides/phone_field_0.jpg (training) and phone_field_1.jpg (validation)",
            "origin": "Tushabe et al. 2024; unlabelled round cells taken as normal",
            "licence": "research use",
        },
        {
            "name": "fields_txl",
            "origin": "TXL-PBC (BCCD, Raabin, PBC); at most"
            f" {PER_FIELD} unlabelled round, well-outlined cells of each field taken as normal",
            "licence": "MIT for the boxes; pixels of Raabin-WBC for research use",
        },
        {
            "name": "staging_taleqani",
            "origin": "Blood Cells Cancer (ALL), Taleqani Hospital; of every fourth field at most"
            f" {PER_FIELD} unlabelled round, well-outlined cells taken as normal",
            "licence": "research use",
        },
    ],
    "split": "column split of each index.csv: train for the weights, val for temperature and thresholds; by"
    " near-duplicate group in rbc_chula and by source image in rbc_sickle_uganda, without patient identity,"
    " so figures on them are optimistic; in fields_txl by field, in staging_taleqani by fold",
    "class_mapping": {**dict.fromkeys(RBC_SIZES, "normal"), "uncategorised": "left out"},
    "not_trained": list(RBC_UNTRAINED),
    "decided_by_measurement": list(RBC_SIZES),
    "limits": [
        "Of the classes under thresholds.rarely_found the network names fewer than half of the validation"
        " cells: that it calls none says nothing.",
        "malaria_infected: not trained; there are no licensed colour data. Such a cell is called something"
        " else.",
        "Macrocytes and microcytes are told from normal cells by their measured diameter alone.",
        "Sickle cells were learnt from one source only, all other shapes but normal from one other source;"
        " elliptocytes come from fields with a stain of their own, which may be a part of what tells them.",
        "Of a camera that it has not learnt from the network may call normal cells sickle cells: of benign"
        " fields of staging_taleqani, before it learnt from that laboratory, 37 %, and 8 % since.",
        "A crop is scaled to the cell, so absolute cell size is not seen.",
        "The cells taken as normal without a label may hold some of another shape.",
        "A cell that touches another and was not taken apart from it is not classified as it should be.",
    ],
}


def draft(recipe: Recipe, sha256: str, network: FromPixels) -> dict[str, Any]:
    """Write the card of a network that is not calibrated yet."""
    return {
        "name": recipe.name,
        "version": VERSION,
        "sha256": sha256,
        **TEXT,
        "data": [*TEXT["data"], *pretrained.origin(recipe.backbone, recipe.init)],
        "architecture": recipe.architecture,
        "input": {
            **asdict(recipe.contract),
            "colour": "RGB",
            "normalisation": "(pixel / 255 - mean) / std",
        },
        "labels": list(RBC_SHAPES),
        "temperature": 1.0,
        "thresholds": {"abstain_below": 0.5},
        "explanation_layer": cast(Any, network.network).explanation_layer,
        "training": asdict(recipe),
        "metrics": [],
    }
