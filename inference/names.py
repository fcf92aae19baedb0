"""What cell classes, kinds, stages and reasons are called on pages and in reports."""

from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from accounts.ranges import RED_CELLS
from inference.pipeline.red_cell_findings import Grade
from inference.pipeline.stakes import Stake, StakeKind

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
    "normal": _("Normal"),
    **RED_CELLS,
}
"""White cells first, in the order of the taxonomy, then red ones."""

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
    "measures_disagree": _("the measures do not fit the shape it is called"),
}

FLAG_STAKES: dict[str, tuple[Promise, Promise]] = {
    "blast_detected": (_("could raise the blast flag"), _("could take the blast flag back")),
    "possible_leukemia": (_("could bring blasts to 20 %"), _("could bring blasts below 20 %")),
    "left_shift": (_("could raise the left shift flag"), _("could take the left shift flag back")),
    "erythroblasts_present": (
        _("could raise the erythroblast flag"),
        _("could take the erythroblast flag back"),
    ),
}
"""What the call of a cell could do to a flag: raise it, take it back."""

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
    "networks_disagree_by_field": _(
        "in half of the staged fields or more the share of blasts that the white-cell network called does not"
        " fit the stage of the field"
    ),
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

NETWORK_NAMES: dict[str, Promise] = {
    "wbc": _("first network"),
    "wbc_second": _("second network"),
}
"""The networks that call one cell, where several do."""

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
    "classification": _("Calling cells"),
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
"""The key that gives a cell this class in review; u, c, h and Enter are taken by undo, comment, the heat map
and confirm."""

RED_KEYS: dict[str, str] = {
    "normal": "n",
    "macrocyte": "m",
    "microcyte": "i",
    "sickle": "s",
    "target": "t",
    "spherocyte": "p",
    "stomatocyte": "o",
    "ovalocyte": "v",
    "elliptocyte": "e",
    "teardrop": "d",
    "echinocyte": "b",
    "schistocyte": "f",
    "hypochromic": "y",
    "malaria_infected": "l",
    "artifact": "a",
}
"""The same for red cells; echinocytes are burr cells, schistocytes fragments."""

RED_FINDINGS: dict[str, Promise] = {
    "anisocytosis": _("Anisocytosis"),
    "poikilocytosis": _("Poikilocytosis (all abnormal shapes)"),
    "abnormal": _("All but normal cells"),
}
"""What is said of the red cells of a smear beside their classes."""

NOT_GRADED: dict[str, Promise] = {
    "few_cells": _("not gradable: too few cells"),
    "size_estimated": _("not graded: pixel size estimated"),
    "not_trained": _("not trained: no network names it"),
}
"""Why a finding of the red cells has no grade."""


def _name(table: dict[str, Promise], key: str) -> str:
    """A key that has no name yet is shown as it is, with spaces."""
    return str(table.get(key) or key.replace("_", " "))


def class_name(label: str) -> str:
    return _name(CLASS_NAMES, label)


def kind_name(kind: str) -> str:
    return _name(KIND_NAMES, kind)


def red_finding_name(key: str) -> str:
    """A class of red cells, or what is said of all of them together."""
    return _name({**CLASS_NAMES, **RED_FINDINGS}, key)


def grade_note(grade: Grade) -> str:
    """Why a finding has no grade, or which others the interval of its share leaves open."""
    if grade.needed:
        numbers = {"counted": f"{grade.counted:,}", "needed": f"{grade.needed:,}"}
        return _t("not gradable: %(counted)s counted, %(needed)s needed") % numbers
    if grade.not_graded:
        return str(NOT_GRADED[grade.not_graded])
    if not grade.is_open:
        return ""
    low, high = (f"{end}+" if end else "0" for end in (grade.low, grade.high))
    return _t("the interval reaches from %(low)s to %(high)s") % {"low": low, "high": high}


def reason_name(reason: str) -> str:
    return _name(REASON_NAMES, reason)


def stake_name(stake: Stake) -> str:
    """What the call of a cell could change, in words: "could raise the blast flag"."""
    facts = {
        "name": class_name(stake.key).lower(),
        "limit": f"{stake.limit:g}" if stake.limit is not None else "",
    }
    if stake.kind is StakeKind.FLAG:
        raised, taken_back = FLAG_STAKES[stake.key]
        return str(raised if stake.up else taken_back)
    if stake.kind is StakeKind.GRADE:
        text = _t("could raise the grade: %(name)s") if stake.up else _t("could lower the grade: %(name)s")
        return text % facts
    if stake.up:
        return _t("could take the %(name)s share above %(limit)s %%") % facts
    return _t("could take the %(name)s share below %(limit)s %%") % facts


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


def network_name(network: str) -> str:
    return _name(NETWORK_NAMES, network)


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
