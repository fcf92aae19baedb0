"""Move a network's batch statistics towards those of one slide, without labels and without training."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import BatchNorm2d

from inference.pipeline.findings import Image, Notice, Severity
from inference.pipeline.networks.runtime import FromPixels, Network, prepare

LEAST_CELLS = 64
"""Fewer cells say too little about the statistics of a slide."""

MOST_CELLS = 512
"""More cells say nothing new."""

BATCH = 32
SLIDE_SHARE = 0.5
"""The weight of the slide's statistics against those of the training."""

ADAPTED = Notice(
    "batch_statistics_adapted",
    "The network's batch statistics were moved towards those of this slide.",
    Severity.INFO,
)
TOO_FEW = Notice(
    "batch_statistics_as_trained",
    f"The network's batch statistics were left as trained: fewer than {LEAST_CELLS} white cells were found.",
    Severity.INFO,
)
NONE_THERE = Notice(
    "batch_statistics_as_trained",
    "The network has no batch statistics that could be moved towards those of this slide.",
    Severity.INFO,
)


def adapted(
    network: Network, views: Mapping[str, Sequence[Image]], share: float = SLIDE_SHARE
) -> tuple[Network, Notice]:
    """Return a network whose batch statistics are partly those of a slide, and what is to be said about that.

    Args:
        network: the network as trained; it is not changed.
        views: the square uint8 RGB crops of the slide's white cells, once for each way in which the network
            is to see them.
        share: weight in 0–1 of the slide's means and variances against those of the training.

    A slide's classes are not balanced as those of the training are, and its statistics tell of both, the
    stain and the classes: hence the mixture. Source: Li et al. 2016, "Revisiting batch normalization for
    practical domain adaptation", mixed as in Schneider et al. 2020.
    """
    if len(next(iter(views.values()))) < LEAST_CELLS:
        return network, TOO_FEW
    module = deepcopy(network.module)
    norms = [layer for layer in module.modules() if isinstance(layer, BatchNorm2d)]
    if not norms:
        return network, NONE_THERE
    trained = deepcopy(norms)
    _measure(module, norms, [prepare(crops, network.card.input) for crops in views.values()])
    for norm, before in zip(norms, trained, strict=True):
        for name in ("running_mean", "running_var"):
            getattr(norm, name).lerp_(getattr(before, name), 1 - share)
    # It is compiled anew, which takes seconds and saves more from 64 cells on.
    return Network(network.card, module), ADAPTED


@torch.inference_mode()
def _measure(module: FromPixels, norms: Sequence[BatchNorm2d], seen: Sequence[NDArray[np.uint8]]) -> None:
    """Put the mean statistics of all batches into the layers, whatever they held before."""
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for pixels in seen:
        for part in np.array_split(pixels, -(-len(pixels) // BATCH)):
            module(torch.from_numpy(part))
    module.eval()
