"""The delta check: what changed since the patient's last signed smear, and whether it is the same patient."""

from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from inference import history, names
from inference.history import EarlierCase
from inference.models import AnalysisRun, IdentityCheck
from inference.pipeline import delta
from inference.pipeline.aggregation import FEW_CELLS
from inference.pipeline.delta import Change

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One class in both counts, and what the difference means, in words."""

    name: str
    change: Change
    is_implausible: bool

    @property
    def words(self) -> str:
        if self.is_implausible:
            return _("more than blood changes in this time")
        return _("beyond counting error") if self.change.beyond else _("within counting error")


class _Compared:
    """What two counts amount to."""

    changes: tuple[Change, ...]

    @property
    def before(self) -> int:
        return sum(change.before.count for change in self.changes)

    @property
    def after(self) -> int:
        return sum(change.after.count for change in self.changes)


@dataclass(frozen=True)
class RedChanges(_Compared):
    """The shapes of the red cells of a case compared with those of the patient's last; nobody's identity is
    doubted for them. Without changes one of the two has no classified red cells."""

    changes: tuple[Change, ...] = ()

    @property
    def lines(self) -> list[ChangeLine]:
        """The shapes of which either has a cell."""
        seen = (change for change in self.changes if change.before.count or change.after.count)
        return [ChangeLine(names.red_finding_name(one.key), one, False) for one in seen]

    @property
    def beyond(self) -> list[ChangeLine]:
        return [line for line in self.lines if line.change.beyond]


@dataclass(frozen=True)
class Identity(_Compared):
    """The comparison of a case with the patient's last; `earlier` None where there is nothing to compare.

    `alarming` are the classes that make it doubtful that both are one patient's, and `check` is a person's
    answer to just these.
    """

    earlier: EarlierCase | None = None
    days: float = 0.0
    changes: tuple[Change, ...] = ()
    alarming: tuple[Change, ...] = ()
    check: IdentityCheck | None = field(default=None)

    @property
    def lines(self) -> list[ChangeLine]:
        return [ChangeLine(names.class_name(one.key), one, one in self.alarming) for one in self.changes]

    @property
    def is_few(self) -> bool:
        """Whether too few leukocytes were counted for any alarm."""
        return min(self.before, self.after) < FEW_CELLS

    @property
    def is_late(self) -> bool:
        """Whether so much time lies between that any change is plausible."""
        return self.days > delta.LATE_DAYS

    @property
    def beyond(self) -> list[ChangeLine]:
        """The classes that changed beyond counting error."""
        return [line for line in self.lines if line.change.beyond]

    @property
    def is_open(self) -> bool:
        """Whether a person must say whose blood this is."""
        return bool(self.alarming) and self.check is None

    @property
    def blocks_sign_off(self) -> str:
        return _("Check identity: the change since the last smear is implausible.") if self.is_open else ""


def identity(run: AnalysisRun) -> Identity:
    """The case of a run against the patient's last signed smear, as both count now."""
    earlier = history.earlier_case(run)
    if earlier is None:
        return Identity()
    between = run.smear.case.collected_at - earlier.collected_at
    days = between.total_seconds() / DAY_SECONDS
    changes = delta.compare(*history.both_counts(run, earlier))
    alarming = delta.implausible(changes, days)
    return Identity(earlier, days, changes, alarming, _answer(run, earlier, alarming) if alarming else None)


def red_changes(run: AnalysisRun, earlier: EarlierCase | None) -> RedChanges:
    """The red cells of the case of a run against those of the patient's last signed smear."""
    if earlier is None:
        return RedChanges()
    return RedChanges(delta.compare_red(*history.both_red_counts(run, earlier)))


def _answer(run: AnalysisRun, earlier: EarlierCase, alarming: tuple[Change, ...]) -> IdentityCheck | None:
    """The latest check of this very comparison that knew of every class that now alarms."""
    checks = IdentityCheck.objects.filter(case=run.smear.case_id, earlier=earlier.case_id)
    keys = {change.key for change in alarming}
    known = checks.select_related("checked_by").order_by("-checked_at")
    return next((check for check in known if keys <= set(check.classes)), None)
