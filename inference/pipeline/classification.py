"""Name the cells of the white-cell stream, with probabilities that mean what they say."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from inference.pipeline.errors import PipelineError
from inference.pipeline.findings import Call, Image
from inference.pipeline.networks.runtime import Network, prepare

Probabilities = NDArray[np.float64]


def classify(
    views: Sequence[Sequence[Image]],
    network: Network,
    declared_classes: Sequence[str] | None = None,
    batch: int = 32,
) -> list[Call]:
    """Call every cell.

    Args:
        views: the cells' square uint8 RGB crops of any side, once for each way in which the network is to
            see them.
        network: the network to ask.
        declared_classes: the classes the laboratory says can occur; None for all of the network's.
        batch: crops per run of the network.

    Returns:
        One call per cell, in order; its probabilities are calibrated and sum to 1.

    Raises PipelineError when a declared class is not one the network knows.
    """
    card = network.card
    probabilities = calibrate(score(views, network, batch), card.temperature)
    return [call(row, card.labels, card.abstain_below, declared_classes) for row in probabilities]


def score(views: Sequence[Sequence[Image]], network: Network, batch: int = 32) -> NDArray[np.float32]:
    """Return the network's logits float32 (n, classes), the weighted mean over all views of each cell."""
    seen = [[_logits(part, network) for part in _batches(crops, batch)] for crops in views]
    empty = np.empty((0, len(network.card.labels)), np.float32)
    weights = list(network.card.input.views.values())[: len(views)]
    mean = np.average([np.concatenate([empty, *logits]) for logits in seen], axis=0, weights=weights)
    return np.asarray(mean, np.float32)


def _logits(crops: Sequence[Image], network: Network) -> NDArray[np.float32]:
    upright = prepare(crops, network.card.input)
    logits = network.predict(upright)
    if not network.card.input.half_turn:
        return logits
    turned = network.predict(np.ascontiguousarray(upright[:, ::-1, ::-1]))
    return np.asarray((logits + turned) / 2, np.float32)


def _batches(crops: Sequence[Image], size: int) -> Iterator[Sequence[Image]]:
    for start in range(0, len(crops), size):
        yield crops[start : start + size]


def calibrate(logits: NDArray[np.float32], temperature: float) -> Probabilities:
    """Turn logits (n, classes) into probabilities float64 (n, classes) by temperature scaling.

    Source: Guo et al. 2017, "On calibration of modern neural networks".
    """
    scaled: Probabilities = softmax(logits.astype(np.float64) / temperature, axis=1)
    return scaled


def call(
    probabilities: Probabilities,
    labels: Sequence[str],
    abstain_below: float,
    declared_classes: Sequence[str] | None = None,
) -> Call:
    """Make one call of probabilities (classes,) over `labels`, renormalised over the declared classes."""
    by_class = _routed(dict(zip(labels, probabilities.tolist(), strict=True)), declared_classes)
    label = max(by_class, key=by_class.__getitem__)
    confidence = by_class[label]
    return Call(label, confidence, by_class, abstained=confidence < abstain_below)


def _routed(by_class: Mapping[str, float], declared: Sequence[str] | None) -> dict[str, float]:
    if declared is None:
        return dict(by_class)
    unknown = [name for name in declared if name not in by_class]
    if unknown or not declared:
        raise PipelineError(
            f"The declared classes hold {', '.join(unknown) or 'nothing'}; the network knows"
            f" {', '.join(by_class)}.",
            code="unknown_class",
        )
    total = sum(by_class[name] for name in declared)
    if total <= 0.0:
        return {name: 1.0 / len(declared) for name in declared}
    return {name: by_class[name] / total for name in declared}
