"""What another network calls the cells that an analysis kept, and which of them it sends to review."""

from collections.abc import Sequence
from dataclasses import dataclass

from inference.pipeline.classification import classify
from inference.pipeline.config import Config
from inference.pipeline.errors import PipelineError
from inference.pipeline.explanation import explain
from inference.pipeline.findings import Call, Image, Instance, SecondCall
from inference.pipeline.levels import mask_of, shown
from inference.pipeline.networks.registry import Card, PreprocessingVariant
from inference.pipeline.networks.runtime import Network
from inference.pipeline.reasons import Circumstances, review_reasons
from inference.pipeline.seen_colours import AS_IS
from inference.pipeline.seen_filter import SeenFilter
from inference.pipeline.words import Cut

Said = tuple[Call, tuple[str, ...]]
"""The call of a cell, and why a person should look at it."""


@dataclass(frozen=True, slots=True)
class KeptCell:
    """A white cell of an analysis that is over: its square as it was cut, uint8 RGB (side, side, 3), the
    cell, what the second network called it, and whether the stain of its smear was beyond what can be
    normalised, which the crop alone does not show."""

    crop: Image
    instance: Instance
    second: SecondCall | None = None
    stain_beyond: bool = False


def refuse_unrehearsable(card: Card) -> None:
    """Raise PipelineError for a network that needs more of a smear than the squares of its cells."""
    stained = card.input.variant is PreprocessingVariant.MEF_V4
    if stained or "reinhard" in card.input.views:
        raise PipelineError(
            f"The network “{card.name}” {card.version} brings the stain of a whole smear to that of its"
            " training (view reinhard or filter mef_v4), which cannot be done with stored cells. A network"
            " whose views are as_is, levels or stretched can be rehearsed.",
            code="not_rehearsable",
        )


def called_anew(cells: Sequence[KeptCell], network: Network, config: Config) -> list[Said]:
    """Call kept cells by a network as an analysis would.

    Takes at most as many cells as fit in memory. Neither other stains nor words are tried on doubted calls.
    """
    cuts = [Cut.of(cell.crop, cell.instance, config.cells.padding, None) for cell in cells]
    masks = [mask_of(cut.outline, len(cut.crop)) for cut in cuts]
    through = SeenFilter(network.card.input.variant)
    views = {
        name: [shown(name, cut.crop, mask) for cut, mask in zip(cuts, masks, strict=True)]
        for name in network.card.input.views
    }
    seen = through.views(views)
    calls = classify(seen, network, config.declared_classes, config.cells.wbc_batch, config.augmentation)
    outlines = [cut.outline for cut in cuts]
    looked = explain(seen[AS_IS], [call.label for call in calls], outlines, (network.module, network.card))
    known = [
        Circumstances(
            cell.second,
            stain_beyond=cell.stain_beyond,
            off_cell=one.focus_ratio < network.card.focus_below,
        )
        for cell, one in zip(cells, looked, strict=True)
    ]
    return [(call, review_reasons(call, of, config)) for call, of in zip(calls, known, strict=True)]
