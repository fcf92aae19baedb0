"""The haematological criteria of each class, and the limits that were measured for them.

What a class looks like is standard haematology, each criterion with its source; from where on a measured
feature is large or small is not, and comes from `criteria.json`, which `inference.training.criteria` writes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from inference.pipeline.cell_words import Morphology
from inference.pipeline.red_cell_findings import RedCellMeasures

Measures = Morphology | RedCellMeasures
"""What is measured on a white cell, or on a red one."""

TABLE = Path(__file__).with_name("criteria.json")


class Source(StrEnum):
    """Where a criterion is written."""

    BAIN = "Bain 2015, Blood Cells: A Practical Guide, 5th edition"
    ICSH = "Palmer et al. 2015, ICSH recommendations on morphology, Int J Lab Hematol 37:287"
    ELN = "Zini et al. 2010, European consensus on blood cell identification, Br J Haematol 151:359"
    IWGM = "Mufti et al. 2008, definition and enumeration of myeloblasts, Haematologica 93:1712"
    WBCATT = "Tsutsui et al. 2023, WBCAtt: attributes that pathologists named on wbc_pbc, NeurIPS"


class Part(StrEnum):
    """What of a cell a criterion is about."""

    CELL = "cell"
    NUCLEUS = "nucleus"
    CHROMATIN = "chromatin"
    CYTOPLASM = "cytoplasm"
    GRANULES = "granules"
    OUTLINE = "outline"
    CENTRE = "centre"


class Verdict(StrEnum):
    """What a criterion says about a call."""

    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"
    NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Criterion:
    """What is looked for in a class, in words, and where that is written."""

    words: str
    source: Source


@dataclass(frozen=True, slots=True)
class Typical:
    """A measured feature that is `high` in the class, or low. It supports in the typical three quarters of
    the class and on its side of the usual cell, and contradicts beyond all but 2 % of the class."""

    part: Part
    feature: str
    high: bool
    supports: str
    contradicts: str
    source: Source

    def verdict(self, cell: Measures, limits: Mapping[str, float]) -> Verdict:
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
    """A feature with the limits of haematology: it supports within `fits` and contradicts outside `may`.
    Its words may name the `value`."""

    part: Part
    feature: str
    fits: tuple[float, float]
    may: tuple[float, float]
    supports: str
    contradicts: str
    source: Source

    def verdict(self, cell: Measures, limits: Mapping[str, float]) -> Verdict:
        """Judge a cell; `limits` are not needed."""
        value = getattr(cell, self.feature)
        if value is None:
            return Verdict.NOT_KNOWN
        if not self.may[0] <= value <= self.may[1]:
            return Verdict.CONTRADICTS
        return Verdict.SUPPORTS if self.fits[0] <= value <= self.fits[1] else Verdict.NOT_KNOWN

    def beyond(self, cell: Measures) -> float:
        """How far a cell lies outside `may`: the distance from the limit that it passes, over that limit; 0
        within both, and where the feature was not measured."""
        value, (low, high) = getattr(cell, self.feature), self.may
        if value is None or low <= value <= high:
            return 0.0
        return float((value - high) / high if value > high else (low - value) / low)


@dataclass(frozen=True, slots=True)
class Named:
    """An attribute that the network tells: the values that support the class and those that contradict it."""

    part: Part
    attribute: str
    fits: tuple[str, ...]
    against: tuple[str, ...]
    supports: str
    contradicts: str
    source: Source = Source.WBCATT

    def verdict(self, told: Mapping[str, str]) -> Verdict:
        """Judge the values told, by attribute; one that is missing is not known."""
        value = told.get(self.attribute)
        if value in self.against:
            return Verdict.CONTRADICTS
        return Verdict.SUPPORTS if value in self.fits else Verdict.NOT_KNOWN


@cache
def table() -> Mapping[str, Any]:
    """Return what was measured: `limits` by class and feature, `told` by attribute, and the `provenance`."""
    measured: Mapping[str, Any] = json.loads(TABLE.read_text())
    return measured
