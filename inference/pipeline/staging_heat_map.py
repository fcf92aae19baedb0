"""The heat map of one field of a staging that is over, by any method, for a person who asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.pipeline.explanation import covered, explain_within, outline_in_square
from inference.pipeline.findings import Box, Explanation, Image, Instance, Method, NetworkUsed
from inference.pipeline.heat_map import refuse_others
from inference.pipeline.networks import registry, runtime


@dataclass(frozen=True, slots=True)
class KeptField:
    """What a staging kept of a field: its pixels as they were cut, uint8 RGB (height, width, 3), the box they
    were cut from, the stage it was called, the nucleated cells that reach into it, the network that staged it
    and the folder in which the weights lie."""

    pixels: Image
    box: Box
    label: str
    cells: Sequence[Instance]
    network: NetworkUsed
    folder: Path = registry.WEIGHTS


@dataclass(frozen=True, slots=True)
class ExplainedField:
    """A field as the network saw it, squeezed into a square, uint8 RGB (side, side, 3), where it looked, with
    a heat map as wide, and the share 0–1 of the square that nucleated cells cover.

    The `focus_ratio` of the explanation is the share of the heat on them: as much as they cover where the map
    points at them no more than at the rest.
    """

    seen: Image
    explanation: Explanation
    covered_ratio: float


def field_heat_map(kept: KeptField, method: Method) -> ExplainedField:
    """Explain, with a receipt, why a field was called the stage it was.

    Raises PipelineError when the weights in use are others than those that staged it.
    """
    network = runtime.load(registry.STAGING_NETWORK, kept.folder)
    refuse_others(network.card, kept.network, "This field was staged")
    (seen,) = runtime.prepare([kept.pixels], network.card.input)
    cells = covered((outline_in_square(cell, kept.box, len(seen)) for cell in kept.cells), len(seen))
    (explanation,) = explain_within(
        [seen], [kept.label], [cells], (network.module, network.card), method=method, tried_on=network
    )
    return ExplainedField(seen, explanation, float(cells.mean()))
