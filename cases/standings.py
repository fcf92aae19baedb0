"""Where cases stand beyond their status, in facts that the apps further right know."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.types import User


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to say about where a case stands: in words, and as a bar where `progress`, 0–1, is known."""

    text: str
    progress: float | None = None
    is_bad: bool = False


Facts = Mapping[UUID, list[Fact]]
Source = Callable[[User, Sequence[Any]], Facts]

# Apps further right add theirs when they get ready. A source is asked once for all cases of a page, so that
# the number of queries does not grow with them.
SOURCES: dict[str, Source] = {}


def facts(user: User, cases: Sequence[Any]) -> dict[UUID, list[Fact]]:
    """Everything known about some cases, by their ids, in the order of work."""
    said: dict[UUID, list[Fact]] = {case.pk: [] for case in cases}
    for source in SOURCES.values():
        for case_id, found in source(user, cases).items():
            said[case_id].extend(found)
    return said
