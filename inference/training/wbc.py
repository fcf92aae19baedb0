"""Train the white-cell network on the product's own crops; every random choice follows from the seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.networks import wbc
from inference.pipeline.networks.registry import InputContract
from inference.pipeline.networks.runtime import FromPixels, prepare
from inference.training.augmentation import GENTLE, Strength, augment
from inference.training.crops import Crops
from inference.training.optimisation import Optimisation, batches

MEAN, STD = (0.72, 0.60, 0.66), (0.22, 0.25, 0.16)
PREPROCESSING = (
    "square on the cell's centroid, 25 % padding, reflected at borders, 224 px, then area-averaged"
    " to the side"
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights, apart from the crops."""

    architecture: str = wbc.ARCHITECTURE
    init: str = "scratch"
    side: int = 128
    first_side: int = 96
    epochs: int = 40
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    ema_decay: float = 0.998
    warmup: float = 0.05
    gentle_share: float = 0.2
    seed: int = 1

    def side_at(self, epoch: int) -> int:
        """Return the side in px to train an epoch at: small at first, for speed, in steps of 16 px."""
        done = max(0.0, 2 * epoch / self.epochs - 1)
        return self.first_side + int(done * ((self.side - self.first_side) / 16 + 1)) * 16

    def strength_at(self, epoch: int) -> Strength:
        """Return how strongly an epoch augments: gently in the last share of the training."""
        return GENTLE if epoch >= (1 - self.gentle_share) * self.epochs else Strength()

    @property
    def contract(self) -> InputContract:
        """The input contract of a network trained this way."""
        return InputContract(self.side, MEAN, STD, PREPROCESSING)


class _Draw(Dataset[tuple[Tensor, int]]):
    """The augmented crops of one epoch, drawn so that every class comes up equally often."""

    def __init__(self, crops: Crops, recipe: Recipe, epoch: int) -> None:
        self.crops, self.seed, self.epoch = crops, recipe.seed, epoch
        self.side, self.strength = recipe.side_at(epoch), recipe.strength_at(epoch)
        share = 1.0 / np.bincount(crops.labels, minlength=len(WBC_CLASSES)).clip(min=1)[crops.labels]
        rng = np.random.default_rng((recipe.seed, epoch))
        self.order = rng.choice(len(crops.labels), len(crops.labels), p=share / share.sum())

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        index = int(self.order[position])
        rng = np.random.default_rng((self.seed, self.epoch, position))
        image = augment(self.crops.images[index], self.side, rng, self.strength)
        return torch.from_numpy(image), int(self.crops.labels[index])


class Trainer(Optimisation):
    """The training of the white-cell network."""

    def __init__(self, recipe: Recipe, train_crops: Crops, out: Path) -> None:
        self.recipe, self.crops = recipe, train_crops
        torch.manual_seed(recipe.seed)
        network = wbc.build(recipe.architecture, len(WBC_CLASSES), recipe.init)
        steps = recipe.epochs * max(1, len(train_crops.labels) // recipe.batch)
        super().__init__(FromPixels(network, recipe.contract), recipe, steps, out)

    def _batches(self, workers: int) -> DataLoader[tuple[Tensor, int]]:
        drawn = _Draw(self.crops, self.recipe, self.epoch)
        return batches(drawn, self.recipe.batch, workers, drop_last=True)

    def run_epoch(self, workers: int = 1) -> float:
        """Train for one epoch, save the checkpoint, and return the mean loss."""
        self.module.train()
        losses = [self.step(pixels, labels) for pixels, labels in self._batches(workers)]
        self.epoch += 1
        self.save()
        return float(np.mean(losses))

    def step(self, pixels: Tensor, labels: Tensor) -> float:
        """Learn from one batch: uint8 (n, side, side, 3) and int64 (n,); return its loss."""
        logits = self.module(pixels.to(self.device))
        loss = functional.cross_entropy(
            logits, labels.to(self.device), label_smoothing=self.recipe.label_smoothing
        )
        self.descend(loss)
        return loss.item()


@torch.inference_mode()
def logits(module: FromPixels, images: NDArray[np.uint8], contract: InputContract) -> NDArray[np.float32]:
    """Return float32 (n, classes) for crops uint8 (n, any, any, 3)."""
    device = next(module.parameters()).device
    module.eval()
    rows = [
        module(torch.from_numpy(prepare(list(part), contract)).to(device)).float().cpu().numpy()
        for part in _parts(images, 128)
    ]
    return np.concatenate(rows)


def _parts(images: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), size):
        yield images[start : start + size]


def train(recipe: Recipe, train_crops: Crops, val_crops: Crops, out: Path, workers: int = 1) -> FromPixels:
    """Train to the end of the recipe, from the checkpoint in `out` where there is one.

    Writes ``log.jsonl`` with one line per epoch; returns the averaged network.
    """
    trainer = Trainer(recipe, train_crops, out)

    def run() -> dict[str, float]:
        loss = trainer.run_epoch(workers)
        predicted = logits(trainer.averaged, val_crops.images, recipe.contract).argmax(axis=1)
        return {"loss": loss, "val_accuracy": float((predicted == val_crops.labels).mean())}

    return trainer.finish(recipe.epochs, run)
