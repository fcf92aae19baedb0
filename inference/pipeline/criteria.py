"""The haematological criteria of each class, and the limits that were measured for them.

What a class looks like is standard haematology; from where on a measured feature is large or small is not,
and comes from `criteria.json`, which `inference.training.criteria` writes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from inference.pipeline.findings import Morphology

TABLE = Path(__file__).with_name("criteria.json")


class Verdict(StrEnum):
    """What a criterion says about a call."""

    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"
    NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Typical:
    """A measured feature that is `high` in the class, or low. It supports in the typical three quarters of
    the class and on its side of the usual cell, and contradicts beyond all but 2 % of the class."""

    feature: str
    high: bool
    supports: str
    contradicts: str

    def verdict(self, cell: Morphology, limits: Mapping[str, float]) -> Verdict:
        """Judge a cell by the class's limits of this feature: `p2, p25, p75, p98, usual`."""
        value = getattr(cell, self.feature)
        if value is None or not limits:
            return Verdict.NOT_KNOWN
        sign, quarter, end = (1, "p25", "p2") if self.high else (-1, "p75", "p98")
        if sign * value < sign * limits[end]:
            return Verdict.CONTRADICTS
        typical = max(sign * limits[quarter], sign * limits["usual"])
        return Verdict.SUPPORTS if sign * value >= typical else Verdict.NOT_KNOWN


@dataclass(frozen=True, slots=True)
class Between:
    """A feature with the limits of haematology: it supports within `fits` and contradicts outside `may`."""

    feature: str
    fits: tuple[float, float]
    may: tuple[float, float]
    supports: str
    contradicts: str

    def verdict(self, cell: Morphology, limits: Mapping[str, float]) -> Verdict:
        """Judge a cell; `limits` are not needed."""
        value = getattr(cell, self.feature)
        if value is None:
            return Verdict.NOT_KNOWN
        if not self.may[0] <= value <= self.may[1]:
            return Verdict.CONTRADICTS
        return Verdict.SUPPORTS if self.fits[0] <= value <= self.fits[1] else Verdict.NOT_KNOWN


@dataclass(frozen=True, slots=True)
class Named:
    """An attribute that the network tells: the values that support the class and those that contradict it."""

    attribute: str
    fits: tuple[str, ...]
    against: tuple[str, ...]
    supports: str
    contradicts: str

    def verdict(self, told: Mapping[str, str]) -> Verdict:
        """Judge the values told, by attribute; one that is missing is not known."""
        value = told.get(self.attribute)
        if value in self.against:
            return Verdict.CONTRADICTS
        return Verdict.SUPPORTS if value in self.fits else Verdict.NOT_KNOWN


ANY = float("inf")
_LOBED = ("segmented-bilobed", "segmented-multilobed")
_ONE_NUCLEUS = Between(
    "nucleus_lobes", (1, 1), (1, 2), "a nucleus in one piece", "a nucleus of several lobes"
)

