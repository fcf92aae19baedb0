"""What passes between the stages; `payload` writes it as JSON.

Coordinates are level-0 pixels; boxes are ``x0, y0, x1, y1`` with ``x1, y1`` exclusive; images are
uint8 RGB arrays of shape (height, width, 3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.cell_words import Description, Reading
from inference.pipeline.figures import Notice as Notice
from inference.pipeline.figures import Severity as Severity
from inference.pipeline.figures import Share as Share
from inference.pipeline.red_cell_findings import RedCellMeasures, RedCells

Image = NDArray[np.uint8]
Outline = Sequence[tuple[float, float]]
Shown = Literal["field", "cell"]
Box = tuple[int, int, int, int]


class Kind(StrEnum):
    """What segmentation tells apart."""

    WBC = "WBC"
    RBC = "RBC"
    PLATELET = "platelet"


class Outcome(StrEnum):
    """What the quality of an image means for its reader."""

    USABLE = "usable"
    RESCAN = "rescan"
    STAIN_REVIEW = "stain_review"


@dataclass(frozen=True, slots=True)
class Quality:
    """Image quality: every part and the score lie in 0–1, 1 is best; `outcome` is what follows from it."""

    score: float
    focus: float
    stain: float
    exposure: float
    coverage: float
    clumping: float = 1.0
    notices: tuple[Notice, ...] = ()
    outcome: Outcome = Outcome.USABLE


class TileState(StrEnum):
    """What became of a tile."""

    ANALYSED = "analysed"
    BACKGROUND = "background"
    BLURRED = "blurred"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which part of an image was analysed: the boxes of all tiles in level-0 pixels, row by row and
    overlapping, and the state of each, in the same order."""

    boxes: tuple[Box, ...] = ()
    states: tuple[TileState, ...] = ()

    def count(self, state: TileState) -> int:
        """How many tiles ended in a state."""
        return self.states.count(state)


@dataclass(frozen=True, slots=True)
class Instance:
    """One segmented cell. `polygon` is its outline, `area_px` the pixels inside its mask."""

    kind: Kind
    box: Box
    polygon: tuple[tuple[int, int], ...]
    centroid: tuple[float, float]
    area_px: int
    confidence: float
    solidity: float = 1.0
    tile: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A classification: calibrated `probabilities` over the classes that can occur, summing to 1.

    `sets` holds a prediction set for each level in %: the classes meant to hold the true one in so many of
    100 cells like those of the calibration, most likely first, the label always among them. `ood_score` is
    the higher the less the cell is like those the network was trained on. Both are missing where the card
    gives no thresholds.
    `embedding` float16 (features,), of length 1, is what cells of one network are compared by, and
    `attributes` float32 (values,) are the logits of the morphology attributes' values, in the order of the
    card's; both are None where no network gave them, and neither counts when calls are compared.
    """

    label: str
    confidence: float
    probabilities: Mapping[str, float]
    abstained: bool = False
    sets: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    ood_score: float | None = None
    out_of_distribution: bool = False
    embedding: NDArray[np.float16] | None = field(default=None, compare=False, repr=False)
    attributes: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SecondCall:
    """What a second, independent network calls the same cell; `network` and `version` say which one."""

    label: str
    confidence: float
    network: str
    version: str


class Stored(Protocol):
    """An array that lies elsewhere; ``np.asarray`` fetches it."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]: ...


class Method(StrEnum):
    """How a heat map is made; `pipeline.class_activation` says what each does."""

    GRAD_CAM = "grad_cam"
    GRAD_CAM_PP = "grad_cam_pp"
    EIGEN_CAM = "eigen_cam"
    HIRES_CAM = "hires_cam"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Whether the network's answer follows what a heat map points at, by trial on the very cell.

    `deletion` and `insertion` are the mean probabilities of the class explained, 0–1, while the crop is
    blurred and while it is brought back, in both cases from the hottest places on: the lower the one and the
    higher the other, the more faithful the map. `random_deletion` and `random_insertion` are the means over
    maps of the same shape laid elsewhere. `reliable` is what follows; `pipeline.faithfulness` has the rule.
    """

    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float
    reliable: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the network looked: `heatmap` float32 (side, side) in 0–1 over the crop; `focus_ratio` is
    the share of its energy that falls on the cell, `strength` its raw maximum before scaling, by which maps
    of one network and method compare, and `shade`, 0–1, how strongly it is to be shown, so that a weak map
    does not look like a strong one: 1 from the usual strength on, or where that is not known.

    `nucleus_ratio`, `cytoplasm_ratio` and `background_ratio` add up to 1 unless the map is empty; nucleus and
    cytoplasm are the two parts of the cell, None where nobody has drawn its nucleus. `receipt` is None where
    none was asked for.
    """

    heatmap: NDArray[np.float32] | Stored
    focus_ratio: float
    strength: float
    method: Method = Method.HIRES_CAM
    receipt: Receipt | None = None
    shade: float = 1.0
    nucleus_ratio: float | None = None
    cytoplasm_ratio: float | None = None
    background_ratio: float | None = None

    @property
    def drawn(self) -> NDArray[np.float32]:
        """The heat map as strongly as it is to be shown."""
        return np.asarray(np.float32(self.shade) * np.asarray(self.heatmap), np.float32)


