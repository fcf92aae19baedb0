"""The model card of a staging network: what it is, what it was made from, how far to trust it."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.pipeline import stain
from inference.pipeline.config import STAGES_OF_LEUKEMIA
from inference.pipeline.networks import pretrained, registry
from inference.pipeline.networks.staging import ARCHITECTURES, StagingNetwork
from inference.pipeline.segmentation_scale import estimate_pixel_um
from inference.pipeline.stain_range import StainRange, joined
from inference.training.laboratories import thinned
from inference.training.staging import Recipe
from inference.training.staging_fields import FIELD_PX, FOLDER, IMAGE_PX, NAMES, Fields

VERSIONS = {"efficientnet_lite0_lstm": "2.0.0"}
"""The version of a network by its architecture, 1.0.0 where it is not listed."""

SCALE_FIELDS = 120
SQUEEZE = 1.25
"""How many times wider than high a field is that the set shows as a square: the median height of 4,731 whole
red cells in 122 training fields over their width."""

ACCEPTED = 0.99
"""The share of the fields kept for choosing whose colours are to count as those of the training."""

TEXT: dict[str, Any] = {
    "task": "stage fields of a smear as benign, early pre-B, pre-B or pro-B (acute lymphoblastic leukaemia)",
    "intended_use": "For Research Use Only. Not for use in diagnostic procedures. Proposes a stage to a"
    " person who reviews it, where a clinician asked for it.",
    "data": [
        {
            "name": FOLDER,
            "origin": "Taleqani Hospital, Tehran: Blood Cells Cancer (ALL), Kaggle",
            "licence": "research use",
        }
    ],
    "split": "folds 0 to 2 of index.csv are learnt from, but for block 12 of fold 2, on which temperature and"
    " thresholds are chosen; fold 3 (split val) tests. Near duplicates lie in one fold. The set has no"
    " patient ids.",
    "class_mapping": NAMES,
    "limits": [
        "No patient-disjoint test exists: the set does not say which images belong to one patient, so"
        " accuracy on other patients is not known.",
        "All fields are from one laboratory, chosen by hand, and stage and stain go together in them: 24"
        " global colour figures alone stage 98.6 % of the test fields as they are, and 54.7 % of them as"
        " training augments them. What else images of a smear share, as focus, thickness and rouleaux, may"
        " still tell the stage.",
        "The burnt-in corner of the set's images alone, which no staging network sees, stages 85.9 % of them;"
        " the commonest stage alone would be right in 30.8 %.",
        "The set's images were squeezed into squares and reduced to 224 px; fine chromatin is not seen.",
        "Fields of other laboratories were never tested; colours unlike the training's are not staged.",
    ],
}

SEEN = {
    "own": "the optical density of each channel",
    "grey": "the optical density summed over the channels",
    "both": "the optical density of each channel and, as a fourth, their sum",
}
"""What a network takes of a field before it is set against itself, by its name in `staging.STAINS`."""

SHORTCUTS = {
    "the commonest stage": 0.308,
    "the burnt-in corner alone, which no staging network sees": 0.859,
    "24 global colour figures, fields as they are": 0.986,
    "24 global colour figures, fields as training augments them": 0.547,
    "12 colour figures against the field's own stain, fields as they are": 0.900,
    "12 colour figures against the field's own stain, fields as training augments them": 0.514,
}
"""What of fold 3 is staged rightly by whoever knows only this of a field; of the set, not of a network."""


def baselines() -> list[dict[str, Any]]:
    """Return the figures beside which those of every staging network are to be read."""
    return [
        {
            "data": f"no network: fold 3 by {known}",
            "command": "python benchmarks/staging_shortcuts.py DATA",
            "n": 639,
            "accuracy": accuracy,
        }
        for known, accuracy in SHORTCUTS.items()
    ]


def draft(recipe: Recipe, last: int, sha256: str, fields: tuple[Fields, Fields]) -> dict[str, Any]:
    """Write the card of a network that is not calibrated yet, trained to the epoch `last` of its recipe;
    `fields` are those learnt from and those kept for choosing."""
    learn, choose = fields
    return {
        "name": registry.STAGING_NETWORK,
        "version": VERSIONS.get(recipe.architecture, "1.0.0"),
        "sha256": sha256,
        **TEXT,
        "data": [
            *TEXT["data"],
            *pretrained.origin(ARCHITECTURES[recipe.architecture].backbone, recipe.init),
        ],
        "architecture": recipe.architecture,
        "input": {
            **asdict(recipe.contract),
            "colour": "RGB",
            "stain": recipe.stain,
            "normalisation": f"(pixel / 255 - mean) / std; the network itself takes {SEEN[recipe.stain]},"
            " less its mean over the field, over its standard deviation there",
            "field": field_size(learn.images),
            "stain_ranges": {"field": [_range(learn.images, choose.images).as_data()]},
        },
        "labels": list(STAGES_OF_LEUKEMIA),
        "temperature": 1.0,
        "thresholds": {"abstain_below": 0.5},
        "explanation_layer": StagingNetwork.explanation_layer,
        "training": {**asdict(recipe), "stopped_after": last},
        "metrics": baselines(),
    }


def field_size(images: NDArray[np.uint8]) -> dict[str, float]:
    """Measure how large a field is, by the red cells in some of the training fields, FIELD_PX square."""
    scales = [estimate_pixel_um(np.ascontiguousarray(field)) for field in thinned(list(images), SCALE_FIELDS)]
    known = [scale for scale in scales if scale]
    side = FIELD_PX * float(np.median(known)) if known else 0.0
    return {
        "width_um": round(side * SQUEEZE**0.5, 1),
        "height_um": round(side / SQUEEZE**0.5, 1),
        "window_px": FIELD_PX,
        "image_px": IMAGE_PX,
    }


def _range(learn: NDArray[np.uint8], choose: NDArray[np.uint8]) -> StainRange:
    """Measure how the stain of fields varies; the limit is what ACCEPTED of the fields kept for choosing stay
    within."""
    within = StainRange.of(joined([stain.sample(field) for field in learn]), 1.0)
    away = [within.distance(figures) for figures in joined([stain.sample(field) for field in choose])]
    return StainRange(within.centre, within.covariance, round(float(np.quantile(away, ACCEPTED)), 3))
