"""The large engines maskrcnn_swin and htc from data folder to weight file and card."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import torch

from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import FromPixels, Network
from inference.training import segmentation_card
from inference.training.segmentation_rcnn import ENGINES, Recipe, train
from inference.training.segmentation_run import labelled
from inference.training.shipped import save_weights, write_card

log = logging.getLogger(__name__)


def make(recipe: Recipe, data: Path, out: Path, workers: int, start: Path | None = None) -> None:
    """Train on the labelled fields and on those that the default network labels; write weights and card, with
    figures measured on the validation fields.

    `start` is a folder with the weights and the card of the network that the training starts from.
    """
    # A forked worker would wait for ever on the threads that OpenCV had in its parent.
    cv2.setNumThreads(1)
    torch.set_float32_matmul_precision("high")
    first = registry.read_card(registry.segmentation_network(recipe.engine), start) if start else None
    if first and first.architecture != recipe.architecture:
        raise ValueError(f"{start} holds a {first.architecture}; choose that by --architecture.")
    recipe = replace(recipe, start=first.sha256) if first else recipe
    sources = [*labelled(data)]
    log.info("%d labelled fields", len(sources))
    module = train(recipe, sources, out, workers, runtime.torch_module(first).network if first else None)
    card = save(module, recipe, out)
    _, made_by = ENGINES[recipe.design]
    engine = made_by(Network(registry.read_card(card["name"], out)))
    card["metrics"] = [segmentation_card.measured(engine, data, options=f" --engine {recipe.engine}")]
    write_card(card, out)


def save(module: FromPixels, recipe: Recipe, out: Path) -> dict[str, Any]:
    """Write float16 weights and their card, which is returned, to `out`."""
    sha256 = save_weights(module, out / f"{registry.segmentation_network(recipe.engine)}.safetensors")
    card = segmentation_card.draft_of(recipe.engine, sha256, recipe)
    write_card(card, out)
    return card
