"""Fit what a network's card says about trusting it, on validation cells: temperature, abstention threshold,
prediction sets, the score from which a cell is out of distribution, and the focus from which it is off the
cell."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from inference.pipeline.classification import Logits, Probabilities, calibrate, energy
from inference.pipeline.explanation import DEFAULT, explain
from inference.pipeline.findings import Explanation, Image, Method, Outline
from inference.pipeline.networks.runtime import Network

WANTED_ACCURACY = 0.95
ABSTAIN_WITHIN = (0.3, 0.7)
"""The least and the most that the confidence below which a network abstains may be."""

LEVELS = (95, 99)
"""The levels in % of the prediction sets."""

TAIL = 5.0
"""So many cells of a class have to lie beyond its threshold for it to be the class's own."""

ACCEPTED = 0.95
"""The share of cells like those of the training that is not to count as out of distribution."""

ON_CELL = 0.98
"""The share of the right calls whose focus is not to count as off the cell."""

USUAL_STRENGTH = "median maximum of a heat map by each method before it is scaled"

DIGITS = 6


def fitted(logits: Logits, labels: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """Return the temperature and the thresholds of a card, but for those of the focus.

    `logits` float32 (n, classes), `labels` int64 (n,), indices into the classes' `names`. Raises ValueError
    when there are too few cells for a threshold.
    """
    temperature = round(fit_temperature(logits, labels), 4)
    abstain_below = fit_abstention(logits, labels, temperature)
    told = abstention_told(logits, labels, temperature, abstain_below)
    probabilities = calibrate(logits, temperature)
    return {
        "temperature": temperature,
        "thresholds": {
            "abstain_below": round(abstain_below, 4),
            "chosen": f"abstain_below: {told}; prediction_sets:"
            " least probability with which a class belongs to the set of that level; ood_above: energy that"
            f" {ACCEPTED:.0%} of the validation cells stay below; focus_below: share of the"
            f" evidence on the cell that {ON_CELL:.0%} of the right calls reach; heat_strength:"
            f" {USUAL_STRENGTH}",
            "prediction_sets": fit_prediction_sets(probabilities, labels, names),
            "ood_above": fit_ood_above(energy(logits)),
        },
    }


NO_MAP = np.zeros((0, 0), np.float32)


def looked(
    crops: Sequence[Image], called: Sequence[str], outlines: Sequence[Outline], network: Network
) -> list[Explanation]:
    """Return where a network looked when it called cells so, by every method, as `fitted_focus` takes it;
    without the maps, which of thousands of cells would fill the memory."""
    explained = (network.module, network.card)
    by_method = (explain(crops, called, outlines, explained, method=method) for method in Method)
    return [replace(one, heatmap=NO_MAP) for of in by_method for one in of]


def fitted_focus(looked: Sequence[Explanation], right: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the thresholds of heat maps: the focus, and the usual strength by each method.

    Takes where a network looked when it called n cells, by the usual method and by any other, and which of
    the calls were right, bool (n,), in the order of the maps by the usual method.
    """
    focus = np.array([one.focus_ratio for one in looked if one.method is DEFAULT])
    return {"focus_below": fit_focus_below(focus, right), "heat_strength": heat_strength(looked)}


def heat_strength(looked: Sequence[Explanation]) -> dict[str, float]:
    """Return the usual maximum of heat maps before they are scaled, by each method there is a map by."""
    strengths = {
        method: [one.strength for one in looked if one.method is method]
        for method in Method
        if any(one.method is method for one in looked)
    }
    return {method.value: _usual(of) for method, of in strengths.items()}


def _usual(strengths: Sequence[float]) -> float:
    """The median in four digits that count: methods differ by a thousand times."""
    return float(f"{np.median(strengths):.4g}")


def fit_temperature(logits: Logits, labels: NDArray[np.int64]) -> float:
    """Return the temperature in 0.2–5 with the least negative log likelihood.

    `logits` float32 (n, classes), `labels` int64 (n,). Source: Guo et al. 2017.
    """

    def loss(temperature: float) -> float:
        scores = log_softmax(logits.astype(np.float64) / temperature, axis=1)
        return float(-scores[np.arange(len(labels)), labels].mean())

    return float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x)


def fit_abstention(logits: Logits, labels: NDArray[np.int64], temperature: float) -> float:
    """Return the lowest confidence from which on the calls are right in 95 % of cells, or the end of
    ABSTAIN_WITHIN that is nearest to it.

    Cells less sure than this are left to the human: the network gives its best guess, but abstains.
    """
    probabilities = calibrate(logits, temperature)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(-confidence)
    accuracy = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(accuracy >= WANTED_ACCURACY)
    lowest = confidence[order[enough[-1]]] if enough.size else 1.0
    return float(np.clip(lowest, *ABSTAIN_WITHIN))


def abstention_told(logits: Logits, labels: NDArray[np.int64], temperature: float, below: float) -> str:
    """Say how the abstention threshold `below` was chosen, and where it is at an end of ABSTAIN_WITHIN how
    many of the calls from there on are right instead of those wanted."""
    low, high = ABSTAIN_WITHIN
    chosen = f"lowest confidence from which on {WANTED_ACCURACY:.0%} of validation calls are right"
    if low < below < high:
        return chosen
    probabilities = calibrate(logits, temperature)
    right = (probabilities.argmax(axis=1) == labels)[probabilities.max(axis=1) >= below]
    share = f"{right.mean():.1%} of {len(right)} calls are right" if len(right) else "there is no call"
    return f"{chosen}, but within {low} to {high}: it is at that limit, and from {below} on {share}"


def fit_prediction_sets(
    probabilities: Probabilities, labels: NDArray[np.int64], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return for each level of LEVELS the least probability with which each class belongs to a set.

    Split conformal prediction with a threshold for each class, so that "blast" is in the sets of 95 % of the
    blasts, and not only the truth in those of 95 % of all cells, most of which are neutrophils. A class with
    fewer than TAIL cells to be left out has the threshold of all cells taken together: its own would hang on
    its one or two strangest. Sources: Sadinle et al. 2019 (least ambiguous sets), Vovk 2012 (guarantees for
    each class), Ding et al. 2023 (classes with few cells).

    Args:
        probabilities: calibrated, float64 (n, classes).
        labels: int64 (n,), indices into `names`.
        names: the classes.

    Returns:
        The thresholds as a card keeps them under ``thresholds.prediction_sets``: level in %, class, 0–1.

    Raises ValueError when all cells together are too few for a level.
    """
    own = probabilities[np.arange(len(labels)), labels]
    # A class may have its own threshold at one level and that of all at a higher one: the sets stay nested.
    return {
        str(level): {
            name: min(_least(own, labels == place, lower) for lower in LEVELS if lower <= level)
            for place, name in enumerate(names)
        }
        for level in LEVELS
    }


def _least(own: NDArray[np.float64], of_class: NDArray[np.bool_], level: int) -> float:
    """The probability that so many of a class's cells reach in their own class, with the finite-sample
    correction."""
    enough = of_class.sum() * (1 - level / 100) >= TAIL
    cells = own[of_class] if enough else own
    rank = _rank(len(cells), level / 100)
    if rank > len(cells):
        raise ValueError(f"{len(own)} cells are too few for prediction sets at {level} %.")
    return _floor(np.sort(cells)[::-1][rank - 1])


def _rank(cells: int, share: float) -> int:
    """Return ``⌈(n + 1) · share⌉``: which of n values in order one more cell stays below with that chance."""
    return int(np.ceil(round((cells + 1) * share, 9)))


def _floor(value: float) -> float:
    return float(np.floor(value * 10**DIGITS) / 10**DIGITS)


def fit_ood_above(scores: NDArray[np.float64], accepted: float = ACCEPTED) -> float:
    """Return the score above which a cell is out of distribution, so that of cells in it `accepted` are not.

    `scores` float64 (n,) of cells of the validation, high where a cell is unlike those of the training.
    Raises ValueError when there are too few cells for that share.
    """
    rank = _rank(len(scores), accepted)
    if rank > len(scores):
        raise ValueError(f"{len(scores)} cells are too few for a threshold that accepts {accepted:.0%}.")
    return -_floor(-float(np.sort(scores)[rank - 1]))


def fit_focus_below(focus: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the share of the evidence on the cell that all but 2 % of the right calls reach; 0 without any.

    `focus` float64 (n,) in 0–1, `right` bool (n,).
    """
    return _floor(np.quantile(focus[right], 1 - ON_CELL)) if right.any() else 0.0
