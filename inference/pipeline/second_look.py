"""A second look at every call of a slide: where the network looked, what else was tried where the call is in
doubt, and why a person should look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.pipeline.calls import Reader
from inference.pipeline.cell_words import Description
from inference.pipeline.explanation import explain
from inference.pipeline.faithfulness import receipts
from inference.pipeline.findings import (
    Call,
    Cell,
    Explanation,
    Image,
    Remediation,
    Remedy,
    SecondCall,
    Stored,
)
from inference.pipeline.reasons import Circumstances, review_reasons
from inference.pipeline.remediation import Doubted, doubts, remediate
from inference.pipeline.search import Found
from inference.pipeline.words import Cut, in_words

AT_ONCE = 32

SECOND_READER = "second_reader"
"""Why a cell is called again that a second reader doubts."""

Called = tuple[Call, SecondCall | None]


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a second look at a cell: the call that stands, why a person should look at it, if anybody
    should, its heat map and words then, and what was tried, where something was."""

    call: Call
    reasons: tuple[str, ...]
    explanation: Explanation | None
    remediation: Remediation | None
    words: Description | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some cells, all parts in the same order: the cells as they were cut, their crops as they are explained,
    and what they are called."""

    cuts: list[Cut]
    explained: list[Image]
    called: Sequence[Called]


def second_look(
    reader: Reader,
    cells: tuple[Found, Sequence[Stored]],
    called: Sequence[Called],
    part: Callable[[float], None],
) -> list[Looked]:
    """Look again at all white cells of a slide, a batch at a time.

    Takes the reader that called them, what was found on the slide with the crops of its white cells, and the
    first and second network's call of each. Every cell is asked for its focus; only the heat maps of cells
    that a person is to look at are kept, with their receipts, and only these cells are put into words.
    """
    (found, crops), looked = cells, list[Looked]()
    for start in range(0, len(found.whites), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        shown = zip(found.whites[some], crops[some], strict=True)
        padding = reader.config.cells.padding
        cuts = [Cut.of(np.asarray(crop), white, padding, found.pixel_um) for white, crop in shown]
        explained = reader.filter.crops([cut.crop for cut in cuts])
        looked += _look(reader, _Batch(cuts, explained, called[some]))
        part(len(looked) / len(found.whites))
    return looked


def _look(reader: Reader, batch: _Batch) -> list[Looked]:
    calls = [call for call, _ in batch.called]
    explanations = _explained(reader, batch, calls, range(len(calls)))
    settled = _remedied(reader, batch, explanations)
    changed = [place for place, (_, tried) in settled.items() if tried.changed]
    for place, (call, _) in settled.items():
        calls[place] = call
    for place, explanation in zip(changed, _explained(reader, batch, calls, changed), strict=True):
        explanations[place] = explanation
    whole = [
        Looked(call, (), explanation, settled[place][1] if place in settled else None)
        for place, (call, explanation) in enumerate(zip(calls, explanations, strict=True))
    ]
    if reader.config.review_contradicted:
        whole = [_worded(reader, cut, one) for cut, one in zip(batch.cuts, whole, strict=True)]
    looked = [_reasoned(reader, one, second) for one, (_, second) in zip(whole, batch.called, strict=True)]
    return _kept(reader, batch, looked)


def _reasoned(reader: Reader, one: Looked, second: SecondCall | None) -> Looked:
    focus = one.explanation.focus_ratio if one.explanation else 1.0
    known = Circumstances(
        second,
        stain_beyond=reader.colours.beyond is not None,
        off_cell=focus < reader.network.card.focus_below,
        tried=one.remediation,
        words=one.words,
    )
    return replace(one, reasons=review_reasons(one.call, known, reader.config))


def _worded(reader: Reader, cut: Cut, one: Looked) -> Looked:
    """Put a cell into words as what stands, unless that is done."""
    if one.words or not one.explanation:
        return one
    explanation, words = in_words(cut, one.call, reader.network.card, one.explanation)
    return replace(one, explanation=explanation, words=words)


def _explained(
    reader: Reader, batch: _Batch, calls: Sequence[Call], places: Sequence[int]
) -> list[Explanation]:
    return explain(
        [batch.explained[place] for place in places],
        [calls[place].label for place in places],
        [batch.cuts[place].outline for place in places],
        (reader.network.module, reader.network.card),
    )


def _remedied(
    reader: Reader, batch: _Batch, explanations: Sequence[Explanation]
) -> dict[int, tuple[Call, Remediation]]:
    """Call the doubted cells of a batch again, where the laboratory chose that."""
    if reader.remedies is None:
        return {}
    doubted, beyond = {}, reader.colours.beyond is not None
    for place, explanation in enumerate(explanations):
        focus = explanation.focus_ratio
        if triggers := doubts(focus, beyond, reader.network.card):
            cut, (call, _) = batch.cuts[place], batch.called[place]
            doubted[place] = Doubted(cut.crop, cut.outline, call, focus, triggers)
    tried = remediate([*doubted.values()], reader.remedies, reader.see, reader.network, reader.config)
    return dict(zip(doubted, tried, strict=True))


def _kept(reader: Reader, batch: _Batch, looked: Sequence[Looked]) -> list[Looked]:
    """Give the cells that a person will see words, and their heat maps receipts; drop those of the others."""
    kept = [replace(one, explanation=None, words=None) for one in looked]
    shown = [place for place, one in enumerate(looked) if one.reasons and one.explanation]
    whole = [_worded(reader, batch.cuts[place], looked[place]) for place in shown]
    maps = [np.asarray(one.explanation.heatmap) for one in whole if one.explanation]
    given = receipts(
        [batch.explained[place] for place in shown], maps, [one.call.label for one in whole], reader.network
    )
    for place, one, heatmap, receipt in zip(shown, whole, maps, given, strict=True):
        if one.explanation is not None:
            explanation = replace(one.explanation, heatmap=reader.spool.keep(heatmap), receipt=receipt)
            kept[place] = replace(one, explanation=explanation)
    return kept


def called_again(reader: Reader, cells: Sequence[Cell]) -> list[Cell]:
    """Try the remedies on the cells that a second reader doubts, where the laboratory chose that.

    Takes the white cells of the reader's slide. What was tried is kept beside each cell; its call stays,
    whatever comes of it: a reading asks for a second look and never changes a call.
    """
    again = list(cells)
    if reader.remedies is None:
        return again
    doubted = {place: found for place, cell in enumerate(cells) if (found := _doubted(reader, cell))}
    tried = remediate([*doubted.values()], reader.remedies, reader.see, reader.network, reader.config)
    for place, (_, remediation) in zip(doubted, tried, strict=True):
        again[place] = replace(cells[place], remediation=replace(remediation, stands=Remedy.NONE))
    return again


def _doubted(reader: Reader, cell: Cell) -> Doubted | None:
    """Return a cell that a second reader doubts and for which nothing was tried yet."""
    call, explanation, reading = cell.call, cell.explanation, cell.reading
    if cell.remediation or not (call and explanation and reading and reading.doubts):
        return None
    outline = reader.outline(cell.instance)
    return Doubted(np.asarray(cell.crop), outline, call, explanation.focus_ratio, (SECOND_READER,))
