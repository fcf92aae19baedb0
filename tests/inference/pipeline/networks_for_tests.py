"""A tiny network with a card and weights on disk, made anew by each test that needs one."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch

from inference.pipeline.classification import answers
from inference.pipeline.config import RBC_SHAPES
from inference.pipeline.networks import registry, wbc
from inference.pipeline.networks.registry import Card

LABELS = ["neutrophil", "lymphocyte", "blast"]
ARCHITECTURE = "test_byobnet"


def reinhard_card() -> Card:
    """The shipped card as of a network that also sees its cells in its training stain."""
    shipped = registry.card("wbc")
    return replace(shipped, input=replace(shipped.input, views={"as_is": 2.0, "reinhard": 1.0}))


def score(views, network, **options):
    """The logits float32 (n, classes) of a network about cells."""
    return answers(views, network, **options).logits


def write_network(folder: Path, values: int = 0, seed: int = 0, **changes: object) -> Path:
    """Write ``wbc.safetensors`` and its card, with `changes` to the card; return the folder.

    `values` is how many values the attributes have in all that the changed card names; the weights follow
    from the `seed`.
    """
    torch.manual_seed(seed)
    network = wbc.build(ARCHITECTURE, len(changes.get("labels", LABELS)), attributes=values)
    return _write(folder / "wbc", network, {"name": "wbc", "labels": LABELS, **changes})


def write_rbc_network(folder: Path, **changes: object) -> Path:
    """Write ``rbc.safetensors`` and its card: a network untaught that tells the shapes of red cells."""
    torch.manual_seed(1)
    network = wbc.build(ARCHITECTURE, len(RBC_SHAPES), attributes=0)
    own = {"labels": list(RBC_SHAPES), "temperature": 1.0, "thresholds": {"abstain_below": 0.3}}
    return _write(folder / "rbc", network, {"name": "rbc", **own, **changes})


def _write(files: Path, network: torch.nn.Module, card: dict[str, object]) -> Path:
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    data = safetensors.torch.save(state)
    usual = {
        "version": "0.1",
        "sha256": hashlib.sha256(data).hexdigest(),
        "architecture": ARCHITECTURE,
        "input": {
            "side": 32,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
            "preprocessing": "crop",
            "views": {"as_is": 1},
            "half_turn": False,
        },
        "temperature": 1.5,
        "thresholds": {"abstain_below": 0.5},
        "explanation_layer": "backbone.stages.1",
    }
    files.with_suffix(".safetensors").write_bytes(data)
    files.with_suffix(".json").write_text(json.dumps({**usual, **card}))
    return files.parent
