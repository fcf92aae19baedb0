"""What is known of the red cells of a smear beyond their number."""

from dataclasses import dataclass
from enum import StrEnum

from inference.pipeline.figures import Notice, Share


@dataclass(frozen=True, slots=True)
class RedCellMeasures:
    """What was measured on one red cell.

    `diameter_um` is that of the circle of its area and `area_um2` the area, both None where the pixel size is
    only an estimate from the red cells themselves; `relative_diameter` is the diameter over the median of the
    smear. `circularity` is 4π area over perimeter squared, 1 for a circle; `elongation` the long over the
    short axis of the ellipse with the same second moments, 1 for a circle; `pallor_ratio` the optical density
    of the middle over that of the ring around it, None where the ring holds no stain: about 1 in a
    spherocyte, the lower the paler the centre.
    """

    diameter_um: float | None
    area_um2: float | None
    relative_diameter: float
    circularity: float
    elongation: float
    pallor_ratio: float | None


class SizeBasis(StrEnum):
    """What macrocytes and microcytes were decided against: micrometres, or the median of their smear."""

    MEASURED = "measured"
    RELATIVE = "relative_to_median"


class NotGraded(StrEnum):
    """Why a finding has no grade."""

    FEW_CELLS = "few_cells"
    SIZE_ESTIMATED = "size_estimated"
    NOT_TRAINED = "not_trained"


@dataclass(frozen=True, slots=True)
class Grade:
    """0 to 3, for 0, 1+, 2+ and 3+, or None with the reason why not; `low` and `high` are the grades at the
    ends of the exact 95 % interval. Where too few cells were classified, `counted` is how many, and `needed`
    how many a grade takes; both 0 where that is not known."""

    value: int | None
    low: int = 0
    high: int = 0
    not_graded: NotGraded | None = None
    counted: int = 0
    needed: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the interval spans a limit, so that the next grade cannot be ruled out."""
        return self.value is not None and self.low != self.high

    @property
    def text(self) -> str:
        """As it is written: 0, 1+, 2+ or 3+; empty where there is none."""
        if self.value is None:
            return ""
        return f"{self.value}+" if self.value else "0"


@dataclass(frozen=True, slots=True)
class RedClass:
    """One finding: how many of the classified red cells show it, and its grade."""

    label: str
    share: Share
    grade: Grade


@dataclass(frozen=True, slots=True)
class Diameters:
    """The diameters of `count` classified red cells: mean and median in µm, None where the pixel size is only
    estimated, and the coefficient of variation in % with its approximate 95 % interval."""

    count: int
    mean_um: float | None
    median_um: float | None
    cv_percent: float
    cv_low: float
    cv_high: float


@dataclass(frozen=True, slots=True)
class Disagreeing:
    """How many classified red cells have measures that contradict what they are called, by whether they are
    called normal or anything else."""

    called_normal: int = 0
    called_abnormal: int = 0

    @property
    def count(self) -> int:
        return self.called_normal + self.called_abnormal


@dataclass(frozen=True, slots=True)
class RedCells:
    """The red cells of a smear: `total` counted, `classified` a sample of them spread evenly over the tiles.

    `classes` holds every class of the taxonomy in its order, `abnormal` the share of all but the normal ones,
    `poikilocytosis` that of abnormal shapes. `flags` stand on the lower ends of the intervals. `disagreeing`
    are the cells whose measures contradict their class as it counts.
    """

    total: int
    classified: int
    size_basis: SizeBasis
    classes: tuple[RedClass, ...]
    abnormal: Share
    poikilocytosis: RedClass
    anisocytosis: Grade
    diameters: Diameters | None
    disagreeing: Disagreeing = Disagreeing()
    flags: tuple[Notice, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def is_graded(self) -> bool:
        """Whether enough were classified for grades."""
        return self.poikilocytosis.grade.value is not None

    def of(self, label: str) -> RedClass:
        """Return one class by its label; raises StopIteration for none of the taxonomy."""
        return next(one for one in self.classes if one.label == label)
