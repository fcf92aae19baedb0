"""Fit the temperature and the abstention threshold of a trained network on validation cells."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

WANTED_ACCURACY = 0.95


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the temperature in 0.2–5 with the least negative log likelihood.

    `logits` float32 (n, classes), `labels` int64 (n,). Source: Guo et al. 2017.
    """

    def loss(temperature: float) -> float:
        scores = log_softmax(logits.astype(np.float64) / temperature, axis=1)
        return float(-scores[np.arange(len(labels)), labels].mean())

    return float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x)


def fit_abstention(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> float:
    """Return the lowest confidence from which on the calls are right in 95 % of cells, at most 0.7.

    Cells less sure than this are left to the human: the network gives its best guess, but abstains.
    """
    probabilities = softmax(logits.astype(np.float64) / temperature, axis=1)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(-confidence)
    accuracy = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(accuracy >= WANTED_ACCURACY)
    lowest = confidence[order[enough[-1]]] if enough.size else 1.0
    return float(np.clip(lowest, 0.3, 0.7))
