"""Whose work stands where: the lists of each role, what is new in them, and in which order."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as translate
from django.utils.translation import gettext_lazy as _

from accounts.types import Role, User

from .models import Answer, Case, CaseLook, Question
from .selectors import UNANSWERED, cases_for, search_cases, stat_first, with_smears
from .standings import Fact, facts

Status = Case.Status
NEWS = (Status.ATTENTION, Status.REVIEW, Status.READY, Status.REPORTED)
"""States whose beginning is news; that an analysis began is what the person who handed a smear in did."""


# --- tabs -----------------------------------------------------------------------------------------
Condition = Callable[[User], Q]


@dataclass(frozen=True, slots=True)
class Tab:
    """One list of a role's work: the cases in `statuses`, and those that `also` finds; `own`: only one's own;
    `done`: the newest first."""

    key: str
    title: Any
    statuses: tuple[str, ...]
    empty: Any
    own: bool = False
    done: bool = False
    also: Condition | None = None

    def condition(self, user: User) -> Q:
        chosen = Q(status__in=self.statuses)
        if self.also is not None:
            chosen |= self.also(user)
        return chosen & Q(created_by=user) if self.own else chosen


def is_new(user: User) -> Q:
    """The cases in which something has come to pass since the person looked."""
    moved, answered = _looks_before_a_move(user), _answers_since_a_look(user)
    return Q(pk__in=moved.values("case")) | Q(pk__in=answered.values("question__case"))


def _looks_before_a_move(user: User) -> QuerySet[CaseLook]:
    """The person's looks at cases that stand otherwise since; a case never looked at cannot have changed."""
    moved = ~Q(status=F("case__status")) | Q(case__status_since__gt=F("looked_at"))
    return CaseLook.objects.filter(moved, person=user, case__status__in=NEWS)


def _answers_since_a_look(user: User) -> QuerySet[Answer]:
    """Other people's answers in cases that the person looked at before."""
    since = F("question__case__looks__looked_at")
    answers = Answer.objects.filter(question__case__looks__person=user, answered_at__gt=since)
    return answers.exclude(answered_by=user)


def is_asked(user: User) -> Q:
    """The cases with a question that nobody has answered."""
    return Q(pk__in=Question.objects.filter(UNANSWERED, lab=user.lab_id).order_by().values("case"))


OPEN = tuple(status for status in Status.values if status != Status.REPORTED)
MINE = Tab(
    "mine", _("My cases"), OPEN, _("You have no open case, and nothing is new."), own=True, also=is_new
)
NEW = Tab("new", _("New to me"), (), _("Nothing has changed since you looked."), own=True, also=is_new)
SIGNED = Tab(
    "signed", _("My reported"), (Status.REPORTED,), _("No case of yours has been reported yet."), True, True
)
ALL_OPEN = Tab("open", _("All open"), OPEN, _("The laboratory has no open case."))
WAITING = Tab(
    "waiting", _("Waiting"), (Status.NEW, Status.ANALYSING), _("No case waits for smears or analysis.")
)
FAILED = Tab("failed", _("Failed"), (Status.ATTENTION,), _("No analysis has failed."))
REVIEW = Tab("review", _("In review"), (Status.REVIEW,), _("No case is in review."))
READY = Tab("ready", _("Ready to report"), (Status.READY,), _("No case waits for its report."))
ASKED = Tab("asked", _("Questions"), (), _("No question is open."), also=is_asked)
REPORTED = Tab("reported", _("Reported"), (Status.REPORTED,), _("No case has been reported yet."), done=True)
TABS: dict[str, tuple[Tab, ...]] = {
    Role.CLINICIAN: (MINE, NEW, SIGNED, ALL_OPEN, WAITING, FAILED, REPORTED),
    Role.PATHOLOGIST: (REVIEW, READY, ASKED, ALL_OPEN, FAILED, REPORTED),
    Role.ADMINISTRATOR: (ALL_OPEN, FAILED, REPORTED),
}


# --- the list -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Worklist:
    """The chosen tab with its cases in the order of work, and every tab of the role with its count."""

    tab: Tab
    tabs: tuple[tuple[Tab, int], ...]
    cases: QuerySet[Case]


def worklist(user: User, filters: Mapping[str, Any]) -> Worklist:
    """`filters`: tab, q, priority, collected_from, collected_to. No tab: the first that holds a case."""
    found = _filtered(cases_for(user), filters)
    tabs = TABS[user.role]
    # Counted by a name of their own: a tab may have the name of a column.
    counts = found.aggregate(**{f"n_{tab.key}": Count("pk", filter=tab.condition(user)) for tab in tabs})
    counted = tuple((tab, counts[f"n_{tab.key}"]) for tab in tabs)
    first = next((tab for tab, count in counted if count), tabs[0])
    tab = next((tab for tab in tabs if tab.key == filters.get("tab")), first)
    order = "-created_at" if tab.done else "created_at"
    return Worklist(tab, counted, found.filter(tab.condition(user)).order_by(stat_first(), order, "pk"))


def _filtered(cases: QuerySet[Case], filters: Mapping[str, Any]) -> QuerySet[Case]:
    columns = {
        "priority": "priority",
        "status": "status",
        "collected_from": "collected_at__date__gte",
        "collected_to": "collected_at__date__lte",
    }
    wanted = {column: filters[name] for name, column in columns.items() if filters.get(name)}
    return search_cases(cases.filter(**wanted), filters.get("q") or "")


# --- its rows -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Row:
    """One case of a worklist: where it stands, and what is new about it; empty when nothing is."""

    case: Any
    facts: list[Fact]
    news: list[str]


def rows(user: User, cases: Iterable[Any]) -> list[Row]:
    """The rows of one page, in its order; what only they show is looked up for them alone."""
    order = [case.pk for case in cases]
    found = with_smears(_with_news(cases_for(user).filter(pk__in=order), user)).in_bulk()
    shown = [found[key] for key in order if key in found]
    known = facts(user, shown)
    return [Row(case, known[case.pk], _news(case)) for case in shown]


def _with_news(cases: QuerySet[Case], user: User) -> QuerySet[Case]:
    """With `seen_status`, whether the case `has_moved` and `has_answer` since the person looked, and
    `question_count`: how many are open."""
    look = CaseLook.objects.filter(case=OuterRef("pk"), person=user)
    waiting = Question.objects.filter(UNANSWERED, case=OuterRef("pk")).order_by().values("case")
    return cases.annotate(
        seen_status=Subquery(look.values("status")[:1]),
        has_moved=Exists(_looks_before_a_move(user).filter(case=OuterRef("pk"))),
        has_answer=Exists(_answers_since_a_look(user).filter(question__case=OuterRef("pk"))),
        question_count=Coalesce(Subquery(waiting.annotate(n=Count("pk")).values("n")), 0),
    )


def _news(case: Any) -> list[str]:
    said = [_moved(case)] if case.has_moved else []
    return [*said, translate("a question was answered")] if case.has_answer else said


def _moved(case: Any) -> str:
    if case.seen_status != case.status:
        return translate("was: %(before)s") % {"before": Status(case.seen_status).label}
    if case.status == Status.REPORTED:
        return translate("the report was amended")
    return translate("changed since you looked")
