"""Train the optional engine yolo11_seg with its library's own loss, on windows like the default network's."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from inference.pipeline import star
from inference.pipeline.networks import registry
from inference.pipeline.networks.runtime import FromPixels
from inference.pipeline.segmentation_yolo import (
    ARCHITECTURE,
    BEYOND,
    BLOCK,
    CONTRACT,
    ENGINE,
    Yolo11Seg,
    build,
    imported,
    loaded,
)
from inference.training import segmentation_card, segmentation_windows
from inference.training.optimisation import batches, in_bfloat16
from inference.training.segmentation_labels import Field
from inference.training.segmentation_run import labelled
from inference.training.segmentation_scenes import Generator, Scene, shown
from inference.training.segmentation_windows import check_side, painted_over
from inference.training.shipped import save_weights, write_card

log = logging.getLogger(__name__)

MASK_STRIDE = 4
"""The library teaches masks at a quarter of the image's resolution."""

LEAST_SIDE_PX = 1.0
"""A cell of which the window shows less is not taught."""

LIMITS = [
    "Where cells overlap, the smaller one's mask was cut out of the larger one's.",
    "Confidences are the network's scores; they are not calibrated.",
    "The network is built by a library under the AGPL-3.0.",
]


@dataclass(frozen=True, slots=True)
class Recipe(segmentation_windows.Recipe):
    """The recipe of this engine's network."""

    architecture: str = ARCHITECTURE
    side: int = 256
    epochs: int = 40
    batch: int = 16
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    ema_decay: float = 0.998


class Windows(segmentation_windows.Windows):
    """Windows with what `targets_of` says."""

    def window(self, scene: Scene, rng: Generator) -> dict[str, Tensor]:
        """Return `pixels` and the targets of a scene."""
        pixels = shown(painted_over(scene), np.full(3, BEYOND, np.float32), rng)
        return {"pixels": torch.from_numpy(pixels), **targets_of(scene)}


def targets_of(scene: Scene) -> dict[str, Tensor]:
    """What the library's loss wants to know of a window.

    Returns:
        `cls` float32 (n,), kinds; `bboxes` float32 (n, 4), middle x and y, width and height in shares of the
        window; `masks` int32 (side / 4, side / 4), i + 1 where cell i lies on top. The largest cell comes
        first, the smaller lie on top.
    """
    side = scene.image.shape[0]
    outlines = np.clip(star.outlines(scene.cells.centres, scene.cells.radii), 0, side)
    low, high = outlines.min(axis=1), outlines.max(axis=1)
    order = np.argsort(-star.areas(scene.cells.radii), kind="stable")
    order = order[(high - low).min(axis=1)[order] >= LEAST_SIDE_PX]
    coarse = side // MASK_STRIDE
    masks = np.zeros((coarse, coarse), np.int32)
    for number, outline in enumerate(outlines[order], start=1):
        masks[star.filled(outline / MASK_STRIDE, (coarse, coarse))] = number
    boxes = np.concatenate([(low + high) / 2, high - low], axis=1)[order] / side
    return {
        "cls": torch.from_numpy(scene.cells.kinds[order].astype(np.float32)),
        "bboxes": torch.from_numpy(boxes.astype(np.float32)),
        "masks": torch.from_numpy(masks),
    }


def together(windows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """One batch of windows; `batch_idx` float32 (n,) says which window each cell is in."""
    counts = torch.tensor([len(window["cls"]) for window in windows])
    return {
        "pixels": torch.stack([window["pixels"] for window in windows]),
        "masks": torch.stack([window["masks"] for window in windows]),
        "cls": torch.cat([window["cls"] for window in windows]),
        "bboxes": torch.cat([window["bboxes"] for window in windows]),
        "batch_idx": torch.repeat_interleave(torch.arange(len(windows)), counts).float(),
    }


class Trainer(segmentation_windows.Trainer):
    """The training of this engine's network; raises NetworkUnavailable when its library is missing."""

    def __init__(
        self, recipe: Recipe, sources: Sequence[Field], out: Path, start: nn.Module | None = None
    ) -> None:
        check_side(recipe.side, BLOCK)
        torch.manual_seed(recipe.seed)
        network = build(recipe.architecture) if start is None else start
        super().__init__(FromPixels(network, CONTRACT), recipe, sources, out)
        # The loss reads its weights there.
        network.args = imported("utils").DEFAULT_CFG
        self.loss = imported("utils.loss").v8SegmentationLoss(network)

    def batches(self, workers: int) -> DataLoader[Any]:
        """Return the batches of the next epoch, put `together`."""
        return batches(Windows(self.sources, self.recipe, self.epoch), self.recipe.batch, workers, together)

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learn from one batch of `Windows`; return the parts of its loss by the library's names."""
        batch = {name: values.to(self.device, non_blocking=True) for name, values in batch.items()}
        with in_bfloat16(self.device):
            said = self.module(batch["pixels"])
        parts, named = self.loss({name: _as_float(maps) for name, maps in said.items()}, batch)
        self.descend(parts.sum() / len(batch["pixels"]))
        return dict(named)


def _as_float(maps: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    return [level.float() for level in maps] if isinstance(maps, list) else maps.float()


def train(
    recipe: Recipe, sources: Sequence[Field], out: Path, workers: int = 1, start: nn.Module | None = None
) -> FromPixels:
    """Train to the end of the recipe, from the checkpoint in `out` where there is one; return the averaged
    network. ``log.jsonl`` in `out` gets one line per epoch."""
    return Trainer(recipe, sources, out, start).train(workers)


def make(recipe: Recipe, data: Path, out: Path, workers: int, start: Path | None = None) -> None:
    """Train on the labelled fields and on those that the default network labels; write weights and card, with
    figures measured on the validation fields.

    `start` is a folder with the weights and the card of the network that the training starts from. Raises
    NetworkUnavailable when the engine's library is missing.
    """
    # A missing library is to be known before the labelling, which takes minutes.
    imported("nn.tasks")
    # A forked worker would wait for ever on the threads that OpenCV had in its parent.
    cv2.setNumThreads(1)
    first = registry.read_card(registry.segmentation_network(ENGINE), start) if start else None
    recipe = replace(recipe, start=first.sha256) if first else recipe
    sources = [*labelled(data)]
    log.info("%d labelled fields", len(sources))
    module = train(recipe, sources, out, workers, loaded(first) if first else None)
    card = save(module, recipe, out)
    card["metrics"] = [segmentation_card.measured(Yolo11Seg(out), data, options=f" --engine {ENGINE}")]
    write_card(card, out)


def save(module: FromPixels, recipe: Recipe, out: Path) -> dict[str, Any]:
    """Write float16 weights and their card, which is returned, to `out`."""
    sha256 = save_weights(module, out / f"{registry.segmentation_network(ENGINE)}.safetensors")
    card = segmentation_card.draft_of(ENGINE, sha256, recipe)
    card["limits"] = [*card["limits"], *LIMITS]
    card["input"] |= asdict(CONTRACT)
    write_card(card, out)
    return card
