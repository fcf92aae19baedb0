"""What people do by hand: count a differential at the microscope, and check whose blood a sample is."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import User
from cases import services as cases
from inference import names
from inference.models import ManualCount
from inference.pipeline import delta
from inference.pipeline.aggregation import share
from inference.pipeline.config import DIFFERENTIAL_CLASSES
from inference.pipeline.decision import Ratio, per_100
from inference.pipeline.delta import Change
from inference.pipeline.findings import Aggregate, Share

COUNTED = (*DIFFERENTIAL_CLASSES, "erythroblast", "artifact")
"""What has a key in a manual count; only the differential's classes count towards its end."""


class CountConflict(Exception):
    """A count cannot be kept or withdrawn; the text is for the person."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class HandLine:
    """One class as counted by hand; `change` leads from the machine's count to it, where there is one."""

    name: str
    share: Share
    change: Change | None

    @property
    def words(self) -> str:
        if self.change is None:
            return ""
        return _("differs") if self.change.beyond else _("agrees")


@dataclass(frozen=True, slots=True)
class CountedByHand:
    """A count that stands, line by line, beside what the machine counted in the same smear."""

    row: ManualCount
    lines: tuple[HandLine, ...]

    @property
    def total(self) -> int:
        return leukocytes(self.row.counts)

    @property
    def is_whole(self) -> bool:
        return self.total >= self.row.target

    @property
    def erythroblasts(self) -> Ratio | None:
        return per_100(self.row.counts.get("erythroblast", 0), self.total)

    @property
    def is_compared(self) -> bool:
        return any(line.change for line in self.lines)

    @property
    def differing(self) -> list[str]:
        return [line.name for line in self.lines if line.change and line.change.beyond]


def leukocytes(counts: Mapping[str, int]) -> int:
    """The cells of the differential, which make the 100 %."""
    return sum(counts.get(key, 0) for key in DIFFERENTIAL_CLASSES)


def machine_counts(figures: Aggregate) -> Counter[str]:
    """The differential's cells by class."""
    return Counter({key: part.count for key, part in figures.differential.items()})


def counted_by_hand(smear: Any, machine: Mapping[str, int]) -> list[CountedByHand]:
    """The counts of a smear that stand, the latest first, each against the machine's of the same smear."""
    rows = ManualCount.objects.filter(smear=smear, withdrawn_at=None).select_related("reader")
    return [_against(row, machine) for row in rows.order_by("-counted_at")]


def _against(row: ManualCount, machine: Mapping[str, int]) -> CountedByHand:
    changes = {change.key: change for change in delta.compare(machine, row.counts)}
    total = leukocytes(row.counts)
    lines = (
        HandLine(names.class_name(key), share(row.counts.get(key, 0), total), changes.get(key))
        for key in DIFFERENTIAL_CLASSES
    )
    return CountedByHand(row, tuple(lines))


def count_for(user: User, count_id: UUID) -> ManualCount:
    """One count; Http404 outside the laboratory."""
    return get_object_or_404(ManualCount.objects.filter(lab=user.lab).select_related("smear"), pk=count_id)


@dataclass(frozen=True, slots=True)
class Tally:
    """A count as it comes from the page."""

    count_id: UUID
    target: int
    counts: Mapping[str, int]
    comment: str = ""


def save(actor: User, smear: Any, tally: Tally) -> ManualCount:
    """Keep a count; the same one sent again is the same row. Raises CountConflict for what is no count."""
    require(actor, Verb.SMEAR_COUNT, smear)
    if smear.lab_id != actor.lab_id:
        raise PermissionDenied
    _check(tally)
    with transaction.atomic():
        cases.lock_case(smear.case_id)
        what = {
            "smear_id": smear.pk,
            "reader_id": actor.pk,
            "target": tally.target,
            "counts": {key: count for key, count in tally.counts.items() if count},
            "comment": tally.comment,
        }
        row, is_new = ManualCount.objects.get_or_create(pk=tally.count_id, defaults=what | {"lab": actor.lab})
        if any(getattr(row, column) != value for column, value in what.items()):
            raise CountConflict(_("This count was saved before, with other figures. Begin a new one."))
        if is_new:
            audit.record(actor, Verb.SMEAR_COUNT, smear, ends_at=row.target, counts=row.counts)
    return row


def _check(tally: Tally) -> None:
    total = leukocytes(tally.counts)
    if not set(tally.counts) <= set(COUNTED) or tally.target not in ManualCount.Target.values:
        raise CountConflict(_("This is not a count of the classes that are counted by hand."))
    if not 0 < total <= tally.target or min(tally.counts.values()) < 0:
        raise CountConflict(
            _("A count has 1 to %(target)d leukocytes, not %(n)d.") % {"target": tally.target, "n": total}
        )


def withdraw(actor: User, row: ManualCount) -> None:
    """Take back one's own count; the row stays. Raises CountConflict when it is not one's own or is gone."""
    require(actor, Verb.SMEAR_COUNT, row)
    with transaction.atomic():
        own = ManualCount.objects.filter(pk=row.pk, reader=actor, withdrawn_at=None)
        if not own.update(withdrawn_at=timezone.now()):
            raise CountConflict(_("Only your own count that stands can be withdrawn."))
        audit.record(actor, "smear.count_withdrawn", row, n=leukocytes(row.counts))
