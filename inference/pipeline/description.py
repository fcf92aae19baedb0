"""Put a cell into words, and check it against the criteria of the class it is called."""

from collections.abc import Sequence

from inference.pipeline.criteria import MEASURED, NAMED, Verdict, table
from inference.pipeline.findings import Description, Explanation, Morphology
from inference.pipeline.told import Told

NUCLEATED = frozenset(MEASURED) - {"platelet", "artifact"}
WORDS = {"granule_type": "{} granules", "granule_colour": "{} granules", "cytoplasm_colour": "{} cytoplasm"}
"""Attributes that the first sentence names where the network is sure."""


def describe(
    label: str, morphology: Morphology, told: Sequence[Told] = (), focus: Explanation | None = None
) -> Description:
    """Describe a cell in two or three sentences: what is seen, what speaks for and against its call, and
    where the evidence of the network lies.

    Args:
        label: the class that the cell is called.
        morphology: what was measured on it.
        told: what the network tells of its attributes; only what is sure counts, and only in the five mature
            classes on which it was learnt.
        focus: the explanation of the call, None where there is none.

    Returns:
        The words, the same for the same cell.
    """
    sure = {one.attribute: one.value for one in told if one.sure} if label in NAMED else {}
    judged = _judged(label, morphology, sure)
    supports = tuple(dict.fromkeys(words for verdict, words in judged if verdict == Verdict.SUPPORTS))
    contradicts = tuple(dict.fromkeys(words for verdict, words in judged if verdict == Verdict.CONTRADICTS))
    sentences = (_seen(label, morphology, sure), _weighed(label, supports, contradicts), _looked(focus))
    return Description(" ".join(filter(None, sentences)), supports, contradicts)


def _judged(label: str, cell: Morphology, sure: dict[str, str]) -> list[tuple[Verdict, str]]:
    limits = table()["limits"].get(label, {})
    of = [(one, one.verdict(cell, limits.get(one.feature, {}))) for one in MEASURED.get(label, ())]
    named = [(one, one.verdict(sure)) for one in NAMED.get(label, ())]
    return [
        (verdict, one.supports if verdict == Verdict.SUPPORTS else one.contradicts)
        for one, verdict in (*of, *named)
    ]


def _seen(label: str, cell: Morphology, sure: dict[str, str]) -> str:
    size = f", about {cell.cell_diameter_um:.0f} µm across" if cell.cell_diameter_um else ""
    parts = _nucleus(cell) if label in NUCLEATED else []
    parts += [words.format(sure[name]) for name, words in WORDS.items() if sure.get(name, "nil") != "nil"]
    if not parts:
        return f"No measure of the nucleus applies{size}."
    return f"Seen: {_listed(parts)}{size}."


def _nucleus(cell: Morphology) -> list[str]:
    if not cell.nucleus_lobes or cell.nc_ratio is None:
        return ["no nucleus"]
    pieces = "in one piece" if cell.nucleus_lobes == 1 else f"of {cell.nucleus_lobes} lobes"
    return [f"a nucleus {pieces} that takes {100 * cell.nc_ratio:.0f} % of the cell's area"]


def _weighed(label: str, supports: Sequence[str], contradicts: Sequence[str]) -> str:
    name = label.replace("_", " ")
    if not supports and not contradicts:
        return f"Nothing that was measured speaks for or against {name}."
    against = f"against it: {_listed(contradicts)}" if contradicts else "nothing measured speaks against it"
    return f"For {name}: {_listed(supports) if supports else 'nothing that was measured'}; {against}."


def _looked(focus: Explanation | None) -> str:
    if focus is None:
        return ""
    nucleus = "" if focus.nucleus_ratio is None else f", {100 * focus.nucleus_ratio:.0f} % on the nucleus"
    return f"{100 * focus.focus_ratio:.0f} % of the evidence lies on the cell{nucleus}."


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
