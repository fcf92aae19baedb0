"""Train the networks of the large engines maskrcnn_swin and htc, on windows like the default network's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from inference.pipeline import star
from inference.pipeline.config import SegmentationEngine
from inference.pipeline.networks import htc, rcnn
from inference.pipeline.networks.runtime import FromPixels
from inference.pipeline.segmentation_rcnn import Htc, MaskRcnnSwin
from inference.training import segmentation_windows
from inference.training.optimisation import batches
from inference.training.segmentation_labels import Field
from inference.training.segmentation_scenes import Generator, Scene, shown
from inference.training.segmentation_windows import CONTRACT, MEAN_COLOUR, check_side, painted_over

ENGINES = {"maskrcnn": (rcnn.build, MaskRcnnSwin), "htc": (htc.build, Htc)}
"""By the design that an architecture begins with: what builds its networks, and the engine they are for."""

BLOCK = 32
"""The sides of windows are multiples of this, the stride in px of the coarsest features."""

LEAST_PX = 2.0
"""A cell of which the window shows less is not taught."""


@dataclass(frozen=True, slots=True)
class Recipe(segmentation_windows.Recipe):
    """The recipe of either engine's network; `init` as in `rcnn.build`."""

    architecture: str = "maskrcnn_swin"
    side: int = 256
    epochs: int = 60
    batch: int = 8
    learning_rate: float = 2e-4
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    init: str = "scratch"

    @property
    def engine(self) -> SegmentationEngine:
        """The engine that the network is for."""
        return ENGINES[self.design][1].engine

    @property
    def design(self) -> str:
        """What the architecture begins with; raises ValueError when it is none of ENGINES."""
        design = self.architecture.partition("_")[0]
        if design not in ENGINES:
            raise ValueError(f"{self.architecture} is none of the designs {', '.join(ENGINES)}.")
        return design


class Windows(segmentation_windows.Windows):
    """Windows with what `targets_of` says."""

    def window(self, scene: Scene, rng: Generator) -> dict[str, Tensor]:
        """Return `pixels` and the targets of a scene."""
        pixels = shown(painted_over(scene), MEAN_COLOUR, rng)
        return {"pixels": torch.from_numpy(pixels), **targets_of(scene)}


def targets_of(scene: Scene) -> dict[str, Tensor]:
    """What a network should find in a window: `boxes`, `labels`, `masks` and `areas` as `networks.rcnn` and
    `networks.htc` describe them; where cells overlap, `areas` has platelets above white above red cells."""
    side = scene.image.shape[0]
    outlines = np.clip(star.outlines(scene.cells.centres, scene.cells.radii), 0, side)
    low, high = outlines.min(axis=1), outlines.max(axis=1)
    seen = np.flatnonzero((high - low).min(axis=1) >= LEAST_PX)
    seen = seen[np.argsort(scene.cells.kinds[seen], kind="stable")]
    masks = np.zeros((len(seen), side, side), np.uint8)
    areas = np.zeros((side, side), np.int64)
    for mask, outline, kind in zip(masks, outlines[seen], scene.cells.kinds[seen], strict=True):
        inside = star.filled(outline, (side, side))
        mask[inside], areas[inside] = 1, kind + 1
    return {
        "boxes": torch.from_numpy(np.concatenate([low, high], axis=1)[seen]),
        "labels": torch.from_numpy(scene.cells.kinds[seen] + 1),
        "masks": torch.from_numpy(masks),
        "areas": torch.from_numpy(areas),
    }


class Trainer(segmentation_windows.Trainer):
    """The training of either engine's network."""

    def __init__(
        self, recipe: Recipe, sources: Sequence[Field], out: Path, start: nn.Module | None = None
    ) -> None:
        check_side(recipe.side, BLOCK)
        torch.manual_seed(recipe.seed)
        build, _ = ENGINES[recipe.design]
        network = build(recipe.architecture, recipe.init) if start is None else start
        super().__init__(FromPixels(network, CONTRACT), recipe, sources, out)

    def batches(self, workers: int) -> DataLoader[Any]:
        """Return the batches of the next epoch, lists of windows."""
        windows = Windows(self.sources, self.recipe, self.epoch)
        return batches(windows, self.recipe.batch, workers, together=list)

    def step(self, windows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Learn from a few of `Windows`; return the parts of their loss."""
        targets = [{name: values.to(self.device) for name, values in window.items()} for window in windows]
        pixels = self.module.normalised(torch.stack([target.pop("pixels") for target in targets]))
        # Boxes of hundreds of px need all of float32: no half precision here.
        parts = self.module.network(pixels, targets)
        self.descend(torch.stack([*parts.values()]).sum())
        return {name: part.detach() for name, part in parts.items()}


def train(
    recipe: Recipe, sources: Sequence[Field], out: Path, workers: int = 1, start: nn.Module | None = None
) -> FromPixels:
    """Train to the end of the recipe, from the checkpoint in `out` where there is one; return the averaged
    network. ``log.jsonl`` in `out` gets one line per epoch."""
    return Trainer(recipe, sources, out, start).train(workers)
