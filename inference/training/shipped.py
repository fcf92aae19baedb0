"""The two files in which a trained network is shipped: its weights and its card."""

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch

from inference.pipeline.errors import PipelineError
from inference.pipeline.networks import registry
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import FromPixels


def started(name: str, folder: Path, architecture: str) -> Card:
    """Return the card of the network in a folder to start a training of that architecture from.

    Raises PipelineError where the folder holds another one, NetworkUnavailable where it holds none.
    """
    card = registry.read_card(name, folder)
    if card.architecture != architecture:
        raise PipelineError(
            f"{folder} holds a {card.architecture}; choose that by --architecture.", code="other_architecture"
        )
    return card


def with_data_of(start: Card | None, card: dict[str, Any]) -> dict[str, Any]:
    """Add to a card the data behind the weights that its training started from."""
    begun: list[Any] = start.text.get("data", []) if start else []
    return {**card, "data": [*card["data"], *(of for of in begun if of not in card["data"])]}


def save_weights(module: FromPixels, path: Path) -> str:
    """Write a network's weights as float16 safetensors and return the sha256 of the file."""
    state = {
        name: value.half().cpu().contiguous() if value.is_floating_point() else value.cpu()
        for name, value in module.network.state_dict().items()
    }
    path.write_bytes(safetensors.torch.save(state))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_card(card: dict[str, Any], out: Path) -> None:
    """Write a card beside its weights."""
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    (out / f"{card['name']}.json").write_text(text, encoding="utf-8")
