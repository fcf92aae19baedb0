"""What every training keeps and does alike: optimiser, schedule, moving average, their checkpoint, epochs."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

import cv2
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from inference.pipeline.networks.runtime import FromPixels, cpu_has_bfloat16

log = logging.getLogger(__name__)

PARTS = ("module", "average", "optimiser", "schedule")


class Recipe(Protocol):
    """What the recipe of any training says about its optimisation; a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def learning_rate(self) -> float: ...

    @property
    def weight_decay(self) -> float: ...

    @property
    def ema_decay(self) -> float: ...

    @property
    def warmup(self) -> float: ...


class Optimisation:
    """A network that learns: AdamW, one cycle of the learning rate over `steps`, a moving average of the
    weights, and their checkpoint in `out`. On a CPU the fused step is for whoever sets `fused_on_cpu`."""

    fused_on_cpu = False

    def __init__(self, module: FromPixels, recipe: Recipe, steps: int, out: Path) -> None:
        self.out, self._recipe, self.epoch = out, recipe, 0
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module = module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        average = get_ema_multi_avg_fn(recipe.ema_decay)
        self.average = AveragedModel(self.module, multi_avg_fn=average, use_buffers=True)
        groups = _groups(self.module, recipe.weight_decay)
        fused = self.fused_on_cpu or self.device.type == "cuda"
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=fused)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            recipe.learning_rate,
            total_steps=steps,
            pct_start=recipe.warmup,
            cycle_momentum=False,
        )

    @property
    def checkpoint(self) -> Path:
        """Where the state after each epoch is kept."""
        return self.out / "checkpoint.pt"

    def resume(self) -> bool:
        """Take up the state of the last finished epoch; False when there is none.

        Raises ValueError when the checkpoint belongs to another recipe.
        """
        if not self.checkpoint.is_file():
            return False
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if state["recipe"] != asdict(self._recipe):
            raise ValueError(f"{self.checkpoint} was made with another recipe; choose another --out.")
        for part in PARTS:
            getattr(self, part).load_state_dict(state[part])
        self.epoch = state["epoch"]
        return True

    def save(self) -> None:
        """Write the checkpoint so that a crash leaves either the old one or the new one."""
        parts = {part: getattr(self, part).state_dict() for part in PARTS}
        fresh = self.checkpoint.with_suffix(".new")
        torch.save({**parts, "epoch": self.epoch, "recipe": asdict(self._recipe)}, fresh)
        fresh.replace(self.checkpoint)

    @property
    def averaged(self) -> FromPixels:
        """The moving average of the weights: what is shipped."""
        averaged = self.average.module
        if not isinstance(averaged, FromPixels):
            raise TypeError("the averaged module is not a network with its input contract")
        return averaged

    def finish(
        self, epochs: int, run: Callable[[], Mapping[str, float]], before: Callable[[], None] | None = None
    ) -> FromPixels:
        """Train to the last epoch, from the checkpoint in `out` where there is one.

        Args:
            epochs: so many in all.
            run: trains for one epoch and returns figures for its line in ``log.jsonl``.
            before: what is to be done before every epoch, not counted into its time.

        Returns:
            The averaged network.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        if self.resume():
            log.info("resumed after epoch %d", self.epoch)
        while self.epoch < epochs:
            if before:
                before()
            started = time.monotonic()
            figures = {name: round(value, 4) for name, value in run().items()}
            self._note({"epoch": self.epoch, **figures, "seconds": round(time.monotonic() - started, 1)})
        return self.averaged.cpu().eval()

    def _note(self, line: Mapping[str, float]) -> None:
        log.info("%s", line)
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")

    def descend(self, loss: Tensor) -> None:
        """Take one step down the gradient of a loss."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 5.0)
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.module)


def in_bfloat16(device: torch.device) -> torch.autocast:
    """Compute what follows in bfloat16 where the device has it: a CPU that has to imitate it takes seven
    times as long as with float32."""
    native = device.type == "cuda" or cpu_has_bfloat16()
    return torch.autocast(device.type, torch.bfloat16, enabled=native)


def batches(
    dataset: Dataset[Any],
    size: int,
    workers: int,
    together: Callable[[Sequence[Any]], Any] | None = None,
    drop_last: bool = False,
) -> DataLoader[Any]:
    """Batches of a data set, prepared by so many processes of one thread each."""
    return DataLoader(
        dataset,
        batch_size=size,
        num_workers=workers,
        collate_fn=together,
        drop_last=drop_last,
        worker_init_fn=one_thread,
        prefetch_factor=4 if workers else None,
    )


def one_thread(_: int) -> None:
    """Keep a process that prepares batches to one thread; for `DataLoader`."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels only, not biases and normalisation."""
    kernels = [p for p in module.parameters() if p.ndim > 1]
    rest = [p for p in module.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
