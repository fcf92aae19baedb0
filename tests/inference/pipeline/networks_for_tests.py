"""A tiny network with a card and weights on disk, made anew by each test that needs one."""

import hashlib
import json
from pathlib import Path

import safetensors.torch
import torch

from inference.pipeline.networks import wbc

LABELS = ["neutrophil", "lymphocyte", "blast"]
ARCHITECTURE = "test_byobnet"


def write_network(folder: Path, **changes: object) -> Path:
    """Write ``wbc.safetensors`` and its card, with `changes` to the card; return the folder."""
    torch.manual_seed(0)
    network = wbc.build(ARCHITECTURE, len(LABELS))
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    data = safetensors.torch.save(state)
    (folder / "wbc.safetensors").write_bytes(data)
    card = {
        "name": "wbc",
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
        "labels": LABELS,
        "temperature": 1.5,
        "thresholds": {"abstain_below": 0.5},
        "explanation_layer": "stages.1",
        **changes,
    }
    (folder / "wbc.json").write_text(json.dumps(card))
    return folder
