"""The model card of the segmentation network: what it is, what it was made from, how far to trust it."""

from dataclasses import asdict
from typing import Any

from inference.pipeline.config import CellConfig
from inference.pipeline.findings import Kind
from inference.pipeline.networks import registry
from inference.pipeline.segmentation_star import KINDS, WORK_UM
from inference.training.segmentation import CONTRACT, Recipe

VERSION = "1.0.0"

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
        "Boxes of fields_txl say which cells exist. Outlines were made from them: the stained area in the"
        " box, and where cells overlap the ellipse in the box, narrowed to the width of the free cells.",
        "Stained area outside all boxes was neither taught as a cell nor as background.",
        "Fields of rbc_chula and images of wbc_pbc and wbc_apl were labelled by the network itself after its"
        " first epochs on the boxes, where a point label, the middle of a single-cell image or a high"
        " confidence bore it out; what else is stained there was left open.",
        "Further windows were composed by laying cells of one field on another, stain upon stain.",
    ],
    "limits": [
        "Outlines were learnt from the stain, not from a person's drawing; no set has masks of every cell.",
        "Platelets were learnt from about 480 boxes.",
        "Clumps of more than a few red cells on top of each other are counted low.",
    ],
}


def draft(sha256: str, recipe: Recipe) -> dict[str, Any]:
    """Write the card of a network whose confidences are not calibrated yet."""
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
        "calibration": {kind.value: [1.0, 0.0] for kind in Kind},
        "explanation_layer": "",
        "training": asdict(recipe),
        "metrics": [],
    }
