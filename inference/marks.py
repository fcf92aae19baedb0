"""How the viewer marks kinds and classes: by colour, line and letter code, never by colour alone.

All follows from the tables of names and classes: a class that is new there is marked without a change here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from inference import names
from inference.pipeline.config import RBC_CLASSES, WBC_CLASSES
from inference.pipeline.findings import Kind

PALETTE = ("#0072b2", "#e69f00", "#cc79a7", "#009e73", "#56b4e9", "#000000", "#d55e00")
"""Okabe and Ito (2008) without their yellow, which is not seen on the glass of a smear."""

QUIET = "#5b7d9c"
USUAL = ("normal",)
"""Classes that most cells have, drawn so that the others stand out."""

LINES = ("solid", "dashed", "dotted")
KIND_COLOURS = {Kind.WBC: "#d55e00", Kind.RBC: QUIET, Kind.PLATELET: "#009e73"}
KIND_LINES = {Kind.WBC: "solid", Kind.RBC: "dashed", Kind.PLATELET: "dotted"}
STREAMS = ((Kind.WBC, WBC_CLASSES), (Kind.RBC, RBC_CLASSES))


@dataclass(frozen=True, slots=True)
class Mark:
    """A class or kind as the viewer draws it; `stream` is the kind whose classes it stands among."""

    key: str
    name: str
    code: str
    colour: str
    line: str
    stream: str


def kind_marks() -> list[Mark]:
    """The marks of the kinds, in the order in which the pages name them."""
    named = codes(names.kind_name(kind) for kind in Kind)
    return [
        Mark(kind.value, names.kind_name(kind), code, KIND_COLOURS[kind], KIND_LINES[kind], kind.value)
        for kind, code in zip(Kind, named, strict=True)
    ]


def class_marks() -> list[Mark]:
    """The marks of all classes of all streams, in the order of the taxonomy."""
    labels = [(kind, label, place) for kind, classes in STREAMS for place, label in enumerate(classes)]
    named = codes(names.class_name(label) for _, label, _ in labels)
    return [_class_mark(*one, code) for one, code in zip(labels, named, strict=True)]


def _class_mark(kind: Kind, label: str, place: int, code: str) -> Mark:
    quiet = label in USUAL
    colour = QUIET if quiet else PALETTE[place % len(PALETTE)]
    line = LINES[0] if quiet else LINES[place // len(PALETTE) % len(LINES)]
    return Mark(label, names.class_name(label), code, colour, line, kind.value)


def codes(titles: Iterable[str]) -> list[str]:
    """Two letters for each name, no two alike: its first letter and the earliest other that is still free."""
    taken: list[str] = []
    for title in titles:
        taken.append(_code(title, taken))
    return taken


def _code(title: str, taken: list[str]) -> str:
    words = title.split()
    initials = [words[0][0] + words[1][0]] if len(words) > 1 else []
    letters = "".join(words)
    wanted = [*initials, *(letters[0] + letter for letter in letters[1:])]
    free = (code.capitalize() for code in wanted if code.capitalize() not in taken)
    return next(free, str(len(taken)))
