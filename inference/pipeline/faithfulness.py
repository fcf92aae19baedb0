"""A receipt for every heat map: does the network's answer about this cell follow what the map points at?"""

from collections.abc import Iterator, Sequence
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from inference.pipeline.findings import Image, Receipt
from inference.pipeline.networks.runtime import Network, prepare

Heatmap = NDArray[np.float32]
Order = NDArray[np.float64]
Probabilities = NDArray[np.float64]

FRACTIONS = (0.25, 0.5, 0.75)
"""How much of a crop is blurred or brought back when the network is asked again. These three order maps as
seven do (correlation 0.99 over 80 cells), at less than half the cost."""

RANDOM_MAPS = 7
"""How many times a map is laid elsewhere."""

LEAST_SHIFT = 0.25
"""A map laid elsewhere is shifted by this share of its side or more in one direction at least, so that it
does not lie where it was."""

BLUR = 1 / 8
"""Standard deviation of the blur, as a share of the crop's side: the least at which the answer about
a crop that is blurred all over is chance (0.13 and 0.09 for the class called, in two laboratories), while
light and colours stay. A crop filled with the colour of its background is none that the network knows: it
calls 95 % of them erythroblasts."""

MARGIN = 0.03
"""A difference in mean probability that counts: less is chance, rounding, or a network that answers the same
whatever it is shown. With it 9 % of maps laid elsewhere pass for reliable among the others."""

SPREAD = 1 / 4
"""Standard deviation, as a share of the side, of the blur that orders the places without any heat: those near
the heat come first. They would else be taken row by row."""


def receipts(
    crops: Sequence[Image], heatmaps: Sequence[Heatmap], labels: Sequence[str], network: Network
) -> list[Receipt]:
    """Try each heat map on its own cell, by deletion and insertion, against the same map laid elsewhere.

    The hottest quarter, half and three quarters of a crop are blurred (deletion), and brought back in the
    blurred crop (insertion); the probability of the class is averaged over these crops, ends included, by the
    trapezoidal rule. The random maps are the map itself rolled over the crop's borders: as hot, as smooth and
    as large, in a place that has nothing to do with the network. A map is reliable when its insertion exceeds
    its deletion by more than that of any random map does, and by `MARGIN` more.

    Args:
        crops: square uint8 RGB crops of any side, as they were explained.
        heatmaps: one per crop, float32 (side, side) of any side, never negative.
        labels: the class explained of each crop.
        network: what was explained; its probabilities are calibrated with the temperature of its card.

    Returns:
        One receipt per crop, whatever the other crops: what is random is drawn from the crop's own pixels.

    Source: Petsiuk et al. 2018, "RISE", section 3.4 (deletion and insertion).
    """
    shown = prepare(crops, network.card.input)
    return [
        _receipt(crop, heatmap, network.card.labels.index(label), network)
        for crop, heatmap, label in zip(shown, heatmaps, labels, strict=True)
    ]


def _receipt(crop: Image, heatmap: Heatmap, target: int, network: Network) -> Receipt:
    side = len(crop)
    heat = cv2.resize(heatmap, (side, side), interpolation=cv2.INTER_AREA)
    order = _order(np.asarray(heat, np.float32))
    orders = [order, *(np.roll(order, shift, (0, 1)) for shift in _shifts(crop))]
    images = _images(crop, orders)
    answers = softmax(network.predict(images).astype(np.float64) / network.card.temperature, axis=1)
    return _judged(*_curves(answers[:, target], len(orders)))


def _order(heat: Heatmap) -> Order:
    """Return for each place the share of places that are hotter, 0 to 1."""
    spread = cv2.GaussianBlur(heat, (0, 0), SPREAD * len(heat), borderType=cv2.BORDER_REFLECT)
    hottest_first = np.lexsort((-spread.ravel(), -heat.ravel()))
    order = np.empty(heat.size)
    order[hottest_first] = np.arange(heat.size) / heat.size
    return order.reshape(heat.shape)


def _shifts(crop: Image) -> Iterator[tuple[int, int]]:
    """Draw shifts in rows and columns, px, from the pixels of a crop."""
    side, rng = len(crop), np.random.default_rng(crc32(crop.tobytes()))
    for _ in range(RANDOM_MAPS):
        far = rng.integers(round(LEAST_SHIFT * side), round((1 - LEAST_SHIFT) * side) + 1)
        shift = (int(far), int(rng.integers(side)))
        yield shift if rng.random() < 0.5 else shift[::-1]


def _images(crop: Image, orders: Sequence[Order]) -> NDArray[np.uint8]:
    """Return uint8 (2 + 2·orders·fractions, side, side, 3): the crop, the crop blurred all over, and for each
    order and fraction one with its hottest places deleted and one with them inserted."""
    blurred = cv2.GaussianBlur(crop, (0, 0), BLUR * len(crop), borderType=cv2.BORDER_REFLECT)
    images = [crop, blurred]
    for order in orders:
        for fraction in FRACTIONS:
            hottest = (order < fraction).astype(np.uint8)
            images += [cv2.copyTo(blurred, hottest, crop.copy()), cv2.copyTo(crop, hottest, blurred.copy())]
    return np.asarray(images, np.uint8)


def _curves(answers: Probabilities, orders: int) -> tuple[Probabilities, Probabilities]:
    """Return the mean probability under deletion and under insertion, (orders,) each."""
    whole, blurred, between = answers[0], answers[1], answers[2:].reshape(orders, len(FRACTIONS), 2)
    steps = np.array([0.0, *FRACTIONS, 1.0])

    def mean(first: float, inner: Probabilities, last: float) -> Probabilities:
        ends = np.full((orders, 1), first), np.full((orders, 1), last)
        return np.asarray(np.trapezoid(np.hstack([ends[0], inner, ends[1]]), steps, axis=1), np.float64)

    return mean(whole, between[:, :, 0], blurred), mean(blurred, between[:, :, 1], whole)


def _judged(deletion: Probabilities, insertion: Probabilities) -> Receipt:
    """Weigh the map, which is the first, against the others."""
    gain = insertion - deletion
    return Receipt(
        float(deletion[0]),
        float(insertion[0]),
        float(deletion[1:].mean()),
        float(insertion[1:].mean()),
        reliable=bool(gain[0] > gain[1:].max() + MARGIN),
    )
