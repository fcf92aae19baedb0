"""Train a network that names white or red cells on the product's own crops; every choice follows from the
seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from inference.pipeline.config import RBC_SHAPES, WBC_CLASSES, CellConfig
from inference.pipeline.errors import PipelineError
from inference.pipeline.findings import Image
from inference.pipeline.levels import shown
from inference.pipeline.networks import rbc, wbc
from inference.pipeline.networks.registry import RBC_NETWORK, WBC_NETWORK, InputContract
from inference.pipeline.networks.runtime import FromPixels, prepare
from inference.training.attributes import SIZES
from inference.training.augmentation import Generator, Stain, Strangers, Strength, augment
from inference.training.crops import Crops
from inference.training.focus import FocusMonitor
from inference.training.losses import attribute_loss, focal_loss, smoothed_cross_entropy
from inference.training.optimisation import Optimisation, batches, in_bfloat16

PREPROCESSING = (
    "square on the cell's centroid, 25 % padding, reflected at borders, {side} px, then area-averaged"
    " to the side"
)
MEAN, STD = (0.65, 0.57, 0.70), (0.27, 0.29, 0.22)

LENT_STAINS = 300
"""Stains kept of each laboratory, to be exchanged."""

EPOCH_STRIDE = 100_000

FOCUS_CELLS = 200
"""About so many validation cells are looked at by the focus monitor."""

Drawn = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights, apart from the crops.

    An epoch draws `draws` crops: a laboratory in proportion to its number of cells to the power of `balance`,
    in it a class in the same way. Each crop is seen in one of the `views`, as the product shows all of them.
    `colour` and `degrading` multiply how far colours stray, and the chances of blur, noise and compression;
    `background` is the chance that something else is put around the cell, `stretch` how far it is pulled
    longer, which a network that has to tell a disc from an oval must not see.
    `focal` is the share of the focal loss, the rest is smoothed cross entropy. `head_epochs` train the heads
    only, for a backbone that comes with ImageNet weights. `held_out` laboratories are not learnt from, and
    `start` is the sha256 of the weights that the training starts from, nothing for random ones. `extra` are
    the sha256 of the manifests of the exports that are learnt from as well, `proposed` those of the indexes
    of cells that nobody named one by one.

    `name` is the network that it is trained as, which decides the classes. The product shows a cell in the
    `shown` views, all of `views` where none is named, upright and, with `half_turn`, turned by 180° as well.
    """

    name: str = WBC_NETWORK
    architecture: str = wbc.ARCHITECTURE
    init: str = "scratch"
    views: tuple[str, ...] = ("as_is", "levels", "stretched")
    side: int = 128
    first_side: int = 96
    epochs: int = 60
    draws: int = 8192
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    colour: float = 1.5
    degrading: float = 1.5
    background: float = 0.6
    stretch: float = 0.06
    focal: float = 0.5
    attribute_share: float = 0.02
    balance: float = 0.5
    ema_decay: float = 0.998
    warmup: float = 0.1
    weak_share: float = 0.1
    gentle_share: float = 0.2
    head_epochs: int = 2
    seed: int = 1
    held_out: tuple[str, ...] = ()
    start: str = ""
    extra: tuple[str, ...] = ()
    proposed: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    half_turn: bool = True

    def side_at(self, epoch: int) -> int:
        """Return the side in px to train an epoch at: small at first, for speed, in steps of 16 px."""
        done = max(0.0, 2 * epoch / self.epochs - 1)
        return self.first_side + int(done * ((self.side - self.first_side) / 16 + 1)) * 16

    def strength_at(self, epoch: int) -> Strength:
        """Return how strongly an epoch augments: weakly at first, so that it learns what cells are, then
        fully, and gently at last, so that it settles on cells as they mostly look."""
        straying = Strength(background=self.background, stretch=self.stretch)
        full = straying.times(self.colour, self.degrading)
        if epoch < self.weak_share * self.epochs:
            return full.times(0.5, 0.5)
        gentle = epoch >= (1 - self.gentle_share) * self.epochs
        return full.times(0.7, 0.7) if gentle else full

    @property
    def contract(self) -> InputContract:
        """The input contract of a network trained this way."""
        views = dict.fromkeys(self.shown or self.views, 1.0)
        cells = CellConfig()
        side = cells.rbc_side if self.of_red_cells else cells.wbc_side
        told = PREPROCESSING.format(side=side)
        return InputContract(self.side, MEAN, STD, told, views=views, half_turn=self.half_turn)

    @property
    def of_red_cells(self) -> bool:
        return self.name == RBC_NETWORK

    @property
    def classes(self) -> tuple[str, ...]:
        """What the network tells apart, in the order of its logits."""
        return RBC_SHAPES if self.of_red_cells else WBC_CLASSES

    @property
    def attribute_sizes(self) -> tuple[int, ...]:
        """How many values each morphology attribute has that is learnt beside the classes."""
        return () if self.of_red_cells else SIZES

    @property
    def backbone(self) -> str:
        """timm's name of the network's backbone."""
        known = rbc.ARCHITECTURES if self.of_red_cells else wbc.ARCHITECTURES
        return known[self.architecture].backbone if self.architecture in known else self.architecture

    def built(self) -> wbc.WbcNetwork:
        """Build the network that the training begins with; raises as `wbc.build` does."""
        build = rbc.build if self.of_red_cells else wbc.build
        return build(self.architecture, len(self.classes), self.init, sum(self.attribute_sizes), self.side)


