"""What cell classes, kinds, stages and reasons are called on pages and in reports."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

CLASS_NAMES: dict[str, Promise] = {
    "neutrophil": _("Neutrophil"),
    "eosinophil": _("Eosinophil"),
    "basophil": _("Basophil"),
    "lymphocyte": _("Lymphocyte"),
    "monocyte": _("Monocyte"),
    "immature_granulocyte": _("Immature granulocyte"),
    "blast": _("Blast"),
    "erythroblast": _("Erythroblast"),
    "platelet": _("Platelet"),
    "artifact": _("Artifact"),
}

KIND_NAMES: dict[str, Promise] = {
    "WBC": _("White cells"),
    "RBC": _("Red cells"),
    "platelet": _("Platelets"),
}

REASON_NAMES: dict[str, Promise] = {
    "low_confidence": _("confidence below 0.7"),
    "abstained": _("the network abstained"),
    "blast": _("called a blast"),
    "out_of_distribution": _("unlike the cells the network was trained on"),
    "stain": _("stain beyond what the network was trained on"),
    "off_cell": _("the network looked beside the cell"),
    "networks_disagree": _("two networks disagree"),
    "called_again": _("called otherwise on a second look"),
    "second_reader": _("the second reader doubts the call"),
    "contradicted": _("the words contradict the call"),
}

LEUKEMIA_NAMES: dict[str, Promise] = {
    "benign": _("Benign"),
    "early_pre_b": _("Early pre-B ALL"),
    "pre_b": _("Pre-B ALL"),
    "pro_b": _("Pro-B ALL"),
}
"""What the staging network tells apart, in the order of its probabilities."""

NOT_STAGEABLE = "not_stageable"
"""What a person can say of a smear instead of a stage."""

STAGING_ANSWERS: dict[str, Promise] = {**LEUKEMIA_NAMES, NOT_STAGEABLE: _("Not stageable")}

STAGING_REASONS: dict[str, Promise] = {
    "leukemia": _("a stage of leukemia was called"),
    "networks_disagree": _("the share of blasts that the white-cell network called does not fit the stage"),
    "low_confidence": _("no stage is probable enough"),
    "few_fields": _("few fields could be staged"),
    "fields_disagree": _("the fields disagree"),
    "not_stageable": _("no field could be staged"),
}
"""Why a person must look at the staging of a smear."""

FIELD_STATES: dict[str, Promise] = {
    "staged": _("staged"),
    "few_nucleated_cells": _("too few nucleated cells"),
    "colours_outside_training": _("colours outside the training range"),
}
"""What became of a field in staging."""

STAGING_STATUSES: dict[str, Promise] = {
    "not_requested": _("not requested"),
    "waiting": _("not finished"),
    "failed": _("failed"),
    "not_stageable": _("not stageable"),
    "abstained": _("the network abstained"),
    "staged": _("staged"),
}

METHOD_NAMES: dict[str, Promise] = {
    "hires_cam": _("HiResCAM"),
    "grad_cam": _("Grad-CAM"),
    "grad_cam_pp": _("Grad-CAM++"),
    "eigen_cam": _("Eigen-CAM"),
}
"""The ways to make a heat map, the usual one first."""

REMEDY_NAMES: dict[str, Promise] = {
    "none": _("as it is"),
    "reinhard": _("stain normalised (Reinhard)"),
    "macenko": _("stain normalised (Macenko)"),
    "tight": _("cut out tighter, without surroundings"),
}
"""What is tried where a call is in doubt."""

VERDICTS: dict[str, Promise] = {
    "on_cell": _("the evidence lies on the cell"),
    "off_cell": _("the evidence lies beside the cell"),
    "unclear": _("unclear where the evidence lies"),
    "yes": _("finds the call plausible"),
    "no": _("does not find the call plausible"),
    "unsure": _("is not sure of the call"),
}
"""What a second reader says about a call."""

STAGE_NAMES: dict[str, Promise] = {
    "quality": _("Image quality"),
    "stain": _("Stain normalisation"),
    "segmentation": _("Finding cells"),
    "classification": _("Calling white cells"),
    "explanation": _("Explaining unsure calls"),
    "staging": _("Staging"),
    "aggregation": _("Counting"),
    "saving": _("Saving"),
}
"""The stages of the pipeline, in its order, and then the saving of what it found."""

QUALITY_PARTS: dict[str, Promise] = {
    "focus": _("Focus"),
    "stain": _("Stain"),
    "exposure": _("Exposure"),
    "coverage": _("Covered by cells"),
    "clumping": _("Cells lie apart"),
}
"""The parts of the quality score; of each 1 is best."""

OUTCOMES: dict[str, Promise] = {
    "usable": _("Usable"),
    "rescan": _("Low quality: re-scan"),
    "stain_review": _("Stain beyond normalisation: flagged for review"),
}
"""What the quality of an image means for its reader."""

TILE_STATES: dict[str, Promise] = {
    "analysed": _("analysed"),
    "background": _("empty glass"),
    "blurred": _("out of focus"),
    "failed": _("could not be analysed"),
}

SOURCE_NAMES: dict[str, Promise] = {
    "declared": _("as entered with the case"),
    "metadata": _("as written in the image file"),
    "estimated": _("estimated from the red cells"),
}

CLASS_KEYS: dict[str, str] = {
    "neutrophil": "n",
    "eosinophil": "e",
    "basophil": "b",
    "lymphocyte": "l",
    "monocyte": "m",
    "immature_granulocyte": "i",
    "blast": "k",
    "erythroblast": "r",
    "platelet": "p",
    "artifact": "a",
}
"""The key that gives a cell this class in review; u, c and Enter are taken by undo, comment and confirm."""


def _name(table: dict[str, Promise], key: str) -> str:
    """A key that has no name yet is shown as it is, with spaces."""
    return str(table.get(key) or key.replace("_", " "))


def class_name(label: str) -> str:
    return _name(CLASS_NAMES, label)


def kind_name(kind: str) -> str:
    return _name(KIND_NAMES, kind)


def reason_name(reason: str) -> str:
    return _name(REASON_NAMES, reason)


def leukemia_name(stage: str) -> str:
    return _name(STAGING_ANSWERS, stage)


def staging_reason_name(reason: str) -> str:
    return _name(STAGING_REASONS, reason)


def field_state_name(state: str) -> str:
    return _name(FIELD_STATES, state)


def staging_status_name(status: str) -> str:
    return _name(STAGING_STATUSES, status)


def method_name(method: str) -> str:
    return _name(METHOD_NAMES, method)


def remedy_name(remedy: str) -> str:
    return _name(REMEDY_NAMES, remedy)


def verdict_name(verdict: str) -> str:
    return _name(VERDICTS, verdict)


def stage_name(stage: str) -> str:
    return _name(STAGE_NAMES, stage)


def outcome_name(outcome: str) -> str:
    return _name(OUTCOMES, outcome)


def tile_state_name(state: str) -> str:
    return _name(TILE_STATES, state)


def source_name(source: str) -> str:
    return _name(SOURCE_NAMES, source)
