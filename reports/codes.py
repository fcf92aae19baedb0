"""Which code each figure of a report goes out under, and the list of figures FHIR and HL7 both write.

LOINC: the "Manual count" codes, because a person confirmed the cells. Immature granulocytes have no manual
code of their own, so theirs names no method. Counts of cells seen in a field are not counts per volume:
LOINC has no code for them, and they go out under local ones.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import NAMESPACE_URL, uuid5

from .content import ReportContent, rounded


class System(StrEnum):
    LOINC = "http://loinc.org"
    LOCAL = f"urn:uuid:{uuid5(NAMESPACE_URL, 'wbc-portal/figures')}"
    IDS = f"urn:uuid:{uuid5(NAMESPACE_URL, 'wbc-portal/ids')}"


@dataclass(frozen=True, slots=True)
class Code:
    code: str
    display: str
    system: System = System.LOINC
    names_method: bool = True


PANEL = Code("24318-8", "Manual Differential panel - Blood")
DOCUMENT = Code("11502-2", "Laboratory report")
COMMENT = Code("58445-8", "Manual differential comment [Interpretation] in Blood Narrative")
CELLS_COUNTED = Code("11282-1", "Cells Counted Total [#] in Blood", names_method=False)
RED_CELL_MORPHOLOGY = Code(
    "6742-1", "Erythrocyte morphology finding [Identifier] in Blood", names_method=False
)
STAGING = Code("leukemia-staging", "Leukemia staging of the smear", System.LOCAL, False)
CLASSES = {
    "neutrophil": Code("23761-0", "Neutrophils/Leukocytes in Blood by Manual count"),
    "eosinophil": Code("714-6", "Eosinophils/Leukocytes in Blood by Manual count"),
    "basophil": Code("707-0", "Basophils/Leukocytes in Blood by Manual count"),
    "lymphocyte": Code("737-7", "Lymphocytes/Leukocytes in Blood by Manual count"),
    "monocyte": Code("744-3", "Monocytes/Leukocytes in Blood by Manual count"),
    "immature_granulocyte": Code("38518-7", "Immature granulocytes/Leukocytes in Blood", names_method=False),
    "blast": Code("709-6", "Blasts/Leukocytes in Blood by Manual count"),
}
ERYTHROBLASTS = Code("18309-5", "Nucleated erythrocytes/Leukocytes [Ratio] in Blood by Manual count")
RBC_COUNT = Code("rbc-in-field", "Erythrocytes seen in the analysed fields", System.LOCAL, False)
PLATELET_COUNT = Code("platelets-in-field", "Platelets seen in the analysed fields", System.LOCAL, False)
ARTIFACT_COUNT = Code("artifacts-in-field", "Artifacts seen in the analysed fields", System.LOCAL, False)
RBC_WBC_RATIO = Code(
    "rbc-wbc-ratio", "Erythrocytes per leukocyte in the analysed fields", System.LOCAL, False
)
LEFT_SHIFT = Code("left-shift-index", "Immature granulocytes per 100 neutrophils", System.LOCAL, False)
MYELOID_ERYTHROID = Code("myeloid-erythroid-ratio", "Myeloid to erythroid ratio", System.LOCAL, False)
RED_CELLS = {
    "macrocyte": Code("738-5", "Macrocytes [Presence] in Blood by Light microscopy"),
    "microcyte": Code("741-9", "Microcytes [Presence] in Blood by Light microscopy"),
    "sickle": Code("801-1", "Sickle cells [Presence] in Blood by Light microscopy"),
    "target": Code("10381-2", "Target cells [Presence] in Blood by Light microscopy"),
    "spherocyte": Code("802-9", "Spherocytes [Presence] in Blood by Light microscopy"),
    "stomatocyte": Code("10380-4", "Stomatocytes [Presence] in Blood by Light microscopy"),
    "ovalocyte": Code("774-0", "Ovalocytes [Presence] in Blood by Light microscopy"),
    "elliptocyte": Code("11274-8", "Elliptocytes [Presence] in Blood by Light microscopy"),
    "teardrop": Code("7791-7", "Dacrocytes [Presence] in Blood by Light microscopy"),
    "echinocyte": Code("7790-9", "Burr cells [Presence] in Blood by Light microscopy"),
    "schistocyte": Code("800-3", "Schistocytes [Presence] in Blood by Light microscopy"),
    "hypochromic": Code("728-6", "Hypochromia [Presence] in Blood by Light microscopy"),
    "malaria_infected": Code("malaria-infected-cells", "Malaria-infected red cells", System.LOCAL, False),
    "poikilocytosis": Code("779-9", "Poikilocytosis [Presence] in Blood by Light microscopy"),
    "anisocytosis": Code("702-1", "Anisocytosis [Presence] in Blood by Light microscopy"),
}
"""Ordinal findings; the codes of analysers for the same words are others, and wrong for a smear."""
RBC_CLASSIFIED = Code("rbc-classified", "Erythrocytes whose shape was named", System.LOCAL, False)
NOT_ANALYSED = {"rbc_morphology": RED_CELL_MORPHOLOGY, "staging": STAGING}


def stage(key: str, name: str) -> Code:
    """A stage of leukemia: neither LOINC nor SNOMED names what the network tells apart."""
    return Code(f"stage-{key.replace('_', '-')}", name, System.LOCAL, False)


def grade(text: str) -> Code:
    """A grade of a finding, 0, 1+, 2+ or 3+, as an ordinal value."""
    return Code(f"grade-{text.removesuffix('+')}", text, System.LOCAL, False)


@dataclass(frozen=True, slots=True)
class Unit:
    """A UCUM unit and how people write it."""

    ucum: str
    text: str


PERCENT = Unit("%", "%")
PER_100_WBC = Unit("/100{WBCs}", "/100 WBC")
CELLS = Unit("{cells}", "cells")
RATIO = Unit("{ratio}", "ratio")
MICROMETRE = Unit("um", "µm")
FIELDS = Unit("{fields}", "fields")
PER_100_NEUTROPHILS = Unit("/100{neutrophils}", "/100 neutrophils")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a report as it leaves. `interval` is the exact 95 % interval, in the figure's unit."""

    key: str
    code: Code
    value: float
    unit: Unit
    count: int | None = None
    interval: tuple[float, float] | None = None
    reference: tuple[float, float] | None = None
    direction: str = ""


