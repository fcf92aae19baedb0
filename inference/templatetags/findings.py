"""Names, shares and places in the picture, as templates write them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from inference import heat_maps, names, records, what_matters
from inference.cell_facts import CellFacts
from inference.field import Drawn, Field, Layer, Place
from inference.models import AnalysisRun, Cell
from inference.pipeline.findings import Kind, SecondCall, Severity
from inference.results import ClassLine

register = template.Library()
register.filter("class_name", names.class_name)
register.filter("kind_name", names.kind_name)
register.filter("reason_name", names.reason_name)
register.filter("method_name", names.method_name)
register.filter("network_name", names.network_name)
register.filter("remedy_name", names.remedy_name)
register.filter("verdict_name", names.verdict_name)
register.filter("stage_name", names.stage_name)
register.filter("source_name", names.source_name)
register.filter("outcome_name", names.outcome_name)
register.filter("red_finding_name", names.red_finding_name)
register.filter("grade_note", names.grade_note)


@register.filter
def percent(share: float | None) -> str:
    """A share in 0–1 as a whole percentage; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.0f} %"


@register.filter
def strength(maximum: float) -> str:
    """The raw maximum of a heat map in two digits that count: methods differ by a thousand times."""
    return f"{float(f'{maximum:.2g}'):g}"


@register.filter
def reasons(cell: Cell) -> str:
    """Why a cell needs a person, in words."""
    return "; ".join(names.reason_name(reason) for reason in cell.review_reasons)


@register.filter
def stakes(cell: Cell) -> list[str]:
    """What the call of a cell could change, in words."""
    return [names.stake_name(stake) for stake in what_matters.stakes_of(cell)]


@register.filter
def also_possible(cell: Cell) -> list[tuple[int, str]]:
    """For each level in % the classes beside the call that its prediction set adds to those before."""
    named, added = {cell.label}, []
    for level, labels in records.prediction_sets(cell).items():
        added.append((level, ", ".join(names.class_name(label) for label in labels if label not in named)))
        named.update(labels)
    return added


@register.filter
def second_call(cell: Cell) -> SecondCall | None:
    """What a second network called the cell, if there was one."""
    return records.second_call(cell)


register.filter("measures", records.measures)
register.filter("names_red", records.names_red_cells)
register.filter("reading", records.reading)
register.filter("remediation", records.remediation)
register.filter("stored_heat_map", heat_maps.stored)
register.filter("heat_map_of", heat_maps.asked_for)


@register.filter
def called_by(cell: Cell) -> list[str]:
    """The networks that called a cell, first the one whose call counts."""
    return [*records.called_by(cell)]


@register.simple_tag
def heat_map_methods() -> list[tuple[str, str]]:
    """The ways to make a heat map, each with its name, the usual one first."""
    return [(method, names.method_name(method)) for method in names.METHOD_NAMES]


@register.filter
def width(cell: Cell) -> int:
    return cell.x1 - cell.x0


@register.filter
def height(cell: Cell) -> int:
    return cell.y1 - cell.y0


@register.filter
def area_um2(cell: Cell, pixel_um: float | None) -> str:
    """The cell's area, in µm² where the size of a pixel is known."""
    return f"{cell.area_px * pixel_um**2:.1f} µm²" if pixel_um else f"{cell.area_px} px²"


@register.simple_tag
def surroundings(cell: Cell, run: AnalysisRun, times: int) -> str:
    """The viewBox of a square around a cell, so many times its larger side wide, moved inside the image."""
    image_width, image_height = run.width or 0, run.height or 0
    side = min(max(width(cell), height(cell)) * times, max(image_width, image_height))
    left = _inside(cell.centroid_x - side / 2, image_width - side)
    top = _inside(cell.centroid_y - side / 2, image_height - side)
    return f"{left:.1f} {top:.1f} {side} {side}"


