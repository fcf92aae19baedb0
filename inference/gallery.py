"""What the gallery is told about a smear: its classified cells in columns, their sheets, and the keys of the
classes."""

from dataclasses import asdict
from itertools import chain
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.permissions import Verb, may
from accounts.types import User
from inference import marks, names, review, sheets, viewer
from inference.blind import Veil
from inference.models import AnalysisRun, CellReview
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.findings import Kind
from inference.reclassify import MOST

STREAMS = {Kind.WBC: (WBC_CLASSES, names.CLASS_KEYS), Kind.RBC: (review.RBC_ANSWERS, names.RED_KEYS)}
"""What a person can call the cells of a stream, and by which keys."""

RELIABLE = "explanation__receipt__reliable"
"""Whether a stored heat map was found reliable for its cell, null where it was not tried."""


def manifest(user: User, run: AnalysisRun) -> dict[str, Any]:
    """What a browser needs to show and call the cells of a run; templates of addresses carry 0 where a number
    goes. A class that is `usual` comes last, for the others are looked for."""
    of = (run.pk,)
    return {
        "id": str(run.pk),
        "reader": user.pk,
        "width": run.width,
        "height": run.height,
        "mayDecide": may(user, Verb.REVIEW_DECIDE) and not review.blocked(user, run),
        "most": MOST,
        "cells": reverse("inference:gallery-cells", args=of),
        "decide": reverse("inference:api-decide-many", args=of),
        "putBack": reverse("inference:api-put-back", args=of),
        "heat": reverse("inference:heatmap", args=(run.pk, 0)),
        "panel": reverse("inference:cell", args=(run.pk, 0)),
        "viewer": reverse("inference:viewer", args=of),
        "streams": [_stream(run, kind) for kind in STREAMS],
    }


def _stream(run: AnalysisRun, kind: Kind) -> dict[str, Any]:
    classes, keys = STREAMS[kind]
    return {
        "key": kind.value,
        "name": names.kind_name(kind),
        "choices": [{"key": label, "press": keys[label], "usual": label in marks.USUAL} for label in classes],
        "sheet": asdict(sheets.LAYOUTS[kind]),
        "sheets": reverse("inference:gallery-sheet", args=(run.pk, kind.value, 0)),
    }


def cells(run: AnalysisRun, veil: Veil) -> dict[str, Any]:
    """The classified cells of a run in the columns of the viewer, white ones first, in the order of the
    sheets; `heat` as `_heat` has it, `said` the id of the person's word that stands, or 0.

    What is hidden from the reader waits for their call: it needs review, and no class, no heat map, and of a
    first pathologist's call no more than its id comes with it.
    """
    seen = viewer.cells(run, veil)
    places = {number: place for place, number in enumerate(seen["number"])}
    ordered = chain.from_iterable(
        sheets.in_order(run, kind).values_list("pk", "number", "heatmap", RELIABLE) for kind in STREAMS
    )
    shown = []
    for key, number, *kept in ordered:
        shown.append((places[number], 0 if key in veil.machine else _heat(*kept)))
        if key in veil.either:
            seen["flags"][places[number]] |= viewer.NEEDS_REVIEW
    columns = {key: [values[place] for place, _ in shown] for key, values in seen.items()}
    standing = CellReview.objects.filter(cell__run=run, undone_at=None)
    said = dict(standing.values_list("cell__number", "pk"))
    return {
        **columns,
        "heat": [heat for _, heat in shown],
        "said": [said.get(number, 0) for number in columns["number"]],
    }


def _heat(heatmap: str, reliable: bool | None) -> int:
    """0 without a stored heat map, 2 with one that its receipt calls reliable, 1 with any other."""
    return (2 if reliable else 1) if heatmap else 0


def words() -> dict[str, str]:
    """What the gallery's script says."""
    return {
        "cell": _("Cell"),
        "in_hand": _("Cell %(number)s in hand"),
        "chosen": _("%(n)s cells chosen"),
        "no_cell": _("No cell in hand"),
        "no_map": _("No heat map is stored of cell %(number)s. The card beside makes one."),
        "not_reliable": _("heat map not reliable for this cell"),
        "needs_review": _("needs review"),
        "confirmed": _("confirmed"),
        "corrected": _("corrected"),
        "unidentified": _("Unidentified"),
        "unidentified_note": _(
            "You call them blind, or the network abstained; those count as the class they are called until "
            "someone decides."
        ),
        "also": _("%(n)s more unidentified"),
        "open": _("%(n)s open"),
        "empty": _("No cell of this class is shown."),
        "none": _("This smear has no classified cells of this kind."),
        "none_reason": _("No cell of this kind has this reason."),
        "none_open": _("No cell of this kind needs review."),
        "call_all": _("Call the chosen cells %(name)s"),
        "choose_all": _("Choose all"),
        "called": _("%(n)s: %(name)s."),
        "confirmed_all": _("%(n)s confirmed."),
        "one": _("Cell %(number)s"),
        "many": _("%(n)s cells"),
        "already": _("Nothing to change: that is your call already."),
        "undone": _("%(n)s: taken back."),
        "redone": _("%(n)s: called again."),
        "nothing_undo": _("Nothing to undo."),
        "nothing_redo": _("Nothing to redo."),
        "saving": _("Saving…"),
        "too_many": _("At most %(most)s cells can be called at a time; %(n)s are chosen."),
        "offline": _("The server did not answer. See whether the cells changed and call them again."),
        "failed": _("The server could not do this. The cells are chosen still."),
        "not_changed": _("Not changed: %(cells)s"),
        "load_failed": _("The cells could not be loaded."),
    }
