"""The heat map of one cell of an analysis that is over, by any method, and the cell in words, for a person
who asks for it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.cell_words import Description
from inference.pipeline.classification import answers
from inference.pipeline.config import Config, shape_of
from inference.pipeline.errors import PipelineError
from inference.pipeline.explanation import explain
from inference.pipeline.findings import Call, Explanation, Image, Instance, Method, NetworkUsed
from inference.pipeline.levels import mask_of, shown
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import Network
from inference.pipeline.red_cell_findings import RedCellMeasures
from inference.pipeline.red_cell_words import describe
from inference.pipeline.seen_filter import SeenFilter
from inference.pipeline.words import Cut, in_words


@dataclass(frozen=True, slots=True)
class Kept:
    """What an analysis kept of a cell: its square as it was cut, uint8 RGB (side, side, 3), the cell, the µm
    per pixel of its image, None where nobody knows, the network that called it and is to be explained, what
    was measured on a red cell, None of a white one, and the folder in which the weights lie."""

    crop: Image
    instance: Instance
    pixel_um: float | None
    network: NetworkUsed
    measures: RedCellMeasures | None = None
    folder: Path = registry.WEIGHTS

    @property
    def cut(self) -> Cut:
        """The cell as it was cut out, with its outline and scale."""
        return Cut.of(self.crop, self.instance, Config().cells.padding, self.pixel_um)


def heat_map(kept: Kept, label: str, method: Method) -> tuple[Explanation, Description]:
    """Explain why a cell is called so, or what would speak for another class.

    Takes what was kept of the cell, the class to explain, and how the map is made. Gives the explanation with
    a receipt, and the words for that class. Of a red cell the shape of the class is explained: normal where
    the size makes it, which no network sees.

    Raises PipelineError when the weights in use are others than those that made the call, or when they do not
    know the class.
    """
    network = runtime.load(kept.network.name, kept.folder)
    refuse_others(network.card, kept.network, "This cell was called")
    _refuse_unknown(network.card, label)
    cut, card = kept.cut, network.card
    through = SeenFilter.of(cut.crop, "cell", card)
    (explanation,) = explain(
        through.crops([cut.crop]),
        [shape_of(label)],
        [cut.outline],
        (network.module, card),
        method=method,
        tried_on=network,
    )
    if kept.measures:
        return explanation, describe(label, kept.measures, explanation)
    told = _attributes(cut, through, network)
    return in_words(cut, Call(label, 1.0, {}, attributes=told), card, explanation)


def refuse_others(card: Card, used: NetworkUsed, done: str) -> None:
    """Raise PipelineError unless the card is that of the network used, whose work the words `done` name."""
    if card.sha256 != used.sha256:
        raise PipelineError(
            f"{done} by another version of the network than the one in use now, which would look elsewhere."
            " Analyse the smear again to see where the present one looks.",
            code="other_network",
        )


def _refuse_unknown(card: Card, label: str) -> None:
    if shape_of(label) not in card.labels:
        raise PipelineError(
            f"The network does not know the class {label}. It knows {', '.join(card.labels)}.",
            code="unknown_class",
        )


def _attributes(cut: Cut, through: SeenFilter, network: Network) -> NDArray[np.float32] | None:
    """Ask the network for the attributes again, in the views that need nothing but the crop."""
    mask = mask_of(cut.outline, len(cut.crop))
    names = [name for name in network.card.input.views if name != "reinhard"]
    if not network.card.attributes or not names:
        return None
    views = {name: [shown(name, cut.crop, mask)] for name in names}
    told: NDArray[np.float32] = answers(through.views(views), network).attributes[0]
    return told
