"""A staging network from data folder to weight file and card."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.classification import Calibration, Logits, calibrate
from inference.pipeline.config import STAGES_OF_LEUKEMIA
from inference.pipeline.findings import Explanation
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.training import calibration, staging_card
from inference.training.evaluate_wbc import evaluate
from inference.training.laboratories import thinned
from inference.training.shipped import save_weights, with_data_of, write_card
from inference.training.staging import Recipe, Run, logits, train
from inference.training.staging_augmentation import Lent
from inference.training.staging_cells import Counted, counted
from inference.training.staging_fields import (
    CHOOSE,
    FIELD_PX,
    FOLDER,
    LEARN,
    LENDERS,
    NAMES,
    lent_stains,
    read,
    rows,
)

log = logging.getLogger(__name__)

FOLDERS = (FOLDER, *LENDERS)
"""The folders with the fields and with the images that lend their stain."""

COUNTED = 63
"""In about so many of the fields learnt from the cells are counted and called."""

FEW, LOW, HIGH = 0.02, 0.05, 0.95
"""The share of the fields with fewer nucleated cells than are needed, and of those whose blasts are beyond
the limits of their stage."""
LEAST_FIELDS = 3

AT_ONCE = 32
"""So many fields are explained at once: gradients take more memory than answers."""
FRAME = ((0, 0), (FIELD_PX, 0), (FIELD_PX, FIELD_PX), (0, FIELD_PX))
"""The outline of a whole field."""

Shares = NDArray[np.float64]


def make(recipe: Recipe, data: Path, this: Run) -> None:
    """Train, write the weight file, calibrate on the fields kept for choosing, and write the card."""
    out = this.out
    out.mkdir(parents=True, exist_ok=True)
    learn, choose = read(data, LEARN), read(data, CHOOSE)
    network = train(recipe, (learn, choose), Lent(*lent_stains(data, list(learn.images))), this)
    sha256 = save_weights(network, out / f"{registry.STAGING_NETWORK}.safetensors")
    card = staging_card.draft(recipe, this.epochs(recipe), sha256, (learn, choose))
    write_card(with_data_of(this.start, card), out)
    write_card(calibrated(data, out), out)


def calibrated(data: Path, out: Path) -> dict[str, Any]:
    """Return the card in a folder with temperature, thresholds and figures of fields kept for choosing."""
    network = runtime.Network(registry.read_card(registry.STAGING_NETWORK, out))
    card, chosen = network.card, read(data, CHOOSE)
    said = logits(network.module, chosen.images, card.input)
    temperature = round(calibration.fit_temperature(said, chosen.labels), 4)
    abstain_below = calibration.fit_abstention(said, chosen.labels, temperature)
    told = calibration.abstention_told(said, chosen.labels, temperature, abstain_below)
    text = {**card.text, "temperature": temperature}
    text["thresholds"] = {
        "abstain_below": round(abstain_below, 4),
        "fields": LEAST_FIELDS,
        **_cell_limits(data, out),
        "heat_strength": heat_strength(chosen.images, said, network),
    }
    text["thresholds"]["chosen"] = (
        f"abstain_below: {told}; heat_strength: {calibration.USUAL_STRENGTH}; {text['thresholds']['chosen']}"
    )
    calls = Calibration.of(registry.parsed(text, out)).calls(said)
    figures = evaluate([STAGES_OF_LEUKEMIA[label] for label in chosen.labels], calls)
    log.info("choice: %s", {name: figures[name] for name in ("n", "accuracy", "macro_f1", "ece", "coverage")})
    metric = {
        "data": "fields kept for choosing (fold 2, block 12); temperature and thresholds fitted on them",
        "command": "python -m inference.training staging --data DIR --out DIR",
        **{name: figures[name] for name in ("n", "accuracy", "macro_f1", "ece", "coverage")},
        "nll": round(float(-np.log(calibrate(said, temperature)[range(len(said)), chosen.labels]).mean()), 4),
    }
    return {**text, "metrics": [metric, *staging_card.baselines()]}


def heat_strength(fields: NDArray[np.uint8], said: Logits, network: Network) -> dict[str, float]:
    """Return the usual maximum of the heat maps of fields, by each method.

    Takes uint8 RGB (n, side, side, 3) and what the network said of them, float32 (n, stages): each field is
    explained as it was called.
    """
    called = [network.card.labels[place] for place in said.argmax(axis=1)]
    looked: list[Explanation] = []
    for start in range(0, len(fields), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        # How strong a map is does not depend on where the cells lie: the whole field stands for them.
        frames = [FRAME] * len(called[part])
        looked += calibration.looked(list(fields[part]), called[part], frames, network)
    return calibration.heat_strength(looked)


def _cell_limits(data: Path, out: Path) -> dict[str, Any]:
    """Measure how many nucleated cells training fields hold, and how many of their leukocytes the product
    calls blasts."""
    chosen = thinned(rows(data, LEARN), COUNTED)
    found = counted([data / FOLDER / row["file"] for row in chosen], out / "cells.json")
    stages = [NAMES[row["label"]] for row in chosen]
    shares = {name: _shares(found, stages, name) for name in STAGES_OF_LEUKEMIA}
    ill = np.concatenate([shares[name] for name in STAGES_OF_LEUKEMIA[1:]])
    least, most = _quantile(ill, LOW, 0.0), _quantile(shares[STAGES_OF_LEUKEMIA[0]], HIGH, 1.0)
    without = ", ".join(f"{name} {_none(of)}" for name, of in shares.items())
    return {
        "nucleated_cells": max(1, int(np.quantile([one.nucleated for one in found], FEW))),
        "least_blasts": least,
        "most_blasts": most,
        "chosen": f"nucleated_cells: {FEW:.0%} of {len(found)} training fields hold fewer; least_blasts:"
        f" {LOW:.0%} of the training fields of a leukemia have no larger share of blasts; most_blasts:"
        f" {1 - HIGH:.0%} of the benign ones have a larger one. The white-cell network calls no blast at all"
        f" in single training fields: {without}. It learnt some cells of these very fields by their"
        " stage, so that the limits are flattered: a disagreement asks for a look and proves nothing",
    }


def _shares(found: Sequence[Counted], stages: Sequence[str], stage: str) -> Shares:
    of_stage = [one for one, name in zip(found, stages, strict=True) if name == stage and one.leukocytes]
    return np.array([one.blasts / one.leukocytes for one in of_stage])


def _quantile(shares: Shares, share: float, without: float) -> float:
    return round(float(np.quantile(shares, share)), 4) if len(shares) else without


def _none(shares: Shares) -> str:
    return f"in {int((shares == 0).sum())} of {len(shares)}"