def chances(crops: Crops, balance: float) -> NDArray[np.float64]:
    """Return the chance float64 (n,) of each crop to be drawn, summing to 1."""
    drawn = np.zeros(len(crops.labels))
    for name in np.unique(crops.laboratories):
        own = crops.laboratories == name
        support = np.bincount(crops.labels[own])[crops.labels[own]]
        within = support ** (balance - 1.0)
        drawn[own] = within / within.sum() * own.sum() ** balance
    return np.asarray(drawn / drawn.sum())


def lent_stains(crops: Crops, seed: int) -> list[Stain]:
    """Measure the stains that crops exchange: as many of every laboratory."""
    rng = np.random.default_rng(seed)
    own = [np.flatnonzero(crops.laboratories == name) for name in np.unique(crops.laboratories)]
    chosen = np.concatenate([np.resize(rng.permutation(places), LENT_STAINS) for places in own])
    return [Stain.of(crops.images[place]) for place in chosen]


class _Draw(Dataset[Drawn]):
    """The augmented crops of one epoch with their labels and attributes."""

    def __init__(self, crops: Crops, stains: list[Stain], recipe: Recipe, epoch: int) -> None:
        self.crops, self.recipe, self.epoch = crops, recipe, epoch
        self.side, self.strength = recipe.side_at(epoch), recipe.strength_at(epoch)
        self.lent = Strangers(stains, self._any)
        rng = np.random.default_rng((recipe.seed, epoch))
        self.order = rng.choice(len(crops.labels), recipe.draws, p=chances(crops, recipe.balance))

    def _any(self, rng: Generator) -> Image:
        return np.asarray(self.crops.images[int(rng.integers(len(self.crops.labels)))])

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> Drawn:
        place, recipe = int(self.order[position]), self.recipe
        rng = np.random.default_rng((recipe.seed, self.epoch, position))
        cell = self.crops.images[place], self.crops.masks[place]
        crop, mask = augment(cell, self.side, rng, self.lent, self.strength)
        seen = shown(recipe.views[int(rng.integers(len(recipe.views)))], crop, mask)
        attributes = torch.from_numpy(self.crops.attributes[place])
        return torch.from_numpy(seen), torch.tensor(int(self.crops.labels[place])), attributes


