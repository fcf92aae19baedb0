"""Put a cell into words, and check it against the criteria of the class it is called."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from inference.pipeline.cell_words import Description, Morphology
from inference.pipeline.criteria import Between, Measures, Part, Typical, Verdict, table
from inference.pipeline.findings import Explanation
from inference.pipeline.haematology import MEASURED, NAMED, NUCLEUS_SURE
from inference.pipeline.told import Told

SENTENCES = {
    "seen": "Seen: {parts}.",
    "nucleus": "nucleus over {share:.0f} % of the cell's area",
    "no_nucleus": "no nucleus found",
    "size": "about {um:.0f} µm across",
    "across": "{um:.1f} µm across",
    "across_median": "{times:.2f} times the median diameter across",
    "long": "{times:.1f} times as long as wide",
    "circular": "circularity {value:.2f}",
    "centre": "centre {times:.2f} times as dense as the ring around it",
    "size_measured": "The size is measured and not seen by the network: the map speaks for a normal shape.",
    "told": "told by the network, which learnt it on mature cells of one laboratory: {parts}",
    "weighed": "For {name}: {supports}; against it: {contradicts}.",
    "nothing": "nothing measured",
    "as_told": "what the network tells",
    "told_against": "{words} as the network tells",
    "undecided": "Nothing that was measured speaks for or against {name}.",
    "looked": "{cell:.0f} % of the evidence lies on the cell.",
    "empty": "The heat map is empty: it shows no place that speaks for the call.",
    "looked_nucleus": "{cell:.0f} % of the evidence lies on the cell, {nucleus:.0f} % on the nucleus.",
}
"""All that is said of a cell, with gaps."""

ATTRIBUTES: Mapping[str, tuple[Part, Mapping[str, str]]] = {
    "chromatin_density": (Part.CHROMATIN, {"loosely": "loose", "densely": "dense"}),
    "cytoplasm_colour": (Part.CYTOPLASM, {one: one for one in ("light blue", "blue", "purple blue")}),
    "cytoplasm_vacuole": (Part.CYTOPLASM, {"yes": "with vacuoles"}),
    "granule_type": (Part.GRANULES, {one: one for one in ("small", "round", "coarse")}),
    "granule_colour": (Part.GRANULES, {one: one for one in ("pink", "purple", "red")}),
}
"""The attributes that are named, and how their values are said of a part; others are not."""

GRANULAR = frozenset({"neutrophil", "eosinophil", "basophil"})
"""Where the granules colour the cytoplasm, the colour that is told is that between them, and is not named."""

Said = tuple[Part, str]
"""Words and the part of the cell they are said of."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What speaks for or against a call: as measured, and as told by the network."""

    measured: list[Said]
    told: list[Said] = field(default_factory=list)

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*_joined(self.measured), *_joined(self.told))))


def describe(
    label: str, cell: Morphology, told: Sequence[Told] = (), focus: Explanation | None = None
) -> Description:
    """Describe a cell in two or three sentences: what is seen, what speaks for and against its call, and
    where the evidence of the network lies.

    Args:
        label: the class that the words are written for.
        cell: what was measured on it.
        told: what the network tells of its attributes; only what is sure counts, and only in the five mature
            classes on which it was learnt.
        focus: the explanation of that class, None where there is none.

    Returns:
        The words, the same for the same cell.
    """
    sure = {one.attribute: one.value for one in told if one.sure} if label in NAMED else {}
    supports, contradicts = (_judged(label, cell, sure, verdict) for verdict in _WEIGHED)
    named = [said for said in _named(label, sure) if said not in supports.measured]
    sentences = (
        _seen(label, cell, named),
        weighed(label.replace("_", " "), supports, contradicts),
        looked(focus),
    )
    return Description(label, " ".join(filter(None, sentences)), supports.lines, contradicts.lines)


_WEIGHED = (Verdict.SUPPORTS, Verdict.CONTRADICTS)


def _judged(label: str, cell: Morphology, sure: Mapping[str, str], wanted: Verdict) -> Judged:
    limits = table()["limits"].get(label, {})
    found = measured(MEASURED.get(label, ()), cell, limits, wanted)
    named = [(one.part, getattr(one, wanted)) for one in NAMED.get(label, ()) if one.verdict(sure) == wanted]
    return Judged(found, named)


def measured(
    criteria: Iterable[Typical | Between],
    cell: Measures,
    limits: Mapping[str, Mapping[str, float]],
    wanted: Verdict,
) -> list[Said]:
    """Say what of the measures of a cell has the `wanted` verdict; `limits` are those of its class by
    feature."""
    return [
        (one.part, getattr(one, wanted).format(value=getattr(cell, one.feature)))
        for one in criteria
        if one.verdict(cell, limits.get(one.feature, {})) == wanted
    ]


def _seen(label: str, cell: Morphology, named: Sequence[Said]) -> str:
    parts = [_nucleus(cell)] if label in NUCLEUS_SURE else []
    parts += [SENTENCES["size"].format(um=cell.cell_diameter_um)] if cell.cell_diameter_um else []
    seen = [", ".join(parts)] if parts else []
    if named:
        seen.append(SENTENCES["told"].format(parts=", ".join(_joined(named))))
    return SENTENCES["seen"].format(parts="; ".join(seen)) if seen else ""


def _nucleus(cell: Morphology) -> str:
    if not cell.nucleus_lobes or cell.nc_ratio is None:
        return SENTENCES["no_nucleus"]
    return SENTENCES["nucleus"].format(share=100 * cell.nc_ratio)


def _named(label: str, sure: Mapping[str, str]) -> list[Said]:
    left = {"cytoplasm_colour"} if label in GRANULAR else set()
    return [
        (part, words[sure[name]])
        for name, (part, words) in ATTRIBUTES.items()
        if name not in left and sure.get(name) in words
    ]


def weighed(name: str, supports: Judged, contradicts: Judged) -> str:
    """Say what speaks for and against what is named."""
    told = [SENTENCES["as_told"]] if supports.told else []
    pro = [*_joined(supports.measured), *told]
    contra = _joined(contradicts.measured)
    contra += [SENTENCES["told_against"].format(words=words) for words in _joined(contradicts.told)]
    if not pro and not contra:
        return SENTENCES["undecided"].format(name=name)
    return SENTENCES["weighed"].format(name=name, supports=_listed(pro), contradicts=_listed(contra))


def looked(focus: Explanation | None) -> str:
    """Say where the evidence of the network lies."""
    if focus is None:
        return ""
    if not focus.strength:
        return SENTENCES["empty"]
    if focus.nucleus_ratio is None:
        return SENTENCES["looked"].format(cell=100 * focus.focus_ratio)
    shares = {"cell": 100 * focus.focus_ratio, "nucleus": 100 * focus.nucleus_ratio}
    return SENTENCES["looked_nucleus"].format(**shares)


def _joined(said: Iterable[Said]) -> list[str]:
    """Say of every part at once what there is to say of it, so that no part is named twice."""
    by_part: dict[Part, list[str]] = {}
    for part, words in said:
        by_part.setdefault(part, []).append(words)
    return [f"{part} {_anded([*dict.fromkeys(words)])}" for part, words in by_part.items()]


def _anded(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts) or SENTENCES["nothing"]
