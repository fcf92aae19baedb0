"""What counts say against limits, in words."""

from django import template
from django.utils.translation import gettext as _

from inference.pipeline.decision import MOST_MORE, Side, Verdict, verdict
from inference.results import ClassLine

register = template.Library()

DECISION_LIMITS: dict[str, tuple[float, ...]] = {"blast": (20.0,)}
"""Limits in % beside the reference range: from 20 % blasts on a leukemia is acute (WHO 2016, ICC 2022)."""


@register.filter
def decided(line: ClassLine, total: int) -> list[str]:
    """Whether a share of `total` leukocytes is decided against its limits, and if not, what would do."""
    limits = (*(line.reference or ()), *DECISION_LIMITS.get(line.key, ()))
    found = [verdict(line.count, total, limit) for limit in limits if limit > 0]
    undecided = [_undecided(one) for one in found if one.side is Side.UNDECIDED]
    return undecided or _decided(line, found)


def _undecided(one: Verdict) -> str:
    if one.more is None:
        return _("undecided at %(limit)g %%: not within %(most)s more cells") % {
            "limit": one.limit,
            "most": f"{MOST_MORE:,}",
        }
    return _("undecided at %(limit)g %%: about %(n)d more cells") % {"limit": one.limit, "n": one.more}


def _decided(line: ClassLine, found: list[Verdict]) -> list[str]:
    """All limits are decided: inside the range, or beyond the one it passed."""
    if line.reference and line.reference[0] <= line.percent <= line.reference[1]:
        return [_("within the range")]
    words = {Side.ABOVE: _("above %(limit)g %%"), Side.BELOW: _("below %(limit)g %%")}
    above = [one for one in found if one.side is Side.ABOVE]
    nearest = above[-1:] or found[:1]
    return [words[one.side] % {"limit": one.limit} for one in nearest]
