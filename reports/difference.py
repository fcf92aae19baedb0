"""What changed between two versions of a report, cell by cell, from their frozen contents alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.names import class_name

from .content import Line, ReportContent, SmearImage
from .red_cells import RedLine


@dataclass(frozen=True, slots=True)
class CellChange:
    """A cell that counts as another class than before."""

    run_id: str
    image: str
    number: int
    before: str
    after: str

    @property
    def before_name(self) -> str:
        return class_name(self.before)

    @property
    def after_name(self) -> str:
        return class_name(self.after)


@dataclass(frozen=True, slots=True)
class FigureChange:
    """A share of the differential or of the red cells, or a count, in both versions; as it is written, empty
    where a version has none."""

    key: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """From one version to another: `came` and `went` are sentences, images first."""

    before: int
    after: int
    cells: tuple[CellChange, ...]
    figures: tuple[FigureChange, ...]
    came: tuple[str, ...]
    went: tuple[str, ...]
    images_came: tuple[str, ...] = field(default=())
    images_went: tuple[str, ...] = field(default=())

    @property
    def is_empty(self) -> bool:
        return not (
            self.cells or self.figures or self.came or self.went or self.images_came or self.images_went
        )


def difference(before: ReportContent, after: ReportContent) -> Difference:
    """What changed from one version to another."""
    first, second = _images(before), _images(after)
    shared = [(first[run], second[run]) for run in second if run in first]
    was, now = _sentences(before), _sentences(after)
    return Difference(
        before=before.version,
        after=after.version,
        cells=tuple(change for old, new in shared for change in _cells(old, new)),
        figures=tuple(_figures(before, after)),
        came=tuple(words for words in now if words not in was),
        went=tuple(words for words in was if words not in now),
        images_came=tuple(_named(image) for run, image in second.items() if run not in first),
        images_went=tuple(_named(image) for run, image in first.items() if run not in second),
    )


def _images(content: ReportContent) -> dict[str, SmearImage]:
    return {image.run_id: image for image in content.images}


def _named(image: SmearImage) -> str:
    return f"{image.name}: {image.counted}"


def _cells(before: SmearImage, after: SmearImage) -> Iterable[CellChange]:
    """A version lists the red cells that somebody was asked about or spoke on: one that it does not list
    counted as the machine called it, which the other version says."""
    first, second = _listed(before), _listed(after)
    for number in sorted({*first, *second}):
        was, now = (listed.get(number) for listed in (first, second))
        old, new = _label(was or now, was is not None), _label(now or was, now is not None)
        if old != new:
            yield CellChange(after.run_id, after.name, number, old, new)


def _listed(image: SmearImage) -> dict[int, Mapping[str, Any]]:
    return {cell["cell_id"]: cell for cell in image.payload.get("cell_detections", ())}


def _label(cell: Mapping[str, Any] | None, reviewed: bool) -> str:
    if cell is None:
        return ""
    machine = str(cell["classification"] or "")
    return str(cell.get("reviewed_classification", machine)) if reviewed else machine


def _figures(before: ReportContent, after: ReportContent) -> Iterable[FigureChange]:
    first, second = _written(before), _written(after)
    for key in dict.fromkeys([*second, *first]):
        name, _figure = second.get(key) or first[key]
        old, new = (version[key][1] if key in version else "" for version in (first, second))
        if old != new:
            yield FigureChange(key, name, old, new)


def _written(content: ReportContent) -> dict[str, tuple[str, str]]:
    """Every figure by its key: its name, and the figure as a report writes it."""
    total = content.aggregate
    written = {
        "wbc_count": ("Leukocytes", str(total.wbc_count)),
        "rbc_count": ("Red cells", str(total.rbc_count)),
        "platelet_count": ("Platelets", str(total.platelet_count)),
        "erythroblast_count": ("Erythroblasts", str(total.erythroblast_count)),
    }
    written |= {line.key: (line.name, _share(line)) for line in content.lines}
    if red := content.red_cells:
        written |= {f"rbc.{line.key}": (f"Red cells: {line.name}", _red(line)) for line in red.findings}
    if staging := content.staging:
        written |= {
            f"stage.{image.name}": (f"Leukemia staging, {image.name}", image.label_name)
            for image in staging.images
        }
    return written


def _share(line: Line) -> str:
    outside = f", {'above' if line.direction == 'H' else 'below'} the range" if line.outside else ""
    low, high = line.interval
    return f"{_counted(line.count)}, {line.share:.1f} % ({low:.1f}–{high:.1f}){outside}"


def _counted(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"


def _red(line: RedLine) -> str:
    grade = line.grade or line.note
    return f"{_counted(line.count)}, {line.percent:.1f} % ({line.low:.1f}–{line.high:.1f}), {grade}"


def _sentences(content: ReportContent) -> tuple[str, ...]:
    """What a version says beside its figures: flags, cautions, calls, answers, comment."""
    flags = [flag.text for flag in content.aggregate.flags]
    red = [flag.text for flag in content.red_cells.flags] if content.red_cells else []
    settled = content.sign_off.words if content.sign_off else ()
    comment = [f"Comment: {content.comment}"] if content.comment else []
    return (*flags, *red, *content.cautions, *settled, *comment)