class Trainer(Optimisation):
    """The training of a network that names cells."""

    fused_on_cpu = True

    def __init__(self, recipe: Recipe, crops: Crops, out: Path, start: FromPixels | None = None) -> None:
        self.recipe = recipe
        self.crops = crops.without(recipe.held_out)
        self.stains = lent_stains(self.crops, recipe.seed)
        torch.manual_seed(recipe.seed)
        network = recipe.built()
        if start is not None:
            network.load_state_dict(network.state_dict() | start.network.state_dict())
        steps = recipe.epochs * max(1, recipe.draws // recipe.batch)
        super().__init__(FromPixels(network, recipe.contract), recipe, steps, out)

    def _batches(self, workers: int) -> DataLoader[Drawn]:
        drawn = _Draw(self.crops, self.stains, self.recipe, self.epoch)
        return batches(drawn, self.recipe.batch, workers, drop_last=True)

    def run_epoch(self, workers: int = 1) -> float:
        """Train for one epoch, save the checkpoint, and return the mean loss."""
        # Dropout draws from torch's own generator: a resumed epoch is to draw what an unbroken one does.
        torch.manual_seed(EPOCH_STRIDE * self.recipe.seed + self.epoch)
        self.module.train()
        self._free(self.recipe.init == "scratch" or self.epoch >= self.recipe.head_epochs)
        losses = [self.step(*batch) for batch in self._batches(workers)]
        self.epoch += 1
        self.save()
        return float(np.mean(losses))

    def _free(self, all_of_it: bool) -> None:
        """Let the backbone learn, or hold it still for the heads to find their place on it."""
        network: Any = self.module.network
        network.backbone.requires_grad_(all_of_it)

    def step(self, pixels: Tensor, labels: Tensor, attributes: Tensor) -> float:
        """Learn from one batch: uint8 (n, side, side, 3), int64 (n,) and (n, 11), (n, 0) without attributes;
        return its loss."""
        with in_bfloat16(self.device):
            logits, told, _ = self.module(pixels.to(self.device))
        loss = self._loss(logits.float(), labels.to(self.device))
        if sizes := self.recipe.attribute_sizes:
            loss = loss + self.recipe.attribute_share * attribute_loss(
                told.float(), attributes.to(self.device), sizes
            )
        self.descend(loss)
        return loss.item()

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing, focal = self.recipe.label_smoothing, self.recipe.focal
        return focal * focal_loss(logits, labels, smoothing=smoothing) + (1 - focal) * smoothed_cross_entropy(
            logits, labels, smoothing=smoothing
        )


@torch.inference_mode()
def logits(module: FromPixels, crops: Crops, contract: InputContract) -> NDArray[np.float32]:
    """Return float32 (n, classes) for crops, the mean over the contract's views, upright only."""
    device = next(module.parameters()).device
    module.eval()
    rows = [
        np.mean(
            [_answer(module, _seen(crops, view, part), contract, device) for view in contract.views], axis=0
        )
        for part in _parts(len(crops.labels), 128)
    ]
    return np.concatenate(rows)


def _seen(crops: Crops, view: str, part: slice) -> list[Image]:
    return [shown(view, *cell) for cell in zip(crops.images[part], crops.masks[part], strict=True)]


def _answer(
    module: FromPixels, seen: list[Image], contract: InputContract, device: torch.device
) -> NDArray[np.float32]:
    pixels = torch.from_numpy(prepare(seen, contract)).to(device)
    return np.asarray(module(pixels)[0].float().cpu())


def _parts(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)


def train(
    recipe: Recipe, crops: tuple[Crops, Crops], out: Path, workers: int = 1, start: FromPixels | None = None
) -> FromPixels:
    """Train to the end of the recipe on the first crops, from the checkpoint in `out` where there is one.

    The second, of the validation, say how far it is as often as the monitor looks at it; ``log.jsonl`` gets a
    line per epoch.
    Returns the averaged network. Raises ShortcutLearning when it looks beside the cells.
    """
    trainer, val = Trainer(recipe, crops[0], out, start), crops[1]
    monitor = focus_monitor(val, recipe, trainer.averaged)

    def run() -> dict[str, float]:
        figures = {"loss": trainer.run_epoch(workers)}
        if trainer.epoch % monitor.every == 0:
            predicted = logits(trainer.averaged, val, recipe.contract).argmax(axis=1)
            figures["val_accuracy"] = float((predicted == val.labels).mean())
        looked = monitor.check(trainer.epoch, trainer.averaged)
        return figures | ({"focus": looked} if looked is not None else {})

    return trainer.finish(recipe.epochs, run)


def focus_monitor(val: Crops, recipe: Recipe, module: FromPixels) -> FocusMonitor:
    """Make the monitor that looks at some of the validation cells that were found, as they are.

    Raises PipelineError where none was found: a training without the monitor could learn shortcuts unseen.
    """
    found = np.flatnonzero(val.found)
    if not len(found):
        raise PipelineError(
            f"No cell was found in any of the {len(val.found)} validation images, so the focus monitor cannot"
            " see whether the network looks at the cells. Validation images with a white cell near their"
            " middle, or boxed, are needed.",
            code="nothing_to_monitor",
        )
    chosen = found[:: max(1, len(found) // FOCUS_CELLS)]
    network: Any = module.network
    masks = [cv2.resize(val.masks[i], (recipe.side,) * 2, interpolation=cv2.INTER_AREA) for i in chosen]
    return FocusMonitor(
        prepare(list(val.images[chosen]), recipe.contract),
        (np.stack(masks) > 127).astype(np.uint8),
        val.labels[chosen],
        network.explanation_layer,
    )
