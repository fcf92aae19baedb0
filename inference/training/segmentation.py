"""Train the segmentation network on composed windows; every random choice follows from the seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from inference.pipeline.networks import segmentation as networks
from inference.pipeline.networks.runtime import FromPixels
from inference.training import segmentation_windows
from inference.training.optimisation import batches, in_bfloat16
from inference.training.segmentation_labels import Field
from inference.training.segmentation_scenes import Generator, Scene, shown
from inference.training.segmentation_targets import Losses, Targets, losses, targets_of
from inference.training.segmentation_windows import CONTRACT, MEAN_COLOUR


@dataclass(frozen=True, slots=True)
class Recipe(segmentation_windows.Recipe):
    """The recipe of the default engine's network, which after `boxed_epochs` on the labelled boxes labels
    further fields itself."""

    architecture: str = networks.ARCHITECTURE
    side: int = 160
    epochs: int = 14
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    ema_decay: float = 0.997
    boxed_epochs: int = 4


class Windows(segmentation_windows.Windows):
    """Windows with the fields of `Targets`."""

    def window(self, scene: Scene, rng: Generator) -> dict[str, Tensor]:
        """Return `pixels` and the targets of a scene."""
        targets = targets_of(scene)
        drawn = {part.name: torch.from_numpy(getattr(targets, part.name)) for part in fields(Targets)}
        return {"pixels": torch.from_numpy(shown(scene, MEAN_COLOUR, rng)), **drawn}


class Trainer(segmentation_windows.Trainer):
    """The training of the default engine's network."""

    def __init__(
        self, recipe: Recipe, sources: Sequence[Field], out: Path, start: nn.Module | None = None
    ) -> None:
        torch.manual_seed(recipe.seed)
        network = networks.build(recipe.architecture)
        if start is not None:
            network.load_state_dict(start.state_dict())
        super().__init__(FromPixels(network, CONTRACT), recipe, sources, out)

    def batches(self, workers: int) -> DataLoader[Any]:
        """Return the batches of the next epoch."""
        return batches(Windows(self.sources, self.recipe, self.epoch), self.recipe.batch, workers)

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learn from one batch of `Windows`; return the parts of `Losses`."""
        batch = {name: values.to(self.device, non_blocking=True) for name, values in batch.items()}
        with in_bfloat16(self.device):
            maps = self.module(batch["pixels"])
        lost = losses(maps, batch)
        self.descend(lost.total)
        return {part.name: getattr(lost, part.name).detach() for part in fields(Losses)}


def train(
    recipe: Recipe,
    boxed: Sequence[Field],
    further: Callable[[FromPixels], Sequence[Field]],
    out: Path,
    workers: int = 1,
    start: nn.Module | None = None,
) -> FromPixels:
    """Train to the end of the recipe, from the checkpoint in `out` where there is one.

    Args:
        recipe: what decides the weights.
        boxed: the fields with labelled boxes.
        further: labels more fields with the network as it is after `recipe.boxed_epochs`.
        out: where the checkpoint is kept and ``log.jsonl`` gets one line per epoch.
        workers: processes that compose windows.
        start: the network that the training starts from; None for random weights.

    Returns:
        The averaged network.
    """
    trainer = Trainer(recipe, boxed, out, start)

    def label_further() -> None:
        if trainer.epoch >= recipe.boxed_epochs and trainer.sources is boxed:
            trainer.sources = [*boxed, *further(trainer.averaged)]

    return trainer.train(workers, label_further)
