"""The heat map of one cell of an analysis that is over, by any method, for a person who asks for it."""

from inference.pipeline import cells
from inference.pipeline.config import Config
from inference.pipeline.errors import PipelineError
from inference.pipeline.explanation import explain, outline_in_square
from inference.pipeline.findings import Explanation, Image, Instance, Method
from inference.pipeline.networks import registry, runtime
from inference.pipeline.seen_filter import SeenFilter


def heat_map(crop: Image, instance: Instance, label: str, method: Method, sha256: str) -> Explanation:
    """Explain a call on the crop that was kept, with a receipt.

    Args:
        crop: uint8 RGB (side, side, 3), the cell's square as the analysis cut it.
        instance: the cell.
        label: the class to explain.
        method: how the map is made.
        sha256: that of the weights that made the call.

    Raises PipelineError when these are not the weights in use, or when they do not know the class.
    """
    network = runtime.load(registry.WBC_NETWORK)
    card = network.card
    if card.sha256 != sha256:
        raise PipelineError(
            "This cell was called by another version of the network than the one in use now, which would look"
            " elsewhere. Analyse the smear again to see where the present one looks.",
            code="other_network",
        )
    if label not in card.labels:
        raise PipelineError(
            f"The network does not know the class {label}. It knows {', '.join(card.labels)}.",
            code="unknown_class",
        )
    box = cells.crop_box(instance, Config().cells.padding)
    outline = outline_in_square(instance, box, len(crop))
    seen = SeenFilter.of(crop, "cell", card).crops([crop])
    (explanation,) = explain(
        seen, [label], [outline], (network.module, card), method=method, tried_on=network
    )
    return explanation
