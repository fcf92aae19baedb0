"""The focus monitor: stops a training whose network looks beside the cells instead of at them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inference.pipeline.class_activation import class_activation
from inference.pipeline.errors import PipelineError
from inference.pipeline.findings import Method
from inference.pipeline.networks.runtime import FromPixels

BATCH = 32

LEAST_RELATIVE = 0.8
"""1 is a network that looks everywhere alike. Synthetic cells whose class a corner mark tells bring a network
that has learnt it to 0.1–0.35, those whose class lies in the cell to 1.6–2.0; the shipped network stands at
1.2–1.7 on the cells of six laboratories. One that has not learnt anything yet wanders between 0.4 and 1.8,
which is why a single check stops nothing, and why the limit lies somewhat below 1."""


class ShortcutLearning(PipelineError):
    """A network in training calls the cells by what is not the cell."""

    code = "shortcut_learning"


@dataclass(frozen=True, slots=True)
class Focus:
    """Means over cells: `on_cell`, the share of HiResCAM energy on the cell, and `chance`, the share of the
    crop that is cell, which a network that looks everywhere alike would have; both 0–1."""

    on_cell: float
    chance: float

    @property
    def relative(self) -> float:
        """How many times what it is by chance the focus is."""
        return self.on_cell / self.chance


@dataclass
class FocusMonitor:
    """Looks every few epochs where a network in training looks.

    Args:
        crops: a sample of validation cells, uint8 RGB (n, side, side, 3), as the network is shown them.
        masks: 1 on the cell and 0 beside it, uint8 (n, side, side); every crop shows some of both.
        labels: the cells' classes, int64 (n,).
        layer: the layer to look at, as `WbcNetwork.explanation_layer` names it.
        threshold: the least focus that will do, in multiples of chance.
        every: how many epochs lie between two checks.
        patience: so many checks in a row must fall short.
    """

    crops: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    labels: NDArray[np.int64]
    layer: str
    threshold: float = LEAST_RELATIVE
    every: int = 5
    patience: int = 2
    latest: Focus | None = field(default=None, init=False)
    _short: int = field(default=0, init=False)

    def check(self, epoch: int, module: FromPixels) -> float | None:
        """Look at a network after an epoch, counted from 1; return the share of its energy on the cells.

        None in epochs without a check, and where no cell has any evidence for its class. `latest` keeps what
        chance would give beside it.

        Raises ShortcutLearning when the last `patience` checks fell short of the threshold.
        """
        if epoch % self.every:
            return None
        self.latest = focus(module, self.layer, (self.crops, self.masks, self.labels))
        if self.latest is None:
            return None
        self._short = self._short + 1 if self.latest.relative < self.threshold else 0
        if self._short >= self.patience:
            raise ShortcutLearning(self._verdict(epoch, self.latest))
        return self.latest.on_cell

    def _verdict(self, epoch: int, found: Focus) -> str:
        return (
            f"shortcut learning: after epoch {epoch} {found.on_cell:.0%} of the evidence lies on the cells,"
            f" which cover {found.chance:.0%} of their crops. That is {found.relative:.2f} times chance,"
            f" below {self.threshold:.2f} for {self._short} checks in a row. Look for what tells the classes"
            " apart beside the cells (marks, background, framing, source of the images), and randomise it or"
            " mask it before training again."
        )


Sample = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]


def focus(module: FromPixels, layer: str, sample: Sample) -> Focus | None:
    """Measure a network's focus on a sample: crops, masks and labels as `FocusMonitor` takes them.

    Cells without any evidence for their class are left out; None when none is left.
    """
    crops, masks, labels = sample
    parts = [slice(start, start + BATCH) for start in range(0, len(crops), BATCH)]
    with evaluating(module):
        shares = np.concatenate([_shares(_maps(module, layer, crops[i], labels[i]), masks[i]) for i in parts])
    seen = ~np.isnan(shares)
    if not seen.any():
        return None
    return Focus(float(shares[seen].mean()), float((masks[seen] > 0).mean()))


def _maps(
    module: FromPixels, layer: str, crops: NDArray[np.uint8], labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    device = module.mean.device
    pixels, targets = torch.from_numpy(crops).to(device), torch.from_numpy(labels).to(device)
    return class_activation(Method.HIRES_CAM, module, layer, pixels, targets)


def _shares(maps: NDArray[np.float32], masks: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return each map's share of energy on its mask, float64 (n,), NaN for a map without any.

    The mask is brought to the map's places by its mean over each, so that chance stays the mask's area.
    """
    size = (maps.shape[2], maps.shape[1])
    covered = [
        cv2.resize((mask > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA) for mask in masks
    ]
    total = maps.sum(axis=(1, 2), dtype=np.float64)
    on_cell = (maps * np.stack(covered)).sum(axis=(1, 2), dtype=np.float64)
    return np.divide(on_cell, total, out=np.full(len(maps), np.nan), where=total > 0)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Hold a network in evaluation mode while the block runs, and give every part its own mode back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
