"""The staging of a smear as templates write it: its fields one by one, and in the picture."""

from dataclasses import dataclass

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from inference import names
from inference.models import AnalysisRun
from inference.pipeline.findings import FieldState, StagedField
from inference.staged import StagedSmear, StageShare

register = template.Library()
register.filter("leukemia_name", names.leukemia_name)
register.filter("staging_status_name", names.staging_status_name)

LISTED = 40
"""So many fields are listed one by one."""

NUMBERED = 60
"""Up to so many fields have their numbers written into the picture."""


@dataclass(frozen=True, slots=True)
class FieldLine:
    """One field as the list of a page shows it; `probability` is that of its stage, if it has one."""

    number: int
    field: StagedField
    name: str
    probability: float | None


@register.filter
def field_lines(staging: StagedSmear) -> list[FieldLine]:
    """The first fields, each with its stage or why it was left out."""
    return [_line(number, field) for number, field in enumerate(staging.fields[:LISTED], 1)]


def _line(number: int, field: StagedField) -> FieldLine:
    if field.label is None:
        return FieldLine(number, field, names.field_state_name(field.state), None)
    return FieldLine(number, field, names.leukemia_name(field.label), field.probabilities[field.label])


@register.filter
def interval(share: StageShare) -> str:
    """The 95 % interval of a probability, in whole %."""
    return f"{100 * share.low:.0f}–{100 * share.high:.0f} %"


@register.filter
def unlisted(staging: StagedSmear) -> int:
    """How many fields the list leaves out."""
    return max(0, len(staging.fields) - LISTED)


@register.simple_tag
def staging_answers() -> list[tuple[str, str]]:
    """What a person can say instead of the machine."""
    return [(label, str(name)) for label, name in names.STAGING_ANSWERS.items()]


@register.simple_tag
def field_marks(staging: StagedSmear, run: AnalysisRun) -> SafeString:
    """The fields as SVG, each in the colour of its stage; those left out are dashed."""
    size = max(run.width or 0, run.height or 0) / 40
    marks = [_mark(number, field) for number, field in enumerate(staging.fields, 1)]
    if len(staging.fields) <= NUMBERED:
        marks += [_number(number, field, size) for number, field in enumerate(staging.fields, 1)]
    return format_html_join("", "{}", [(mark,) for mark in marks])


def _mark(number: int, field: StagedField) -> SafeString:
    x0, y0, x1, y1 = field.box
    css = field.label if field.state is FieldState.STAGED and field.label else "left-out"
    words = f"{number}: {_line(number, field).name}"
    return format_html(
        '<rect class="stage-field stage-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
        css,
        x0,
        y0,
        x1 - x0,
        y1 - y0,
        words,
    )


def _number(number: int, field: StagedField, size: float) -> SafeString:
    x0, y0, *_ = field.box
    mark = '<text class="stage-number" x="{}" y="{}" font-size="{}" dx="0.3em" dy="1.1em">{}</text>'
    return format_html(mark, x0, y0, f"{size:.1f}", number)