def _inside(start: float, last: float) -> float:
    """The start of a stretch, kept in 0–last; half of `last`, so centred, when the stretch is too long."""
    return last / 2 if last < 0 else min(max(start, 0), last)


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a run: `state` is past, now or next, `words` says so."""

    name: str
    state: str
    words: str


@register.filter
def stages(run: AnalysisRun) -> list[Step]:
    """The stages of the pipeline, each as past, present or still to come; staging only where requested."""
    left_out = set() if run.smear.case.staging_requested else {"staging"}
    order = [stage for stage in names.STAGE_NAMES if stage not in left_out]
    finished = run.status == AnalysisRun.Status.DONE
    place = len(order) if finished else order.index(run.stage) if run.stage in order else -1
    return [_step(stage, number - place) for number, stage in enumerate(order)]


def _step(stage: str, ahead: int) -> Step:
    name = names.stage_name(stage)
    if ahead < 0:
        return Step(name, "past", _("done"))
    return Step(name, "next", "") if ahead else Step(name, "now", _("working"))


@register.filter
def hundred(share: float) -> str:
    """A share in 0–1 as a length on a scale of 100."""
    return f"{100 * share:.2f}"


@register.filter
def figure(value: float | None) -> str:
    """A ratio with one decimal; a dash where its denominator is zero."""
    return "–" if value is None else f"{value:.1f}"


@register.filter
def reference_width(line: ClassLine) -> str:
    low, high = line.reference or (0.0, 0.0)
    return f"{high - low:.2f}"


@register.filter
def quality_parts(run: AnalysisRun) -> list[tuple[str, float]]:
    """The parts of the quality score by name, 0–1; an older analysis lacks some."""
    parts = names.QUALITY_PARTS.items()
    return [(str(name), run.quality[key]) for key, name in parts if key in run.quality]


@register.filter
def outcome(run: AnalysisRun) -> str:
    """What the quality of a finished run's image means for its reader, as a key."""
    return records.quality(run).outcome.value


@register.filter
def warnings(run: AnalysisRun) -> list[str]:
    """What was found wrong with the image, and what would be right."""
    return [notice.text for notice in records.quality(run).notices if notice.severity is not Severity.INFO]


@register.simple_tag
def cell_marks(field: Field, layer: Layer) -> SafeString:
    """The cells of a layer as SVG; written here because a template takes ten times as long for thousands."""
    chosen = field.cell.row.number if field.cell else None
    classes = {label: escape(names.class_name(label)) for label in {cell.label for cell in layer.cells}}
    words = Words(f"{field.label_size:.1f}", classes, escape(_("needs review")))
    called = (_mark(cell, words, cell.row.number == chosen) for cell in layer.cells)
    others = (_boxed(place, _css(chosen=place.number == chosen)) for place in layer.uncalled)
    return mark_safe("".join(chain(called, others)))


class Words(NamedTuple):
    """How the marks of a layer are named: the size of their names, these by class, and what open ones need;
    escaped once for thousands of cells."""

    size: str
    classes: Mapping[str, str]
    needs_review: str


def _mark(cell: Drawn, words: Words, chosen: bool) -> str:
    row, is_open = cell.row, cell.is_open
    css = _css(is_open, chosen)
    if not row.label or (row.kind == Kind.RBC and not is_open):
        return _boxed(row, css)
    n, name = row.number, words.classes[cell.label]
    said = f"{name}, {percent(row.confidence)}{f', {words.needs_review}' if is_open else ''}"
    return (
        f'<a href="?cell={n}" data-cell="{n}" class="{css}" aria-label="{said}">{_box(row)}'
        f'<text class="cell-name" x="{row.x0}" y="{row.y0}" font-size="{words.size}" dy="-0.25em">'
        f"{name}{' ?' * is_open}</text></a>"
    )


def _css(is_open: bool = False, chosen: bool = False) -> str:
    return f"cell{' open' * is_open}{' selected' * chosen}"


def _boxed(of: CellFacts | Cell | Place, css: str) -> str:
    """A cell that is drawn without its name, and is not reached by the Tab key."""
    return f'<g class="{css}" data-cell="{of.number}">{_box(of)}</g>'


def _box(of: CellFacts | Cell | Place) -> str:
    return f'<rect class="box" x="{of.x0}" y="{of.y0}" width="{of.x1 - of.x0}" height="{of.y1 - of.y0}"/>'
