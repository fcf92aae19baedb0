"""The model cards of the segmentation networks: what each is, what it was made from, how far to trust it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference.pipeline import segmentation
from inference.pipeline.config import CellConfig, SegmentationEngine
from inference.pipeline.findings import Kind
from inference.pipeline.networks import registry
from inference.pipeline.segmentation_engine import Engine
from inference.pipeline.segmentation_star import KINDS, WORK_UM
from inference.training.evaluate_segmentation import evaluate
from inference.training.labels import INDEX, rows_of
from inference.training.laboratories import VAL
from inference.training.segmentation_windows import CONTRACT, Recipe

VERSION = "1.1.0"
VERSION_OF_OTHERS = "1.0.0"
COMMAND = "python -m inference.training segmentation"

FROM_BOXES = (
    "Boxes of fields_txl say which cells exist. Outlines were made from them: the stained area in the"
    " box, and where cells overlap the ellipse in the box, narrowed to the width of the free cells."
)
FROM_MASKS = "White cells of fields_bcisc were taught as their masks show them."
COMPOSED = (
    "Further windows were composed by laying cells of one field on another, stain upon stain; every fifth"
    " window was stretched, so that round cells became long ones."
)
"""What is true of the labels of every engine."""

TEXT: dict[str, Any] = {
    "task": "find white cells, red cells and platelets in a peripheral blood smear in Romanowsky stains, each"
    " with its outline",
    "intended_use": "For Research Use Only. Not for use in diagnostic procedures. Proposes cells to a person"
    " who reviews them.",
    "data": [
        {
            "name": "fields_txl, split train",
            "origin": "TXL-PBC: fields of BCCD, Raabin-WBC and Barcelona with boxes of all cells",
            "licence": "MIT; Raabin-WBC pixels for research",
        },
        {
            "name": "fields_bcisc, smears with even numbers",
            "origin": "BCISC fields with masks of white cells",
            "licence": "Apache-2.0",
        },
        {
            "name": "staging_taleqani, split train",
            "origin": "fields of the bone-marrow laboratory of Taleqani Hospital, Tehran; cells not labelled",
            "licence": "research use",
        },
        {
            "name": "rbc_chula, split train",
            "origin": "Chula RBC-12 fields with point labels",
            "licence": "MIT",
        },
        {
            "name": "wbc_pbc, split train",
            "origin": "Acevedo et al. 2020, Hospital Clínic Barcelona, single cells in context",
            "licence": "CC BY 4.0",
        },
        {
            "name": "wbc_apl, split train",
            "origin": "DeepAPL, Johns Hopkins Hospital, single cells of acute myeloid leukaemia",
            "licence": "copyright line only; research use",
        },
    ],
    "labels_made": [
        FROM_BOXES,
        FROM_MASKS,
        "Stained area outside all boxes was neither taught as a cell nor as background.",
        "The rest of fields_bcisc, fields of rbc_chula and staging_taleqani, images of wbc_pbc and wbc_apl"
        " were labelled by an earlier state of the network, where a point label, the middle of a single-cell"
        " image or a high confidence bore it out; what else is stained there was left open. In"
        " staging_taleqani the nuclear stain in a cell decided whether it is white.",
        COMPOSED,
    ],
    "limits": [
        "Outlines were learnt from the stain, not from a person's drawing; no set has masks of every cell.",
        "Platelets were learnt from about 480 boxes, and from what the network found itself.",
        "White cells of which the border of a field shows a part are now and then taken for red ones.",
        "In staging_taleqani, of which no cell was labelled by a person, pale blasts are missed or taken for"
        " red cells.",
        "Clumps of more than a few red cells on top of each other are counted low.",
    ],
}


LABELS_MADE_FOR_OTHERS = [
    FROM_BOXES,
    FROM_MASKS,
    "The rest of fields_bcisc, fields of rbc_chula and staging_taleqani, and images of wbc_pbc and wbc_apl"
    " were labelled by the network of the default engine, where a point label, the middle of a single-cell"
    " image or a high confidence bore it out.",
    "What else is stained was painted over in the colour of the ground, as the losses know cells and"
    " background only.",
    COMPOSED,
]


def draft(sha256: str, recipe: Recipe) -> dict[str, Any]:
    """Write the card of the default engine's network, whose confidences are not calibrated yet."""
    return {
        "name": registry.SEGMENTATION_NETWORK,
        "version": VERSION,
        "sha256": sha256,
        **TEXT,
        "architecture": recipe.architecture,
        "input": {
            **asdict(CONTRACT),
            "colour": "RGB",
            "normalisation": "(pixel / 255 - mean) / std",
            "pixel_um": WORK_UM,
        },
        "labels": [kind.value for kind in KINDS],
        "temperature": 1.0,
        "thresholds": {
            "abstain_below": CellConfig().min_confidence,
            "chosen": "detections below it are not counted",
        },
        "box_margin_um": dict.fromkeys((kind.value for kind in Kind), 0.0),
        "calibration": {kind.value: [1.0, 0.0] for kind in Kind},
        "explanation_layer": "",
        "training": asdict(recipe),
        "metrics": [],
    }


def draft_of(engine: SegmentationEngine, sha256: str, recipe: Recipe) -> dict[str, Any]:
    """Write the card of another engine's network, which says what is different: its scores are taken as they
    are, and its boxes stand off the outlines as those of the default network, which has the same outlines."""
    card = draft(sha256, recipe)
    del card["calibration"]
    usual = registry.card(registry.SEGMENTATION_NETWORK).text
    return {
        **card,
        "name": registry.segmentation_network(engine),
        "version": VERSION_OF_OTHERS,
        "labels_made": LABELS_MADE_FOR_OTHERS,
        "box_margin_um": usual.get("box_margin_um", card["box_margin_um"]),
    }


def measured(engine: Engine, data: Path, note: str = "", options: str = "") -> dict[str, Any]:
    """Return an engine's figures on the validation fields, as the card has them.

    `note` says what else is to be known of the data, `options` what the command has besides its folders.
    """
    files = [row["file"] for row in rows_of(data / "fields_txl" / INDEX, {"split": VAL})]
    figures = evaluate(data / "fields_txl", lambda image: segmentation.segment(image, chosen=engine), files)
    return {
        "data": f"fields_txl, split val, boxes at IoU 0.5{note}",
        "command": f"{COMMAND}{options} --data DIR --out DIR",
        **{kind: {name: round(value, 4) for name, value in row.items()} for kind, row in figures.items()},
    }
