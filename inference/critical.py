"""Critical findings of a case, and whether somebody was told of each; the table is `accounts.sign_off`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.selectors import red_cell_grades
from accounts.sign_off import CriticalFinding
from inference.models import CriticalCall
from inference.pipeline.aggregation import share
from inference.pipeline.config import RBC_CLASSES
from inference.pipeline.findings import Share
from inference.pipeline.red_cell_grading import LEAST_FOR_SCHISTOCYTES
from inference.totals import Totals

KNOWN_BEFORE: dict[str, Callable[[Any], frozenset[str]]] = {}
"""What classes of cells earlier signed reports of a case's patient hold; apps further right add theirs when
they get ready."""


@dataclass(frozen=True, slots=True)
class Found:
    """A critical finding of a case as its cells count now, and the calls about it that stand."""

    key: str
    name: str
    says: str
    calls: tuple[CriticalCall, ...]


def found(case: Any, cells: Totals, critical: Mapping[str, CriticalFinding]) -> list[Found]:
    """The critical findings of a case; three questions at most."""
    present = {key: words for key, one in critical.items() if (words := _words(case, cells, one))}
    calls = list(standing_calls(case.pk)) if present else []
    return [
        Found(key, str(critical[key].name), words, tuple(call for call in calls if call.finding == key))
        for key, words in present.items()
    ]


def standing_calls(case_id: UUID) -> QuerySet[CriticalCall]:
    """Who was told of what, the earliest first."""
    return CriticalCall.objects.filter(case=case_id, withdrawn_at=None).select_related("recorded_by")


def _words(case: Any, cells: Totals, one: CriticalFinding) -> str:
    """What was found; empty where it is not there, or not critical."""
    if one.cell_class in RBC_CLASSES:
        return _red_words(case, cells, one)
    count = cells.white(one.cell_class)
    if not count or one.first_only and _is_known(case, one.cell_class):
        return ""
    text = _("%(name)s: %(count)s of %(all)s leukocytes")
    words = text % {"name": one.name, "count": intcomma(count), "all": intcomma(cells.leukocytes)}
    return _("%(words)s; none in an earlier signed report.") % {"words": words} if one.first_only else words


def _is_known(case: Any, cell_class: str) -> bool:
    return any(cell_class in before(case) for before in KNOWN_BEFORE.values())


def _red_words(case: Any, cells: Totals, one: CriticalFinding) -> str:
    count, all_of_them = cells.red(one.cell_class), cells.red_classified
    if not count:
        return ""
    found = share(count, all_of_them)
    limit = red_cell_grades(case.lab_id)[one.cell_class][one.from_grade - 1] if one.from_grade else 0.0
    if not _reaches(found, all_of_them, limit):
        return ""
    text = _("%(name)s: %(count)s of %(all)s classified red cells, %(percent).1f %%")
    words = text % {
        "name": one.name,
        "count": intcomma(count),
        "all": intcomma(all_of_them),
        "percent": found.percent,
    }
    return _("%(words)s (limit %(limit)g %%).") % {"words": words, "limit": limit} if limit else f"{words}."


def _reaches(found: Share, cells: int, limit: float) -> bool:
    """Of few cells only an interval that lies above the limit as a whole says so."""
    return (found.percent if cells >= LEAST_FOR_SCHISTOCYTES else found.low) >= limit
