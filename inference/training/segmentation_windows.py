"""The windows that every segmentation network learns from, and what their trainings do alike."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from inference.pipeline import star
from inference.pipeline.networks.registry import InputContract
from inference.pipeline.networks.runtime import FromPixels
from inference.pipeline.shapes import dilate
from inference.training import optimisation
from inference.training.segmentation_labels import Field
from inference.training.segmentation_scenes import Generator, Scene, compose

CONTRACT = InputContract(
    side=0,
    mean=(0.78, 0.68, 0.72),
    std=(0.20, 0.22, 0.17),
    preprocessing="resized to 0.2 µm per pixel, filled up with the mean to sides that are multiples of 32 px",
)

MEAN_COLOUR = np.array(CONTRACT.mean, np.float32) * 255

RIM_PX = 2
"""What nobody labelled is painted over together with its soft rim."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights of a segmentation network, apart from the fields.

    In every epoch it learns from `steps` batches of windows of `side` px. `start` is the sha256 of the
    weights that the training starts from, nothing for random ones.
    """

    architecture: str
    side: int
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    ema_decay: float
    steps: int = 250
    warmup: float = 0.05
    seed: int = 1
    start: str = ""


class Windows(Dataset[dict[str, Tensor]], ABC):
    """The windows of one epoch: `pixels` uint8 (side, side, 3) and what a network should find in them."""

    def __init__(self, sources: Sequence[Field], recipe: Recipe, epoch: int) -> None:
        self.sources, self.recipe, self.epoch = sources, recipe, epoch
        weight = np.array([2.0 if (field.cells.kinds == 2).any() else 1.0 for field in sources])
        self.rare = weight / weight.sum()

    def __len__(self) -> int:
        return self.recipe.steps * self.recipe.batch

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.recipe.seed, self.epoch, position))
        return self.window(compose(self.sources, self.recipe.side, rng, self.rare), rng)

    @abstractmethod
    def window(self, scene: Scene, rng: Generator) -> dict[str, Tensor]:
        """Return what one scene shows and what is to be found in it."""


class Trainer(optimisation.Optimisation, ABC):
    """The training of a segmentation network on windows of `sources`."""

    fused_on_cpu = True

    def __init__(self, module: FromPixels, recipe: Recipe, sources: Sequence[Field], out: Path) -> None:
        self.recipe, self.sources = recipe, sources
        super().__init__(module, recipe, recipe.epochs * recipe.steps, out)

    def train(self, workers: int, before: Callable[[], None] | None = None) -> FromPixels:
        """Train to the end of the recipe; see `finish`. So many processes compose windows."""
        return self.finish(self.recipe.epochs, partial(self.run_epoch, workers), before)

    def run_epoch(self, workers: int) -> dict[str, float]:
        """Train for one epoch, save the checkpoint, and return the mean of each part of the loss."""
        self.module.train()
        parts = [self.step(batch) for batch in self.batches(workers)]
        self.epoch += 1
        self.save()
        return {name: float(np.mean([part[name].item() for part in parts])) for name in parts[0]}

    @abstractmethod
    def batches(self, workers: int) -> DataLoader[Any]:
        """Return the batches of the next epoch's windows, composed by so many processes."""

    @abstractmethod
    def step(self, batch: Any) -> dict[str, Tensor]:
        """Learn from one batch; return the parts of its loss."""


def painted_over(scene: Scene) -> Scene:
    """The scene in the colour of its ground wherever its labels do not say what is there."""
    side = scene.image.shape[0]
    taught = np.zeros((side, side), np.bool_)
    for outline in star.outlines(scene.cells.centres, scene.cells.radii):
        taught |= star.filled(outline, (side, side))
    free = scene.known & scene.inside & ~taught
    image = scene.image.copy()
    ground = np.median(image[free], axis=0) if free.any() else MEAN_COLOUR
    image[dilate(~scene.known, RIM_PX) & ~taught] = np.rint(ground)
    return replace(scene, image=image)


def check_side(side: int, block: int) -> None:
    """Raise ValueError for windows whose side in px the network cannot halve as often as it has to."""
    if side % block:
        raise ValueError(f"The side of the windows is {side} px; it must be a multiple of {block}.")
