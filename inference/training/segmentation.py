"""Train the segmentation network on composed windows; every random choice follows from the seed."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from inference.pipeline.networks import segmentation as networks
from inference.pipeline.networks.registry import InputContract
from inference.pipeline.networks.runtime import FromPixels
from inference.pipeline.networks.segmentation import StarNetwork
from inference.training.optimisation import Optimisation, one_thread
from inference.training.segmentation_labels import Field
from inference.training.segmentation_scenes import compose, shown
from inference.training.segmentation_targets import Losses, Targets, losses, targets_of

log = logging.getLogger(__name__)

CONTRACT = InputContract(
    side=0,
    mean=(0.78, 0.68, 0.72),
    std=(0.20, 0.22, 0.17),
    preprocessing="resized to 0.2 µm per pixel, filled up with the mean to sides that are multiples of 32 px",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights, apart from the fields.

    After `boxed_epochs` on the labelled boxes the network labels further fields itself.
    """

    architecture: str = networks.ARCHITECTURE
    side: int = 160
    epochs: int = 14
    steps: int = 250
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    ema_decay: float = 0.997
    warmup: float = 0.05
    boxed_epochs: int = 4
    seed: int = 1


class Windows(Dataset[dict[str, Tensor]]):
    """The windows of one epoch: `pixels` uint8 (side, side, 3) and the fields of `Targets`."""

    def __init__(self, sources: Sequence[Field], recipe: Recipe, epoch: int) -> None:
        self.sources, self.recipe, self.epoch = sources, recipe, epoch
        weight = np.array([2.0 if (field.cells.kinds == 2).any() else 1.0 for field in sources])
        self.rare = weight / weight.sum()

    def __len__(self) -> int:
        return self.recipe.steps * self.recipe.batch

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.recipe.seed, self.epoch, position))
        scene = compose(self.sources, self.recipe.side, rng, self.rare)
        targets = targets_of(scene)
        drawn = {part.name: torch.from_numpy(getattr(targets, part.name)) for part in fields(Targets)}
        beyond = np.array(CONTRACT.mean, np.float32) * 255
        return {"pixels": torch.from_numpy(shown(scene, beyond, rng)), **drawn}


class Trainer(Optimisation):
    """The training of the segmentation network."""

    fused_on_cpu = True

    def __init__(self, recipe: Recipe, sources: Sequence[Field], out: Path) -> None:
        self.recipe, self.sources = recipe, sources
        torch.manual_seed(recipe.seed)
        module = FromPixels(networks.build(recipe.architecture), CONTRACT)
        super().__init__(module, recipe, recipe.epochs * recipe.steps, out)

    def run_epoch(self, workers: int) -> dict[str, float]:
        """Train for one epoch, save the checkpoint, and return the mean of each part of the loss."""
        self.module.train()
        batches = DataLoader(
            Windows(self.sources, self.recipe, self.epoch),
            batch_size=self.recipe.batch,
            num_workers=workers,
            worker_init_fn=one_thread,
            prefetch_factor=4 if workers else None,
        )
        parts = [self.step(batch) for batch in batches]
        self.epoch += 1
        self.save()
        return {
            part.name: float(np.mean([getattr(p, part.name).item() for p in parts]))
            for part in fields(Losses)
        }

    def step(self, batch: dict[str, Tensor]) -> Losses:
        """Learn from one batch of `Windows`; return its losses."""
        batch = {name: values.to(self.device, non_blocking=True) for name, values in batch.items()}
        with torch.autocast(self.device.type, torch.bfloat16):
            maps = self.module(batch["pixels"])
        lost = losses(maps, batch)
        self.descend(lost.total)
        return Losses(*(getattr(lost, part.name).detach() for part in fields(Losses)))

    @property
    def averaged(self) -> StarNetwork:
        """The moving average of the weights: what is shipped."""
        averaged = self.average.module
        if not isinstance(averaged, FromPixels) or not isinstance(averaged.network, StarNetwork):
            raise TypeError("the averaged module is not the segmentation network")
        return averaged.network


def train(
    recipe: Recipe,
    boxed: Sequence[Field],
    further: Callable[[StarNetwork], Sequence[Field]],
    out: Path,
    workers: int = 1,
) -> StarNetwork:
    """Train to the end of the recipe, from the checkpoint in `out` where there is one.

    Args:
        recipe: what decides the weights.
        boxed: the fields with labelled boxes.
        further: labels more fields with the network as it is after `recipe.boxed_epochs`.
        out: where the checkpoint is kept and ``log.jsonl`` gets one line per epoch.
        workers: processes that compose windows.

    Returns:
        The averaged network.
    """
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(recipe, boxed, out)
    if trainer.resume():
        log.info("resumed after epoch %d", trainer.epoch)
    while trainer.epoch < recipe.epochs:
        if trainer.epoch >= recipe.boxed_epochs and trainer.sources is boxed:
            trainer.sources = [*boxed, *further(trainer.averaged)]
        started = time.monotonic()
        parts = {name: round(value, 4) for name, value in trainer.run_epoch(workers).items()}
        line = {"epoch": trainer.epoch, **parts, "seconds": round(time.monotonic() - started, 1)}
        log.info("%s", line)
        with (out / "log.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
    return trainer.averaged.cpu().eval()
