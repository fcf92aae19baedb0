"""Name the cells of the white-cell stream, with probabilities that mean what they say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from inference.pipeline.config import Augmentation
from inference.pipeline.errors import PipelineError
from inference.pipeline.findings import Call, Image, Notice, Severity
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import Network, prepare

Answer = NDArray[np.float32]
Logits = Answer
Probabilities = NDArray[np.float64]

OTHER_TURNS = Notice(
    "turns_not_of_the_card",
    "The cells were seen in other turns than those that the network's confidences, thresholds and prediction"
    " sets were fitted for; these may be off.",
    Severity.INFO,
)

Turn = tuple[int, bool]

TURNS: Mapping[Augmentation, tuple[Turn, ...]] = {
    Augmentation.NONE: ((0, False),),
    Augmentation.HALF_TURN: ((0, False), (2, False)),
    Augmentation.EIGHT: tuple(product(range(4), (False, True))),
}
"""In which ways a network sees a square: turned by so many quarters, and whether mirrored then."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a network's logits become calls, as its card says.

    `least` holds for each level in % the least probability with which a class belongs to a prediction set; a
    class without one always does. A cell whose energy is above `ood_above` is out of distribution. Cards
    without these thresholds give calls without prediction sets and without a score.
    """

    labels: tuple[str, ...]
    temperature: float
    abstain_below: float
    least: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    ood_above: float | None = None

    @classmethod
    def of(cls, card: Card) -> Self:
        """Read it off a card."""
        thresholds = card.text["thresholds"]
        least = {int(level): of for level, of in thresholds.get("prediction_sets", {}).items()}
        return cls(card.labels, card.temperature, card.abstain_below, least, thresholds.get("ood_above"))

    def calls(self, logits: Logits, declared_classes: Sequence[str] | None = None) -> list[Call]:
        """Make one call of each row of logits (n, classes).

        Raises PipelineError when a declared class is not one the network knows.
        """
        rows = zip(calibrate(logits, self.temperature), energy(logits), strict=True)
        return [self._call(row, float(score), declared_classes) for row, score in rows]

    def _call(self, row: Probabilities, score: float, declared: Sequence[str] | None) -> Call:
        made = call(row, self.labels, self.abstain_below, declared)
        made = replace(made, sets=prediction_sets(made.probabilities, self.least))
        if self.ood_above is None:
            return made
        return replace(made, ood_score=score, out_of_distribution=score > self.ood_above)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network says about n cells, the weighted mean over all views and turns of each, float32:
    `logits` of the classes (n, classes), logits of all `attributes`' values (n, values), and the `embedding`
    (n, features)."""

    logits: Logits
    attributes: Answer
    embedding: Answer


def classify(
    views: Mapping[str, Sequence[Image]],
    network: Network,
    declared_classes: Sequence[str] | None = None,
    batch: int = 32,
    augmentation: Augmentation | None = None,
) -> list[Call]:
    """Call every cell.

    Args:
        views: the cells' square uint8 RGB crops of any side, once for each way in which the network is to
            see them, by the name that its card has for it.
        network: the network to ask.
        declared_classes: the classes the laboratory says can occur; None for all of the network's.
        batch: crops per run of the network.
        augmentation: in which turns each crop is seen; None for those that the card names.

    Returns:
        One call per cell, in order; its probabilities are calibrated and sum to 1. All that a call holds
        comes from the same runs of the network.

    Raises PipelineError when a declared class is not one the network knows.
    """
    said = answers(views, network, batch, augmentation)
    calls = Calibration.of(network.card).calls(said.logits, declared_classes)
    units = unit(said.embedding).astype(np.float16)
    return [
        replace(made, embedding=embedding, attributes=told if told.size else None)
        for made, embedding, told in zip(calls, units, said.attributes, strict=True)
    ]


def answers(
    views: Mapping[str, Sequence[Image]],
    network: Network,
    batch: int = 32,
    augmentation: Augmentation | None = None,
) -> Answers:
    """Ask a network about cells, as `classify` does, each seen in all turns of the `augmentation`, or of the
    card's where it is None."""
    turns = TURNS[augmentation or augmentation_of(network.card)]
    weights = [network.card.input.views[name] for name in views]
    said = [[_answers(part, network, turns) for part in _batches(crops, batch)] for crops in views.values()]
    if not any(said):
        none = np.empty((0, 0), np.float32)
        return Answers(np.empty((0, len(network.card.labels)), np.float32), none, none)
    by_view = [[np.concatenate(parts) for parts in zip(*of, strict=True)] for of in said]
    means = (np.average(of, axis=0, weights=weights) for of in zip(*by_view, strict=True))
    return Answers(*(np.asarray(mean, np.float32) for mean in means))


def unit(rows: Answer) -> Answer:
    """Return embeddings float32 (n, features) scaled to length 1; one that is 0 stays so."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def augmentation_of(card: Card) -> Augmentation:
    """Return in which turns a network sees a crop where nobody chose."""
    return Augmentation.HALF_TURN if card.input.half_turn else Augmentation.NONE


def turns_noticed(card: Card, augmentation: Augmentation | None) -> tuple[Notice, ...]:
    """Return what is to be said of a chosen augmentation: nothing where it is that of the card."""
    return () if augmentation in (None, augmentation_of(card)) else (OTHER_TURNS,)


def _answers(crops: Sequence[Image], network: Network, turns: Sequence[Turn]) -> list[Answer]:
    """Return the mean over the turns of each of the network's answers."""
    upright = prepare(crops, network.card.input)
    said = [network.answers(_turned(upright, turn)) for turn in turns]
    return [np.mean(of, axis=0, dtype=np.float32) for of in zip(*said, strict=True)]


def _turned(batch: NDArray[np.uint8], turn: Turn) -> NDArray[np.uint8]:
    """Turn squares (n, side, side, 3); upright they are not copied."""
    quarters, mirrored = turn
    turned = np.rot90(batch, quarters, axes=(1, 2))
    return np.ascontiguousarray(turned[:, :, ::-1] if mirrored else turned)


def _batches(crops: Sequence[Image], size: int) -> Iterator[Sequence[Image]]:
    for start in range(0, len(crops), size):
        yield crops[start : start + size]


def calibrate(logits: Logits, temperature: float) -> Probabilities:
    """Turn logits (n, classes) into probabilities float64 (n, classes) by temperature scaling.

    Source: Guo et al. 2017, "On calibration of modern neural networks".
    """
    scaled: Probabilities = softmax(logits.astype(np.float64) / temperature, axis=1)
    return scaled


def energy(logits: Logits) -> NDArray[np.float64]:
    """Return the energy ``-log Σ exp(logit)`` float64 (n,) of logits (n, classes), high where no class fits.

    Source: Liu et al. 2020, "Energy-based out-of-distribution detection", at temperature 1.
    """
    return -np.asarray(logsumexp(logits.astype(np.float64), axis=1), np.float64)


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


def prediction_sets(
    probabilities: Mapping[str, float], least: Mapping[int, Mapping[str, float]]
) -> dict[int, tuple[str, ...]]:
    """Return for each level the classes that reach their least probability, most likely first.

    The most likely class is always among them, so that no set is empty; that only raises the coverage, and so
    does renormalising over declared classes. Source: Sadinle et al. 2019, "Least ambiguous set-valued
    classifiers with bounded error levels", with a threshold for each class.
    """
    ranked = sorted(probabilities, key=probabilities.__getitem__, reverse=True)
    return {
        level: (ranked[0], *(name for name in ranked[1:] if probabilities[name] >= of.get(name, 0.0)))
        for level, of in least.items()
    }