MEASURED: Mapping[str, tuple[Typical | Between, ...]] = {
    "neutrophil": (
        Between("nucleus_lobes", (2, 5), (1, 6), "a nucleus of 2 to 5 lobes", "more than 6 lobes"),
        Typical("nc_ratio", False, "ample cytoplasm", "too large a nucleus for its cell"),
        Typical("nucleus_solidity", False, "a segmented or bent nucleus", "a round, unindented nucleus"),
        Typical("nucleus_contrast", True, "dense chromatin", "chromatin hardly denser than the cytoplasm"),
        Typical("granularity", False, "fine granules at most", "coarse granules"),
    ),
    "eosinophil": (
        Between("nucleus_lobes", (2, 3), (1, 4), "a nucleus of 2 or 3 lobes", "more than 4 lobes"),
        Typical("nc_ratio", False, "ample cytoplasm", "too large a nucleus for its cell"),
        Typical("nucleus_solidity", False, "a segmented nucleus", "a round, unindented nucleus"),
        Typical("cytoplasm_redness", True, "orange-red cytoplasm", "cytoplasm without orange-red"),
        Typical("granularity", True, "granular cytoplasm", "cytoplasm without granules"),
    ),
    "basophil": (
        Typical("granularity", True, "coarse dark granules", "cytoplasm without granules"),
        Typical("nc_ratio", True, "dark dye over most of the cell", "dark dye over too little of the cell"),
        Typical("cytoplasm_redness", False, "no orange-red cytoplasm", "orange-red cytoplasm"),
    ),
    "lymphocyte": (
        _ONE_NUCLEUS,
        Typical("nc_ratio", True, "a high nuclear-cytoplasmic ratio", "a low nuclear-cytoplasmic ratio"),
        Typical("nucleus_solidity", True, "a round nucleus", "a deeply indented or segmented nucleus"),
        Typical("chromatin_texture", False, "smooth, dense chromatin", "coarsely patched chromatin"),
        Typical("cytoplasm_redness", False, "no orange-red cytoplasm", "orange-red cytoplasm"),
    ),
    "monocyte": (
        Between("nucleus_lobes", (1, 1), (1, 3), "a nucleus in one piece", "a nucleus of several lobes"),
        Typical("nucleus_solidity", False, "an indented nucleus", "a perfectly round nucleus"),
        Typical("nucleus_contrast", False, "loose chromatin", "very dense chromatin"),
        Typical("cytoplasm_redness", False, "grey-blue cytoplasm", "orange-red cytoplasm"),
        Typical("granularity", False, "fine granules at most", "coarse granules"),
    ),
    "immature_granulocyte": (
        _ONE_NUCLEUS,
        Typical("granularity", True, "granular cytoplasm", "cytoplasm without granules"),
        Typical("nucleus_contrast", False, "looser chromatin than in mature cells", "very dense chromatin"),
        Typical("cytoplasm_redness", False, "no orange-red cytoplasm", "orange-red cytoplasm"),
    ),
    "blast": (
        _ONE_NUCLEUS,
        Between("cell_diameter_um", (12, 20), (8, 30), "a large cell", "a cell of another size"),
        Typical("nc_ratio", True, "a high nuclear-cytoplasmic ratio", "a low nuclear-cytoplasmic ratio"),
        Typical("nucleus_contrast", False, "fine chromatin", "very dense chromatin"),
        Typical("cytoplasm_blueness", True, "blue cytoplasm", "pale cytoplasm"),
        Typical("granularity", False, "few granules", "coarse granules"),
    ),
    "erythroblast": (
        _ONE_NUCLEUS,
        Between("cell_diameter_um", (6, 12), (4, 20), "a small cell", "a cell of another size"),
        Typical("nc_ratio", False, "a small nucleus", "too large a nucleus for its cell"),
        Typical("nucleus_solidity", True, "a round nucleus", "an indented or segmented nucleus"),
        Typical("nucleus_contrast", True, "very dense chromatin", "loose chromatin"),
    ),
    "platelet": (
        Between("cell_diameter_um", (0, 5), (0, 12), "the size of a platelet", "too large for a platelet"),
        Typical("nucleus_contrast", False, "no dense nucleus", "a dense nucleus"),
    ),
    "artifact": (),
}
"""What is measured for each class. An artifact is what is no intact cell: nothing measured tells."""

NAMED: Mapping[str, tuple[Named, ...]] = {
    "neutrophil": (
        Named(
            "nucleus_shape",
            (*_LOBED, "unsegmented-band"),
            ("unsegmented-round",),
            "segmented or band",
            "a round nucleus",
        ),
        Named("granule_type", ("small",), ("coarse",), "small granules", "coarse granules"),
        Named("granule_colour", ("pink",), ("red",), "pink granules", "red granules"),
    ),
    "eosinophil": (
        Named("nucleus_shape", _LOBED, ("unsegmented-round",), "a segmented nucleus", "a round nucleus"),
        Named("granule_type", ("round",), ("nil",), "round granules", "no granules"),
        Named("granule_colour", ("red",), ("nil", "purple"), "red granules", "granules that are not red"),
    ),
    "basophil": (
        Named("granule_type", ("coarse",), ("nil", "small"), "coarse granules", "no coarse granules"),
        Named(
            "granule_colour", ("purple",), ("nil", "red"), "purple granules", "granules that are not purple"
        ),
    ),
    "lymphocyte": (
        Named(
            "nucleus_shape",
            ("unsegmented-round", "unsegmented-indented"),
            _LOBED,
            "an unsegmented nucleus",
            "a segmented nucleus",
        ),
        Named("nuclear_cytoplasmic_ratio", ("high",), (), "a high nuclear-cytoplasmic ratio", ""),
        Named("granule_type", (), ("coarse", "round"), "", "large granules"),
    ),
    "monocyte": (
        Named(
            "nucleus_shape",
            ("unsegmented-indented", "irregular"),
            ("segmented-multilobed",),
            "an indented nucleus",
            "a segmented nucleus",
        ),
        Named("chromatin_density", ("loosely",), (), "loose chromatin", ""),
        Named("cytoplasm_vacuole", ("yes",), (), "vacuoles", ""),
        Named("granule_type", (), ("coarse", "round"), "", "large granules"),
    ),
}
"""What the network's attributes say about the five mature classes it has learnt them on, and no others."""


@cache
def table() -> Mapping[str, Any]:
    """Return what was measured: `limits` by class and feature, `told` by attribute, and the `provenance`."""
    measured: Mapping[str, Any] = json.loads(TABLE.read_text())
    return measured