def shares(content: ReportContent) -> list[Figure]:
    """The leukocyte differential, one figure per class."""
    return [
        Figure(
            line.key,
            CLASSES[line.key],
            line.share,
            PERCENT,
            line.count,
            line.interval,
            line.reference,
            line.direction,
        )
        for line in content.lines
    ]


def figures(content: ReportContent) -> list[Figure]:
    """Every number of the report in the order it leaves in; ratios without a denominator are left out."""
    total = content.aggregate
    numbers: list[tuple[str, Code, float | None, Unit]] = [
        ("wbc_count", CELLS_COUNTED, total.wbc_count, CELLS),
        ("erythroblasts_per_100_wbc", ERYTHROBLASTS, total.erythroblasts_per_100_wbc, PER_100_WBC),
        ("rbc_count", RBC_COUNT, total.rbc_count, CELLS),
        ("platelet_count", PLATELET_COUNT, total.platelet_count, CELLS),
        ("artifact_count", ARTIFACT_COUNT, total.artifact_count, CELLS),
        ("rbc_wbc_ratio", RBC_WBC_RATIO, total.rbc_wbc_ratio, RATIO),
        ("left_shift_index", LEFT_SHIFT, total.left_shift_index, PER_100_NEUTROPHILS),
        ("myeloid_erythroid_ratio", MYELOID_ERYTHROID, total.myeloid_erythroid_ratio, RATIO),
    ]
    rest = [Figure(key, code, rounded(n), unit) for key, code, n, unit in numbers if n is not None]
    return [*shares(content), *rest]
