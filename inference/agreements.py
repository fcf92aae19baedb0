"""How far the readers of a laboratory agree with each other and with the machine, for its administrator."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.shortcuts import get_object_or_404

from accounts.permissions import Verb, require
from accounts.selectors import people_for
from accounts.types import User
from inference.models import CellReview, SecondReview
from inference.pipeline.agreement import Agreement, agreement

Table = Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Tables:
    """Pairs of calls of one reader, or of all: theirs beside the machine's, called `blind` and `open`, and
    theirs beside another pathologist's."""

    blind: Table = field(default_factory=Counter)
    open: Table = field(default_factory=Counter)
    peers: Table = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class ReaderAgreement:
    """The agreement of one reader, or of all: with the machine, whose call was hidden (`blind`) or in sight
    (`open`), and with other pathologists (`peers`) who had not seen theirs."""

    reader: User | None
    blind: Agreement
    open: Agreement
    peers: Agreement

    @classmethod
    def of(cls, reader: User | None, tables: Tables) -> "ReaderAgreement":
        return cls(reader, agreement(tables.blind), agreement(tables.open), agreement(tables.peers))


@dataclass(frozen=True, slots=True)
class LabAgreement:
    """The readers of a laboratory by name, and all of them together."""

    everyone: ReaderAgreement
    readers: list[ReaderAgreement]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often a reader called a cell so that the machine, or another pathologist, called otherwise."""

    mine: str
    other: str
    count: int


@dataclass(frozen=True, slots=True)
class ReaderDetail:
    """One reader with the pairs of classes on which they and the others differ, the most frequent first."""

    found: ReaderAgreement
    blind: list[Confusion]
    open: list[Confusion]
    peers: list[Confusion]


def lab_agreement(actor: User) -> LabAgreement:
    """Every reader of the laboratory who has called a cell, and all of them together."""
    require(actor, Verb.LAB_AGREEMENT, actor.lab)
    by_reader, whole = _tables(actor)
    people = people_for(actor).in_bulk(list(by_reader))
    readers = [ReaderAgreement.of(person, by_reader[key]) for key, person in people.items()]
    readers.sort(key=lambda one: str(one.reader))
    return LabAgreement(ReaderAgreement.of(None, whole), readers)


def reader_detail(actor: User, reader_id: UUID) -> ReaderDetail:
    """One reader of the laboratory; Http404 outside it."""
    require(actor, Verb.LAB_AGREEMENT, actor.lab)
    reader = get_object_or_404(people_for(actor), pk=reader_id)
    tables = _tables(actor)[0].get(reader.pk, Tables())
    differ = (_confusions(table) for table in (tables.blind, tables.open, tables.peers))
    return ReaderDetail(ReaderAgreement.of(reader, tables), *differ)


def _confusions(table: Table) -> list[Confusion]:
    return [Confusion(*pair, count) for pair, count in table.most_common() if pair[0] != pair[1]]


def _tables(actor: User) -> tuple[dict[UUID, Tables], Tables]:
    """The pairs of calls by reader, and of all readers, each pair of pathologists once."""
    found: dict[UUID, Tables] = {}
    whole = Tables()
    for reader, blind, mine, machines, count in _beside_the_machine(actor):
        for tables in (found.setdefault(reader, Tables()), whole):
            (tables.blind if blind else tables.open)[mine, machines] += count
    for first, second, one, other, count in _beside_each_other(actor):
        found.setdefault(first, Tables()).peers[one, other] += count
        found.setdefault(second, Tables()).peers[other, one] += count
        whole.peers[one, other] += count
    return found, whole


def _beside_the_machine(actor: User) -> Iterable[tuple[Any, ...]]:
    """Each reader's first word on each cell, as first or as second pathologist: reader, blind, their class,
    the machine's, how many. What was changed afterwards may have followed what was then seen."""
    earlier = CellReview.objects.filter(
        cell=OuterRef("cell"), reviewer=OuterRef("reviewer"), pk__lt=OuterRef("pk")
    )
    firsts = CellReview.objects.filter(~Exists(earlier), settles=None)
    seconds = SecondReview.objects.filter(informed=False)
    for words in (firsts, seconds):
        yield from _of_lab(actor, words).values_list("reviewer", "blind", "label", "cell__label", "count")


def _beside_each_other(actor: User) -> Iterable[tuple[Any, ...]]:
    """The second pathologists' calls that were made without knowing the first ones: first and second reader,
    their classes, how many; also those taken back later, which the differing may have led to."""
    words = SecondReview.objects.filter(informed=False, cell__run__lab=actor.lab_id).order_by()
    columns = ("first__reviewer", "reviewer", "first__label", "label")
    return words.values(*columns).annotate(count=Count("pk")).values_list(*columns, "count")


def _of_lab(actor: User, words: QuerySet[Any]) -> QuerySet[Any]:
    mine = words.filter(Q(cell__run__lab=actor.lab_id)).order_by()
    return mine.values("reviewer", "blind", "label", "cell__label").annotate(count=Count("pk"))
