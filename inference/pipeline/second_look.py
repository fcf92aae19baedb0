"""A second look at every call of a slide: where the network looked, what else was tried where the call is in
doubt, and why a person should look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.pipeline.calls import Reader
from inference.pipeline.config import Config
from inference.pipeline.explanation import explain
from inference.pipeline.faithfulness import receipts
from inference.pipeline.findings import (
    Call,
    Explanation,
    Image,
    Instance,
    Outline,
    Remediation,
    SecondCall,
    Stored,
)
from inference.pipeline.remediation import Doubted, doubts, remediate

AT_ONCE = 32

Called = tuple[Call, SecondCall | None]


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a second look at a cell: the call that stands, why a person should look at it, if anybody
    should, its heat map then, and what was tried, where something was."""

    call: Call
    reasons: tuple[str, ...]
    explanation: Explanation | None
    remediation: Remediation | None


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some cells, all parts in the same order: their crops, uint8 RGB (side, side, 3), as they were cut and
    as they are explained, and the outlines in crop pixels."""

    crops: list[Image]
    explained: list[Image]
    outlines: list[Outline]
    called: Sequence[Called]


def second_look(
    reader: Reader,
    cells: tuple[Sequence[Instance], Sequence[Stored]],
    called: Sequence[Called],
    part: Callable[[float], None],
) -> list[Looked]:
    """Look again at all white cells of a slide, a batch at a time.

    Takes the reader that called them, the cells with their crops, and the first and second network's call of
    each. Every cell is asked for its focus; only the heat maps of cells that a person is to look at are kept,
    with their receipts.
    """
    (whites, crops), looked = cells, list[Looked]()
    for start in range(0, len(whites), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        cut = [np.asarray(crop) for crop in crops[some]]
        outlines = [reader.outline(instance) for instance in whites[some]]
        looked += _look(reader, _Batch(cut, reader.filter.crops(cut), outlines, called[some]))
        part(len(looked) / len(whites))
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
    looked = []
    for place, (_, second) in enumerate(batch.called):
        call, tried = calls[place], settled[place][1] if place in settled else None
        off_cell = explanations[place].focus_ratio < reader.network.card.focus_below
        reasons = review_reasons(
            call, reader.config, second, reader.colours.beyond is not None, off_cell, tried
        )
        looked.append(Looked(call, reasons, explanations[place], tried))
    return _kept(reader, batch, looked)


def _explained(
    reader: Reader, batch: _Batch, calls: Sequence[Call], places: Sequence[int]
) -> list[Explanation]:
    return explain(
        [batch.explained[place] for place in places],
        [calls[place].label for place in places],
        [batch.outlines[place] for place in places],
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
            cell = batch.crops[place], batch.outlines[place], batch.called[place][0]
            doubted[place] = Doubted(*cell, focus, triggers)
    tried = remediate([*doubted.values()], reader.remedies, reader.see, reader.network, reader.config)
    return dict(zip(doubted, tried, strict=True))


def _kept(reader: Reader, batch: _Batch, looked: Sequence[Looked]) -> list[Looked]:
    """Give the heat maps that a person will see their receipts, and drop the others."""
    kept = [replace(one, explanation=None) for one in looked]
    shown = [place for place, one in enumerate(looked) if one.reasons]
    maps = [np.asarray(one.explanation.heatmap) for one in looked if one.reasons and one.explanation]
    given = receipts(
        [batch.explained[place] for place in shown],
        maps,
        [looked[place].call.label for place in shown],
        reader.network,
    )
    for place, heatmap, receipt in zip(shown, maps, given, strict=True):
        explanation = looked[place].explanation
        if explanation is not None:
            stored = reader.spool.keep(heatmap)
            whole = replace(explanation, heatmap=stored, receipt=receipt)
            kept[place] = replace(looked[place], explanation=whole)
    return kept


def review_reasons(
    call: Call,
    config: Config,
    second: SecondCall | None = None,
    stain_beyond: bool = False,
    off_cell: bool = False,
    tried: Remediation | None = None,
) -> tuple[str, ...]:
    """Say why a person should look at a cell; an empty tuple when nobody needs to.

    A cell out of distribution goes to review for that alone: it is no abstention, which means that the
    network cannot decide between classes it knows.

    Args:
        call: the call that stands.
        config: the laboratory's choices.
        second: what a second network calls the cell.
        stain_beyond: the stain of the slide is further from the network's than normalisation can bridge.
        off_cell: the evidence for the call lies beside the cell.
        tried: what was tried on the cell, where something was.
    """
    reasons = {
        "low_confidence": call.confidence < config.review_confidence,
        "abstained": call.abstained,
        "out_of_distribution": call.out_of_distribution,
        "networks_disagree": second is not None and second.label != call.label,
        "blast": call.label == "blast",
        "stain": stain_beyond,
        "off_cell": off_cell,
        "called_again": tried is not None and tried.changed,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)
