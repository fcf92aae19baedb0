"""How the cells a network was trained on lie in its embedding: figures for its card, without images."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.classification import unit
from inference.pipeline.networks.runtime import Network
from inference.training.evaluate_wbc import CELLS_AT_ONCE, ask, cut_squares
from inference.training.labels import Sample

MOST = 200
"""So many cells of a class stand for it: they fix its mean and the ends of its range."""

QUANTILES = (0.05, 0.5, 0.95)


def embedding_reference(cells: Sequence[Sample], network: Network) -> dict[str, Any]:
    """Measure training cells, of each class at most MOST, evenly taken from the list.

    The cells go the product's way. Returns the text of `described`. Raises UnreadableImage or
    UnsupportedImage for the first image that cannot be read.
    """
    taken = _evenly(cells)
    embeddings = np.concatenate([*_embedded(taken, network)])
    return described(embeddings, [cell.label for cell in taken])


def _evenly(cells: Sequence[Sample]) -> list[Sample]:
    labels = np.array([cell.label for cell in cells])
    of_class = (np.flatnonzero(labels == label) for label in dict.fromkeys(labels))
    places = [own[np.linspace(0, len(own) - 1, min(len(own), MOST)).astype(int)] for own in of_class]
    return [cells[place] for place in np.concatenate(places)]


def _embedded(cells: Sequence[Sample], network: Network) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(cells), CELLS_AT_ONCE):
        squares = cut_squares(cells[start : start + CELLS_AT_ONCE], network.card)
        yield ask(squares, network).embedding


def described(embeddings: NDArray[np.float32], labels: Sequence[str]) -> dict[str, Any]:
    """Describe embeddings float32 (n, features) by class, as the part "embedding" of a model card.

    Returns the `dimension` and, under `classes`, for each class how many cells there were, the direction of
    the mean of their unit vectors, itself of length 1, as float16 little-endian in base64, and the 5 %, 50 %
    and 95 % quantiles of the cosine `similarity` between the cells and that mean.
    """
    units, names = unit(embeddings), np.array(labels)
    classes = {str(label): _class(units[names == label]) for label in dict.fromkeys(labels)}
    return {"dimension": units.shape[1], "classes": classes}


def _class(units: NDArray[np.float32]) -> dict[str, Any]:
    mean = unit(units.mean(axis=0, keepdims=True))[0]
    return {
        "n": len(units),
        "mean": b64encode(mean.astype("<f2").tobytes()).decode("ascii"),
        "similarity": np.quantile(units @ mean, QUANTILES).round(3).tolist(),
    }
