"""The differential over the first 100 or 200 leukocytes of an image, as a count at the microscope gives it.

It is a way to read one page: flags, report and exports rest on all leukocytes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from inference import names, selectors
from inference.blind import Veil
from inference.hand_models import ManualCount
from inference.models import AnalysisRun
from inference.pipeline.aggregation import share
from inference.pipeline.config import DIFFERENTIAL_CLASSES, REFERENCE_PIXEL_UM
from inference.pipeline.decision import Ratio, per_100
from inference.pipeline.findings import Kind
from inference.results import ABNORMAL, ClassLine, class_lines

End = ManualCount.Target
"""After how many leukocytes a count ends; it can also go on to the last."""

FIELD_UM = 220.0
"""The width of what an oil immersion lens shows at once: a field number of 22 mm, magnified 100 times."""


@dataclass(frozen=True, slots=True)
class WhiteCell:
    """A cell of the white stream: its centre in level-0 pixels, and what it counts as."""

    number: int
    x: float
    y: float
    label: str

    @property
    def is_leukocyte(self) -> bool:
        return self.label in DIFFERENTIAL_CLASSES


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to show the differential: up to `end` leukocytes or, with None, all of them."""

    end: End | None
    name: str
    is_shown: bool
    can_be_shown: bool


@dataclass(frozen=True, slots=True)
class ShownDifferential:
    """The differential as it is shown: its lines over `leukocytes` of `found`, up to the `end` that was
    `asked` for, or over all of them; the erythroblasts per 100 leukocytes that were met on the way; and in
    words the abnormal classes that are `missed`: found in the image, and not on the way."""

    lines: tuple[ClassLine, ...]
    leukocytes: int
    found: int
    end: End | None = None
    asked: End | None = None
    erythroblasts: Ratio | None = None
    missed: tuple[str, ...] = ()

    @property
    def modes(self) -> list[Mode]:
        all_of_them = ngettext("The %(n)s cell", "All %(n)s cells", self.found) % {"n": intcomma(self.found)}
        ends = (Mode(end, str(end.label), self.end == end, self.found >= end) for end in End)
        return [Mode(None, all_of_them, self.end is None, True), *ends]

    @property
    def too_many(self) -> End | None:
        """The least count for which too few leukocytes were found."""
        return next((end for end in End if end > self.found), None)


def asked_for(text: str) -> End | None:
    """Where a count ends as an address gives it; anything else asks for all leukocytes."""
    return next((end for end in End if str(end.value) == text), None)


def differential(run: AnalysisRun, veil: Veil, asked: End | None) -> ShownDifferential:
    """The differential of a finished run as its reader asked for it; two questions, however many cells."""
    size = (run.width or 0, run.height or 0)
    met = along_track(_white_cells(run, veil), size, run.pixel_um or REFERENCE_PIXEL_UM)
    found = sum(cell.is_leukocyte for cell in met)
    end = asked if asked and asked <= found else None
    counted = up_to(met, end) if end else met
    counts, leukocytes = Counter(cell.label for cell in counted), end or found
    shares = {key: share(counts[key], leukocytes) for key in DIFFERENTIAL_CLASSES}
    return ShownDifferential(
        lines=class_lines(shares, leukocytes, selectors.reference_ranges(run.lab)),
        leukocytes=leukocytes,
        found=found,
        end=end,
        asked=asked,
        erythroblasts=per_100(counts["erythroblast"], leukocytes),
        missed=_missed(Counter(cell.label for cell in met), counts, leukocytes),
    )


def along_track(cells: Sequence[WhiteCell], size: tuple[int, int], pixel_um: float) -> list[WhiteCell]:
    """The cells in the order in which a reader meets them who goes to and fro, as on a battlement (CLSI
    H20-A2).

    From the upper left corner on the track leads across the shorter side from edge to edge, then one field of
    view on, and back. The shorter side is the width of the film on a slide: large cells gather at its edges,
    and a track along an edge would count too many of them. A photograph of one field is one lane.

    Args:
        size: width and height of the image in level-0 pixels.
        pixel_um: the size of a pixel in µm.
    """
    width, height = size
    longer = max(*size, 1)
    lane_px = longer / max(1, round(longer * pixel_um / FIELD_UM))

    def place(cell: WhiteCell) -> tuple[int, float, float, int]:
        on, across = (cell.x, cell.y) if width >= height else (cell.y, cell.x)
        lane = int(on // lane_px)
        return lane, -across if lane % 2 else across, on, cell.number

    return sorted(cells, key=place)


def up_to(met: Sequence[WhiteCell], end: int) -> Sequence[WhiteCell]:
    """What is met until so many leukocytes are counted: these, and what lies on the way between them."""
    counted = accumulate(cell.is_leukocyte for cell in met)
    return met[: next(place for place, leukocytes in enumerate(counted, 1) if leukocytes == end)]


def _white_cells(run: AnalysisRun, veil: Veil) -> list[WhiteCell]:
    rows = run.cells.exclude(kind=Kind.RBC).exclude(label="").order_by().annotate(said=selectors.SAID)
    columns = ("pk", "number", "centroid_x", "centroid_y", "label", "said")
    return [
        WhiteCell(number, x, y, veil.label(key, machine, said))
        for key, number, x, y, machine, said in rows.values_list(*columns)
    ]


def _missed(found: Counter[str], counted: Counter[str], leukocytes: int) -> tuple[str, ...]:
    """A sentence for each class that a report shows cell by cell and that a short count does not meet."""
    among = _("%(name)s: %(count)s among all %(all)s leukocytes, none among these %(end)s.")
    beside = _("%(name)s: %(count)s beside all %(all)s leukocytes, none beside these %(end)s.")
    every = sum(found[key] for key in DIFFERENTIAL_CLASSES)
    return tuple(
        (among if key in DIFFERENTIAL_CLASSES else beside)
        % {
            "name": names.class_name(key),
            "count": intcomma(found[key]),
            "all": intcomma(every),
            "end": intcomma(leukocytes),
        }
        for key in ABNORMAL
        if found[key] and not counted[key]
    )
