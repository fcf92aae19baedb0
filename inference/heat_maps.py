"""Heat maps and words on demand: a worker makes them of any cell while the person who asked for it waits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Self

from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.permissions import Verb, require
from accounts.types import User
from inference import answers, records
from inference.models import Cell
from inference.pipeline.cell_words import Description
from inference.pipeline.config import RBC_CLASSES, RBC_UNTRAINED, WBC_CLASSES, shape_of
from inference.pipeline.findings import Kind, Method, Receipt
from inference.results import ReviewedCell

EXPLAINED = {Kind.RBC: tuple(name for name in RBC_CLASSES if name not in RBC_UNTRAINED)}
"""The classes that a map can speak for, where they are not those of the white cells."""

HEAT_MAP_TASK = "inference.tasks.heat_map_of_cell"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which heat map a person wants. Empty, `method` is the usual one, `network` the one whose call counts,
    and `label` the class that the network called."""

    method: str = ""
    label: str = ""
    network: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """What the address of a request says."""
        return cls(*(given.get(part.name, "") for part in fields(cls)))


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A heat map as pages and API give it.

    `network` is the one that it explains, by name, `label` the class that it speaks for, of a red cell its
    shape. `picture` is the address of an RGBA PNG to lie over the crop, of a `fresh` one a data URI; the
    shares are those of its energy, 0–1, and like the receipt and the words None where they are not known.
    """

    method: Method
    network: str
    label: str
    picture: str
    strength: float
    focus_ratio: float
    nucleus_ratio: float | None
    cytoplasm_ratio: float | None
    background_ratio: float | None
    receipt: Receipt | None
    description: Description | None = None
    fresh: bool = False


def heat_map(actor: User, cell: Cell, asked: Asked = Asked()) -> HeatMap:
    """Explain why a network calls a cell so or, given a class, what would speak for that one.

    Raises answers.Refused for a cell that was not classified, an unknown method or class, a network that did
    not call the cell, and what `answers.ask` raises.
    """
    require(actor, Verb.RUN_VIEW, cell)
    chosen = method_of(asked.method)
    if not cell.label or not cell.crop:
        raise answers.Refused("not_classified", _("Only cells that were classified have a heat map."))
    said = records.called_by(cell)
    network = asked.network or next(iter(said))
    if network not in said:
        raise answers.Refused("unknown_network", _did_not_call(network, said))
    of = asked.label or said[network]
    if of not in classes(cell):
        raise answers.Refused("unknown_class", _not_known(of, cell))
    came = answers.ask(HEAT_MAP_TASK, cell.pk, chosen.value, of, network)
    made = {
        "method": chosen,
        "network": network,
        "receipt": Receipt(**came["receipt"]),
        "description": records.description(came["description"]),
    }
    return HeatMap(**{**came, **made}, fresh=True)


def classes(cell: Cell) -> tuple[str, ...]:
    """The classes that a map of a cell can speak for."""
    return EXPLAINED.get(Kind(cell.kind), WBC_CLASSES)


def asked_for(cell: ReviewedCell[Cell]) -> str:
    """The class that a map made anew speaks for: the call that stands or, where no network knows that one,
    the machine's."""
    return cell.label if cell.label in classes(cell.row) else cell.row.label


def _did_not_call(network: str, said: Iterable[str]) -> str:
    text = _("No network “%(name)s” called this cell. It was called by %(known)s.")
    return text % {"name": network, "known": ", ".join(said)}


def _not_known(label: str, cell: Cell) -> str:
    text = _("No map of this cell speaks for “%(label)s”. There are %(known)s.")
    return text % {"label": label, "known": ", ".join(classes(cell))}


def stored(cell: Cell) -> HeatMap | None:
    """The heat map that the analysis kept of a cell, if it kept one."""
    if not cell.heatmap:
        return None
    known = cell.explanation
    return HeatMap(
        method=Method(known.get("method", Method.HIRES_CAM)),
        network=next(iter(records.called_by(cell))),
        label=shape_of(cell.label),
        picture=reverse("inference:heatmap", args=(cell.run_id, cell.number)),
        strength=cell.heatmap_strength or 0.0,
        focus_ratio=cell.focus_ratio or 0.0,
        nucleus_ratio=known.get("nucleus_ratio"),
        cytoplasm_ratio=known.get("cytoplasm_ratio"),
        background_ratio=known.get("background_ratio"),
        receipt=records.receipt(cell),
        description=records.description(cell.description),
    )


def method_of(name: str) -> Method:
    """The method of a name, the usual one of an empty name. Raises answers.Refused where there is none."""
    try:
        return Method(name or Method.HIRES_CAM)
    except ValueError as error:
        known = ", ".join(Method)
        text = _("“%(name)s” is no way to make a heat map. There are %(known)s.")
        raise answers.Refused("unknown_method", text % {"name": name, "known": known}) from error
