"""Run a network: OpenVINO on a CPU, torch on a GPU and wherever gradients are needed."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache, cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.pipeline.findings import Image
from inference.pipeline.networks import rbc, registry, segmentation, staging, wbc
from inference.pipeline.networks.registry import Card, InputContract

Logits = NDArray[np.float32]
Run = Callable[[NDArray[np.uint8]], tuple[Logits, ...]]
"""A compiled network: all its answers to a batch of uint8 RGB (n, height, width, 3)."""

EXAMPLE_SIDE = 256
"""Side in px of the image with which a network of any width and height is warmed up."""


class FromPixels(nn.Module):
    """A network with its input contract in front: uint8 (n, height, width, 3) RGB in, its answer out, which
    is one tensor or a tuple of several, as the network has it."""

    def __init__(self, network: nn.Module, contract: InputContract) -> None:
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(contract.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(contract.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, ...]:
        answer: Tensor | tuple[Tensor, ...] = self.network(self.normalised(pixels))
        return answer

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return uint8 (n, height, width, 3) as the network sees it, float32 (n, 3, height, width)."""
        scaled = pixels.permute(0, 3, 1, 2).float() / 255.0
        return (scaled - self.mean) / self.std


def several(answer: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return what a module answers as a tuple, whether it gives one tensor or several; logits come first."""
    return (answer,) if isinstance(answer, Tensor) else answer


def prepare(crops: Sequence[Image], contract: InputContract) -> NDArray[np.uint8]:
    """Bring square crops to a network's side.

    Takes uint8 RGB crops of any side; gives uint8 (n, side, side, 3).
    """
    side = contract.side
    batch = np.empty((len(crops), side, side, 3), np.uint8)
    for row, crop in zip(batch, crops, strict=True):
        shrinking = crop.shape[0] >= side
        cv2.resize(
            crop, (side, side), dst=row, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
        )
    return batch


def torch_module(card: Card) -> FromPixels:
    """Build a network in float32 with the weights its card vouches for, in evaluation mode, on the CPU.

    Raises NetworkUnavailable when the weights are missing or not those of the card.
    """
    network = _architecture(card)
    state = safetensors.torch.load(registry.verified_weights(card))
    network.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    )
    return FromPixels(network, card.input).eval()


def _architecture(card: Card) -> nn.Module:
    if card.name == registry.SEGMENTATION_NETWORK:
        return segmentation.build(card.architecture)
    if card.name == registry.STAGING_NETWORK:
        return staging.build(card.architecture, len(card.labels), stain=card.stain)
    design = card.architecture.partition("_")[0]
    if design in ("maskrcnn", "htc"):
        # Only these need torchvision, which takes long to import.
        from inference.pipeline.networks import htc, rcnn

        return (htc if design == "htc" else rcnn).build(card.architecture)
    if card.name == registry.RBC_NETWORK:
        return rbc.build(card.architecture, len(card.labels), side=card.input.side)
    values = sum(len(names) for names in card.attributes.values())
    return wbc.build(card.architecture, len(card.labels), attributes=values, side=card.input.side)


@cache
def cpu_has_bfloat16() -> bool:
    """Whether this machine's CPU computes in bfloat16 by itself."""
    import openvino as ov

    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compile_openvino(module: FromPixels, side: int) -> Run:
    """Compile a network for this machine's CPU, for any batch size; bfloat16 only where the CPU has it.

    A `side` of 0 leaves width and height open.
    """
    import openvino as ov

    core = ov.Core()
    converted = ov.convert_model(
        module,
        example_input=torch.zeros(2, side or EXAMPLE_SIDE, side or EXAMPLE_SIDE, 3, dtype=torch.uint8),
        input=[-1, side or -1, side or -1, 3],
    )
    precision = ov.Type.bf16 if cpu_has_bfloat16() else ov.Type.f32
    compiled = core.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": precision})

    def run(batch: NDArray[np.uint8]) -> tuple[Logits, ...]:
        return tuple(np.asarray(answer, np.float32) for answer in compiled(batch).values())

    return run


class Network:
    """A network ready to run; the OpenVINO form is compiled at the first prediction and kept.

    Its weights are those of its card, unless a `module` of the same architecture is given, on the CPU.
    """

    def __init__(self, card: Card, module: FromPixels | None = None) -> None:
        self.card = card
        self.module = module or torch_module(card)

    @cached_property
    def _openvino(self) -> Run:
        return compile_openvino(self.module, self.card.input.side)

    @cached_property
    def _on_gpu(self) -> nn.Module:
        return deepcopy(self.module).to("cuda", memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(self, batch: NDArray[np.uint8]) -> Logits:
        """Return the first answer, float32 (n, ...), to a batch of uint8 RGB (n, height, width, 3)."""
        return self.answers(batch)[0]

    def answers(self, batch: NDArray[np.uint8]) -> tuple[Logits, ...]:
        """Return all answers, float32 (n, ...) each, to a batch of uint8 RGB (n, height, width, 3).

        The white-cell network gives logits of the classes, logits of the attributes' values (of width 0
        where it has learnt none), and the embedding; see `networks.wbc`.
        """
        if not torch.cuda.is_available():
            return self._openvino(batch)
        with torch.inference_mode(), torch.autocast("cuda", torch.float16):
            answers = several(self._on_gpu(torch.from_numpy(batch).to("cuda")))
        return tuple(np.asarray(answer.float().cpu(), np.float32) for answer in answers)

    def warm_up(self) -> None:
        """Compile now what would otherwise be compiled at the first prediction."""
        side = self.card.input.side or EXAMPLE_SIDE
        self.predict(np.zeros((1, side, side, 3), np.uint8))


@lru_cache(maxsize=16)
def load(name: str, folder: Path = registry.WEIGHTS) -> Network:
    """Return a network by name, verified and built once per process.

    Raises NetworkUnavailable when its card or weights are missing or do not belong together.
    """
    return Network(registry.card(name, folder))
