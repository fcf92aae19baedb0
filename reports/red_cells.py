"""The red cells of a case in the frozen content of its report."""

from dataclasses import dataclass

from inference.pipeline.findings import Notice
from inference.pipeline.red_cell_findings import Disagreeing


@dataclass(frozen=True, slots=True)
class RedLine:
    """One finding: `count` of the classified red cells, their share with its exact 95 % interval in %, and
    its grade as it is written; `grade` is empty where there is none, and `note` then says why or, beside a
    grade, which others the interval leaves open."""

    key: str
    name: str
    count: int
    percent: float
    low: float
    high: float
    grade: str
    note: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Diameters of `count` red cells: mean in µm, None where only an estimate is known, and the coefficient
    of variation in % with its 95 % interval and grade."""

    count: int
    mean_um: float | None
    cv_percent: float
    cv_low: float
    cv_high: float
    grade: str
    note: str


@dataclass(frozen=True, slots=True)
class CaseRedCells:
    """The red cells of all images of a case together: `total` counted, `classified` a sample of them. Of
    those the measures of `disagreeing` contradict the class that counts; None in reports from before that was
    kept."""

    total: int
    classified: int
    lines: tuple[RedLine, ...]
    abnormal: RedLine
    poikilocytosis: RedLine
    spread: Spread | None
    flags: tuple[Notice, ...]
    notices: tuple[Notice, ...]
    disagreeing: Disagreeing | None = None

    @property
    def findings(self) -> tuple[RedLine, ...]:
        """What can be graded: every class but the normal one, and all abnormal shapes together."""
        return (*(line for line in self.lines if line.key != "normal"), self.poikilocytosis)

    @property
    def seen(self) -> tuple[RedLine, ...]:
        """The classes of which there is a cell."""
        return tuple(line for line in self.lines if line.count)

    @property
    def rows(self) -> tuple[RedLine, ...]:
        """What the printed table lists."""
        return (*self.seen, self.poikilocytosis)

    @property
    def not_seen(self) -> tuple[RedLine, ...]:
        """The classes of which there is none, as far as a network names them."""
        return tuple(line for line in self.lines if not line.count)

    @property
    def words(self) -> tuple[str, ...]:
        """Everything the report says of red cells in sentences."""
        return tuple(notice.text for notice in (*self.flags, *self.notices))
