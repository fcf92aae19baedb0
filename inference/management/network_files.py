"""The two files of a network, checked before they are registered; never run as code."""

from pathlib import Path

import torch

from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import WBC_NETWORK, Card
from inference.pipeline.rehearsal import refuse_unrehearsable

MAX_BYTES = 1024**3
"""Beyond a gigabyte a weight file is none of a network that this product can train."""


def checked_files(folder: Path) -> tuple[bytes, bytes]:
    """Return the bytes of the card and of the weights (safetensors) of the white-cell network in a folder.

    Raises NetworkUnavailable where one is missing, the weights are not those of the card or do not fit its
    architecture, or the network does not tell the classes of the taxonomy apart, and PipelineError where it
    cannot be rehearsed.
    """
    card = registry.read_card(WBC_NETWORK, folder)
    if card.name != WBC_NETWORK:
        raise NetworkUnavailable(f"The card is that of the network “{card.name}”; one of “wbc” is expected.")
    if card.labels != WBC_CLASSES:
        raise NetworkUnavailable(
            f"The network tells {', '.join(card.labels)} apart. Expected are {', '.join(WBC_CLASSES)}."
        )
    refuse_unrehearsable(card)
    if card.weights.is_file() and card.weights.stat().st_size > MAX_BYTES:
        raise NetworkUnavailable(f"{card.weights.name} has more than {MAX_BYTES // 1024**2} MB.")
    weights = registry.verified_weights(card)
    _try_out(card)
    return (folder / f"{WBC_NETWORK}.json").read_bytes(), weights


def _try_out(card: Card) -> None:
    """Call a grey square: weights that do not fit the architecture, or are not numbers, are found out now."""
    try:
        grey = torch.full((1, card.input.side, card.input.side, 3), 128, dtype=torch.uint8)
        with torch.inference_mode():
            logits = runtime.several(runtime.torch_module(card)(grey))[0]
    except (ValueError, RuntimeError, KeyError) as error:
        raise NetworkUnavailable(
            f"The weights do not fit the architecture {card.architecture} of the card: {error}"
        ) from error
    if logits.shape != (1, len(card.labels)) or not logits.isfinite().all():
        raise NetworkUnavailable("The network does not answer with a number for each class.")
