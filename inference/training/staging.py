"""Train a network that stages fields; every choice follows from the seed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from inference.pipeline.config import STAGES_OF_LEUKEMIA
from inference.pipeline.networks import staging
from inference.pipeline.networks.registry import Card, InputContract
from inference.pipeline.networks.runtime import FromPixels, prepare, several, torch_module
from inference.training.losses import smoothed_cross_entropy
from inference.training.optimisation import Optimisation, batches
from inference.training.staging_augmentation import Lent, augment
from inference.training.staging_fields import Fields

PREPROCESSING = (
    "a window of the size of a training field, resized to the side; of an image of the training set itself"
    " the top-left 188 of 224 px"
)
EPOCH_STRIDE = 100_000
AT_ONCE = 64
EVERY = 2
"""Epochs between two looks at the fields kept for choosing."""

Drawn = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights, apart from the fields.

    An epoch draws `draws` fields, a stage in proportion to its number of fields to the power of `balance`.
    The side of the input grows from `first_side` to `side` in the second half of the training. `start` is the
    sha256 of the weights that the training starts from, nothing for random ones. `stain` is what the network
    sees a field through, one of `staging.STAINS`.
    """

    architecture: str = staging.ARCHITECTURE
    init: str = "scratch"
    side: int = 160
    first_side: int = 128
    epochs: int = 36
    draws: int = 1792
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    balance: float = 0.5
    ema_decay: float = 0.995
    warmup: float = 0.15
    seed: int = 1
    start: str = ""
    stain: str = staging.STAIN

    def side_at(self, epoch: int) -> int:
        """Return the side in px to train an epoch at, in steps of 32 px."""
        done = max(0.0, 2 * epoch / self.epochs - 1)
        return self.first_side + int(done * ((self.side - self.first_side) / 32 + 1)) * 32

    @property
    def contract(self) -> InputContract:
        """The input contract of a network trained this way; the network scales the colours itself."""
        return InputContract(self.side, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), PREPROCESSING)


@dataclass(frozen=True, slots=True)
class Run:
    """Where a training keeps its checkpoint, how many processes augment for it, and the epoch after which it
    stops before its recipe's end, None where it goes on to that; a later run goes on from there. `start` is
    the card of the network to start from, None where it starts from none."""

    out: Path
    workers: int = 1
    stop_after: int | None = None
    start: Card | None = None

    def epochs(self, recipe: Recipe) -> int:
        """Return the last epoch to train."""
        return min(recipe.epochs, self.stop_after or recipe.epochs)


def chances(labels: NDArray[np.int64], balance: float) -> NDArray[np.float64]:
    """Return the chance float64 (n,) of each field to be drawn, summing to 1."""
    each = np.bincount(labels)[labels] ** (balance - 1.0)
    return np.asarray(each / each.sum(), np.float64)


class _Draw(Dataset[Drawn]):
    """The augmented fields of one epoch with their labels."""

    def __init__(self, fields: Fields, lent: Lent, recipe: Recipe, epoch: int) -> None:
        self.fields, self.lent, self.seed = fields, lent, (recipe.seed, epoch)
        self.side = recipe.side_at(epoch)
        rng = np.random.default_rng(self.seed)
        self.order = rng.choice(len(fields.labels), recipe.draws, p=chances(fields.labels, recipe.balance))

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> Drawn:
        place = int(self.order[position])
        rng = np.random.default_rng((*self.seed, position))
        seen = augment(self.fields.images[place], self.side, rng, self.lent)
        return torch.from_numpy(seen), torch.tensor(int(self.fields.labels[place]))


class Trainer(Optimisation):
    """The training of a network that stages fields."""

    fused_on_cpu = True

    def __init__(self, recipe: Recipe, fields: Fields, lent: Lent, this: Run) -> None:
        self.recipe, self.fields, self.lent = recipe, fields, lent
        torch.manual_seed(recipe.seed)
        network = staging.build(recipe.architecture, len(STAGES_OF_LEUKEMIA), recipe.init, recipe.stain)
        if this.start is not None:
            network.load_state_dict(torch_module(this.start).network.state_dict())
        steps = recipe.epochs * max(1, recipe.draws // recipe.batch)
        super().__init__(FromPixels(network, recipe.contract), recipe, steps, this.out)

    def _batches(self, workers: int) -> DataLoader[Drawn]:
        drawn = _Draw(self.fields, self.lent, self.recipe, self.epoch)
        return batches(drawn, self.recipe.batch, workers, drop_last=True)

    def run_epoch(self, workers: int = 1) -> float:
        """Train for one epoch, save the checkpoint, and return the mean loss."""
        # Dropout draws from torch's own generator: a resumed epoch is to draw what an unbroken one does.
        torch.manual_seed(EPOCH_STRIDE * self.recipe.seed + self.epoch)
        self.module.train()
        losses = [self.step(*batch) for batch in self._batches(workers)]
        self.epoch += 1
        self.save()
        return float(np.mean(losses))

    def step(self, pixels: Tensor, labels: Tensor) -> float:
        """Learn from one batch: uint8 (n, side, side, 3) and int64 (n,); return its loss."""
        # On a CPU bfloat16 was no faster: 28 ms a field at 96 px against 40.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.module(pixels.to(self.device))
        loss = smoothed_cross_entropy(
            logits.float(), labels.to(self.device), smoothing=self.recipe.label_smoothing
        )
        self.descend(loss)
        return loss.item()


@torch.inference_mode()
def logits(module: FromPixels, images: NDArray[np.uint8], contract: InputContract) -> NDArray[np.float32]:
    """Return float32 (n, stages) for fields uint8 RGB (n, height, width, 3)."""
    device = next(module.parameters()).device
    module.eval()
    rows = list[NDArray[np.float32]]()
    for start in range(0, len(images), AT_ONCE):
        pixels = torch.from_numpy(prepare(list(images[start : start + AT_ONCE]), contract))
        rows.append(np.asarray(several(module(pixels.to(device)))[0].float().cpu()))
    return np.concatenate(rows)


def train(recipe: Recipe, fields: tuple[Fields, Fields], lent: Lent, this: Run) -> FromPixels:
    """Train to the last epoch of a run on the first fields, from the checkpoint where there is one.

    The second say every few epochs how far it is; ``log.jsonl`` gets a line per epoch. Returns the averaged
    network.
    """
    trainer, chosen, last = Trainer(recipe, fields[0], lent, this), fields[1], this.epochs(recipe)

    def run() -> dict[str, float]:
        figures = {"loss": trainer.run_epoch(this.workers)}
        if trainer.epoch % EVERY == 0 or trainer.epoch == last:
            predicted = logits(trainer.averaged, chosen.images, recipe.contract).argmax(axis=1)
            figures["val_accuracy"] = float((predicted == chosen.labels).mean())
        return figures

    return trainer.finish(last, run)
