"""Heat maps of staged fields on demand: a worker makes one while the person who asked for it waits."""

from dataclasses import dataclass

from django.http import Http404
from django.utils.translation import gettext as _

from accounts.permissions import Verb, require
from accounts.types import User
from inference import answers
from inference.heat_maps import method_of
from inference.models import AnalysisRun
from inference.pipeline.findings import Box, Method, Receipt, StagedField
from inference.staged import StagedSmear, staged

FIELD_HEAT_MAP_TASK = "inference.tasks.heat_map_of_field"


@dataclass(frozen=True, slots=True)
class FieldHeatMap:
    """A heat map of a staged field as pages and API give it.

    `box` is where the field lies in its image, `label` the stage that it was called and the map speaks for.
    `field` is the field as the network saw it, squeezed into a square, and `picture` an RGBA PNG as large to
    lie over it, both data URIs. `focus_ratio` is the share 0–1 of the map's energy on nucleated cells,
    `covered_ratio` that of the field which they cover.
    """

    method: Method
    box: Box
    label: str
    field: str
    picture: str
    strength: float
    focus_ratio: float
    covered_ratio: float
    receipt: Receipt

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        return self.box[3] - self.box[1]


def field_heat_map(actor: User, run: AnalysisRun, number: int, method: str = "") -> FieldHeatMap:
    """Explain why the staging network called a field so, by a method or, without one, the usual one.

    Fields are counted from 1, in the order of the staging. Raises Http404 where there is no such field,
    answers.Refused for one that was not staged and for an unknown method, and what `answers.ask` raises.
    """
    require(actor, Verb.RUN_VIEW, run)
    chosen, staging = method_of(method), staged(run)
    field = _numbered(staging, number)
    if staging.row is None or field.label is None:
        raise answers.Refused("not_staged", _("Only fields that were staged have a heat map."))
    came = answers.ask(FIELD_HEAT_MAP_TASK, staging.row.pk, number, chosen.value)
    made = {"method": chosen, "box": field.box, "label": field.label, "receipt": Receipt(**came["receipt"])}
    return FieldHeatMap(**{**came, **made})


def _numbered(staging: StagedSmear, number: int) -> StagedField:
    if not 1 <= number <= len(staging.fields):
        raise Http404
    return staging.fields[number - 1]