class Remedy(StrEnum):
    """What is tried where a call is in doubt: nothing, another stain, or a tighter square around the cell."""

    NONE = "none"
    REINHARD = "reinhard"
    MACENKO = "macenko"
    TIGHT = "tight"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a cell was called after a remedy, how surely, the share of the evidence that lay on the cell, and
    whether that was enough."""

    remedy: Remedy
    label: str
    confidence: float
    focus_ratio: float
    on_cell: bool


@dataclass(frozen=True, slots=True)
class Remediation:
    """Why a cell was called again, and what came of it.

    `stands` names the remedy whose call stands, Remedy.NONE where that is the first call, as always where a
    second reader asked for it; None where no attempt had its focus on the cell and the network abstains.
    """

    triggers: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    stands: Remedy | None

    @property
    def changed(self) -> bool:
        """Whether the cell is called otherwise than at first."""
        first = self.attempts[0].label
        return any(one.label != first for one in self.attempts if one.remedy == self.stands)


@dataclass(frozen=True, slots=True)
class Cell:
    """An instance that counted as a cell, with whatever is known about it so far.

    `review_reasons` say why a person is asked to look, and `noted` what speaks against a call that nobody is
    asked about. `call` is None for cells that no network has classified, `second` where there is no second
    network, `remediation` where nothing else was tried, `reading` where no second reader looked,
    `description` where nobody has to look at the cell, `measures` but for classified red cells; `crop` is the
    square the classifier saw, uint8 RGB (side, side, 3).
    """

    cell_id: int
    instance: Instance
    call: Call | None = None
    review_reasons: tuple[str, ...] = ()
    crop: Image | Stored | None = None
    explanation: Explanation | None = None
    second: SecondCall | None = None
    remediation: Remediation | None = None
    reading: Reading | None = None
    description: Description | None = None
    measures: RedCellMeasures | None = None
    noted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The figures of one smear.

    `differential` holds one share per leukocyte class; the rest are counts or ratios, None where the
    denominator is zero. `erythroblasts_per_100_wbc` is a ratio, not part of the 100 %.
    """

    total_cells: int
    rbc_count: int
    wbc_count: int
    platelet_count: int
    artifact_count: int
    erythroblast_count: int
    differential: Mapping[str, Share]
    rbc_wbc_ratio: float | None
    erythroblasts_per_100_wbc: float | None
    left_shift_index: float | None
    myeloid_erythroid_ratio: float | None
    uncertain_share: float | None
    mean_confidence: float | None
    flags: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class NetworkUsed:
    """A network that had a say, as its card names it."""

    name: str
    version: str
    sha256: str


class FieldState(StrEnum):
    """Whether a field could be staged, and why not."""

    STAGED = "staged"
    FEW_CELLS = "few_nucleated_cells"
    COLOURS = "colours_outside_training"


@dataclass(frozen=True, slots=True)
class StagedField:
    """One field of a smear, and what the staging network says of it.

    `label` is the likeliest stage and `probabilities` are those of all, summing to 1; None and empty unless
    the field was staged. `nucleated_cells` counts the white cells, erythroblasts among them, that lie in it;
    `blast_share`, 0–1, is how many of the leukocytes there the white-cell network calls blasts, None where it
    called none. `disagrees` says whether the stage does not go with that share; None where nothing can be
    compared.
    """

    box: Box
    state: FieldState
    label: str | None
    probabilities: Mapping[str, float]
    nucleated_cells: int
    blast_share: float | None
    disagrees: bool | None = None


NOT_STAGED = "not_staged"
"""The code of the notice that an analysis could not do the staging it was asked for."""


class StagingStatus(StrEnum):
    """Where the staging of a smear stands."""

    NOT_REQUESTED = "not_requested"
    WAITING = "waiting"
    FAILED = "failed"
    NOT_STAGEABLE = "not_stageable"
    ABSTAINED = "abstained"
    STAGED = "staged"


@dataclass(frozen=True, slots=True)
class Staging:
    """The stage of a smear, pooled over its fields.

    `label` is None where no field could be staged or the network abstains. `probabilities` are the means over
    the staged fields, and `intervals_95` those of the means over fields. `reasons` say why a person must
    look; `notices` hold what is to be said beside every call, always that no test by patients exists.
    """

    label: str | None
    probabilities: Mapping[str, float]
    intervals_95: Mapping[str, tuple[float, float]]
    fields: tuple[StagedField, ...]
    network: NetworkUsed
    reasons: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def status(self) -> StagingStatus:
        """Whether the smear was staged and, where it was not, whether for want of fields or of certainty."""
        if self.label is not None:
            return StagingStatus.STAGED
        return StagingStatus.ABSTAINED if self.probabilities else StagingStatus.NOT_STAGEABLE

    @property
    def needs_review(self) -> bool:
        """Whether a person must look."""
        return bool(self.reasons)

    def count(self, state: FieldState) -> int:
        """How many fields ended in a state."""
        return sum(field.state is state for field in self.fields)


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything one analysis found out about one image; `staging` is None where nobody asked for it, `red`
    where no network names the shapes of red cells."""

    width: int
    height: int
    pixel_um: float | None
    pixel_um_source: str
    quality: Quality
    cells: tuple[Cell, ...]
    aggregate: Aggregate
    networks: tuple[NetworkUsed, ...]
    notices: tuple[Notice, ...]
    seconds: Mapping[str, float]
    coverage: Coverage = Coverage()
    staging: Staging | None = None
    red: RedCells | None = None
