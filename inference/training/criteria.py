"""Measure the limits of the haematological criteria: ``python -m inference.training.criteria CROPS``.

CROPS is the folder in which a training kept its crops. Limits are percentiles of the measured features over
the training cells of each class that a person named; what the network tells of an attribute is sure from the
probability from which on it is right in 95 of 100 validation cells.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from inference.pipeline.cell_words import Morphology
from inference.pipeline.classification import answers
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.criteria import TABLE
from inference.pipeline.findings import Image
from inference.pipeline.levels import Mask, shown
from inference.pipeline.morphology import measure
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.nucleus import nucleus_mask
from inference.training.attributes import UNKNOWN
from inference.training.crops import Crops
from inference.training.laboratories import TRAIN, VAL
from inference.training.proposed_cells import ORIGINS

PERCENTILES = {"p2": 2, "p25": 25, "p75": 75, "p98": 98}
FEATURES = tuple(part.name for part in fields(Morphology) if part.name != "cell_diameter_um")
RIGHT, FEWEST = 0.95, 30
"""How often what is sure has to be right, and the fewest cells by which to tell."""


def limits(crops: Crops) -> dict[str, dict[str, dict[str, float]]]:
    """Return by class and feature the percentiles of the class, and the median of the classes' medians."""
    found = crops.found
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        measured = list(pool.map(measured_on, crops.images[found], crops.masks[found], chunksize=64))
    labels = crops.labels[found]
    made: dict[str, dict[str, dict[str, float]]] = {name: {} for name in WBC_CLASSES}
    for feature in FEATURES:
        values = np.array([getattr(one, feature) for one in measured], np.float64)
        of = {name: values[labels == place] for place, name in enumerate(WBC_CLASSES)}
        known = {name: some[~np.isnan(some)] for name, some in of.items() if (~np.isnan(some)).any()}
        usual = float(np.median([np.median(some) for some in known.values()]))
        for name, some in known.items():
            made[name][feature] = _limits(some) | {"usual": round(usual, 4)}
    return made


def measured_on(crop: Image, mask: Mask) -> Morphology:
    """Measure one cell as the product does."""
    cv2.setNumThreads(1)
    return measure(crop, mask, nucleus_mask(crop, mask))


def _limits(values: NDArray[np.float64]) -> dict[str, float]:
    ends = np.percentile(values, list(PERCENTILES.values()))
    return {name: round(float(end), 4) for name, end in zip(PERCENTILES, ends, strict=True)}


def sureness(crops: Crops, network: Network) -> dict[str, dict[str, Any]]:
    """Return for each attribute how often it is right, from which probability it is sure, and how that held.

    Every second cell sets the probability; `checked_right` and `checked_share` are of the others.
    """
    known = np.flatnonzero((crops.attributes != UNKNOWN).all(axis=1) & crops.found)
    views = {
        name: [shown(name, crops.images[place], crops.masks[place]) for place in known]
        for name in network.card.input.views
    }
    logits = answers(views, network).attributes
    ends = np.cumsum([len(values) for values in network.card.attributes.values()])[:-1]
    parts = zip(
        network.card.attributes, np.split(logits, ends, axis=1), crops.attributes[known].T, strict=True
    )
    return {name: _sureness(softmax(part, axis=1), truth) for name, part, truth in parts}


def _sureness(probabilities: NDArray[np.float32], truth: NDArray[np.int64]) -> dict[str, Any]:
    best, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    least = sure_from(best[::2], right[::2])
    sure = best[1::2] >= least if least is not None else np.zeros(len(best[1::2]), np.bool_)
    held = float(right[1::2][sure].mean()) if sure.any() else None
    return {
        "cells": len(truth),
        "right": round(float(right.mean()), 4),
        "sure_from": least,
        "checked_right": None if held is None else round(held, 4),
        "checked_share": round(float(sure.mean()), 4),
    }


def sure_from(best: NDArray[np.float32], right: NDArray[np.bool_]) -> float | None:
    """Return the least probability from which on 95 % are right, None where that holds for too few cells."""
    order = np.argsort(-best, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((shares >= RIGHT) & (np.arange(1, len(order) + 1) >= FEWEST))
    return round(float(np.ceil(1e4 * best[order[enough[-1]]]) / 1e4), 4) if len(enough) else None


def make(folder: Path) -> Mapping[str, Any]:
    """Measure limits and sureness on a training's crops, as `criteria.json` holds them."""
    network = runtime.load(registry.WBC_NETWORK)
    train, val = (_kept(folder / f"{part}.npz").without([*ORIGINS]) for part in (TRAIN, VAL))
    counts = {str(name): int((train.laboratories == name).sum()) for name in np.unique(train.laboratories)}
    card = network.card
    provenance = {
        "made_by": "python -m inference.training.criteria",
        "limits": {"percentiles": PERCENTILES, "training_cells": counts},
        "told": "WBCAtt (Tsutsui et al. 2023) on the validation part of wbc_pbc",
        "network": {"name": card.name, "version": card.version, "sha256": card.sha256},
    }
    return {"provenance": provenance, "limits": limits(train), "told": sureness(val, network)}


def _kept(path: Path) -> Crops:
    with np.load(path) as kept:
        return Crops(**{part.name: kept[part.name] for part in fields(Crops)})


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m inference.training.criteria", description=__doc__)
    parser.add_argument("crops", type=Path, help="folder with train.npz and val.npz of a training")
    parser.add_argument("--out", type=Path, default=TABLE)
    given = parser.parse_args(arguments)
    given.out.write_text(json.dumps(make(given.crops), indent=1) + "\n")


if __name__ == "__main__":
    main()
