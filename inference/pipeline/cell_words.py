"""What is measured of a cell for its words, and what is said of it: by the program, by a second reader."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class FocusVerdict(StrEnum):
    """Where a second reader sees the evidence for a call."""

    ON_CELL = "on_cell"
    OFF_CELL = "off_cell"
    UNCLEAR = "unclear"


class Plausibility(StrEnum):
    """Whether a second reader finds a call plausible."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a language model says about a call: machine text by `model` of `provider`, asked with
    `prompt_version`; `seconds` is how long it took.

    It may ask for a second look. It holds no class and never changes one.
    """

    provider: str
    model: str
    prompt_version: str
    focus: FocusVerdict
    structures: tuple[str, ...]
    plausible: Plausibility
    comment: str
    seconds: float
    machine_text: Literal[True] = True

    @property
    def doubts(self) -> bool:
        """Whether the cell is to be looked at again."""
        return self.focus == FocusVerdict.OFF_CELL or self.plausible == Plausibility.NO


@dataclass(frozen=True, slots=True)
class Morphology:
    """What `pipeline.morphology` measures on a cell, None where there is nothing to measure it on.

    `nc_ratio` is the area of the nucleus over that of the cell, 0–1; `nucleus_lobes` how many lobes the
    nucleus has, 0 without one; `nucleus_solidity` its area over that of its convex hull; `nucleus_contrast`
    the density of nuclear dye in it less that in the cytoplasm; `chromatin_texture` the spread of the dye
    within it over its mean. `cytoplasm_blueness` is the density of the cytoplasm in red, which blue dye
    absorbs, `cytoplasm_redness` its density in blue, which eosin absorbs, less that in red; `granularity` is
    the spread of its fine structure in density. `cell_diameter_um` is that of the disc of the cell's area.
    """

    nc_ratio: float | None
    nucleus_lobes: int
    nucleus_solidity: float | None
    nucleus_contrast: float | None
    chromatin_texture: float | None
    cytoplasm_blueness: float | None
    cytoplasm_redness: float | None
    granularity: float | None
    cell_diameter_um: float | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """A cell in words, written by the program for the class `label` and for no other: two or three sentences,
    and what `supports` that class and what `contradicts` it."""

    label: str
    text: str
    supports: tuple[str, ...] = ()
    contradicts: tuple[str, ...] = ()
    machine_text: Literal[True] = True
