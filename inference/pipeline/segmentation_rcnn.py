"""Two large engines that find boxes and draw the cell in each: Mask R-CNN on a Swin Transformer, and the
Hybrid Task Cascade. They are slow without a GPU, and ship without weights."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import find_contours
from torch import Tensor, nn

from inference.pipeline import segmentation_scale
from inference.pipeline.config import SegmentationEngine
from inference.pipeline.findings import Image, NetworkUsed
from inference.pipeline.networks import rcnn, registry, runtime
from inference.pipeline.networks.htc import SEMANTIC_STRIDE, Stage
from inference.pipeline.networks.registry import WEIGHTS
from inference.pipeline.networks.runtime import EXAMPLE_SIDE, Network
from inference.pipeline.segmentation_drawn import Drawn, evenly_spread, reaching_the_border, unexplained
from inference.pipeline.segmentation_engine import Answer, UndecodableTile, Unexplained, provided
from inference.pipeline.segmentation_star import KINDS, SAME_CELL, WORK_UM, padded
from inference.pipeline.shapes import resized
from inference.pipeline.star import RAYS, Floats


def loaded(engine: SegmentationEngine, folder: Path = WEIGHTS) -> Network:
    """Return an engine's network.

    Raises NetworkUnavailable when there is none, saying how to come by it, or when it is damaged.
    """
    return runtime.load(provided(engine, folder), folder)


class _Rcnn:
    """What both engines do alike; on a GPU if there is one."""

    engine: ClassVar[SegmentationEngine]

    def __init__(self, network: Network | None = None) -> None:
        """`network`: None for the one in the folder of weights, where none is unless somebody trained it:
        then raises NetworkUnavailable."""
        self.network = network or loaded(self.engine)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module = self.network.module.to(self.device)
        for part in self.module.modules():
            if isinstance(part, (*rcnn.JUDGES, Stage)):
                part.register_forward_hook(self._judged)

    @property
    def used(self) -> tuple[NetworkUsed, ...]:
        """The network, and the default engine's, which tells how large a pixel is."""
        return self.network.card.used, registry.card(registry.SEGMENTATION_NETWORK).used

    def estimate_pixel_um(self, image: Image) -> float | None:
        """Micrometres per pixel, as the default engine estimates them."""
        return segmentation_scale.estimate_pixel_um(image)

    def find(self, images: Sequence[Image], pixel_um: float) -> list[Answer]:
        """Find the cells of images of one size, one after the other; see `Engine`."""
        return [self._find(image, pixel_um) for image in images]

    def warm_up(self) -> None:
        """Run the network once."""
        self.find([np.zeros((EXAMPLE_SIDE, EXAMPLE_SIDE, 3), np.uint8)], WORK_UM)

    def _find(self, image: Image, pixel_um: float) -> Answer:
        small = resized(image, pixel_um / WORK_UM)
        pixels = torch.from_numpy(padded(small, self.network)[None]).to(self.device)
        with torch.inference_mode():
            (found,) = self.module.network(self.module.normalised(pixels))
            said = {
                name: values.float().cpu().numpy() for name, values in rcnn.once(found, SAME_CELL).items()
            }
        if not all(np.isfinite(values).all() for values in said.values()):
            raise UndecodableTile.by(self.network.card.name)
        return self._answer(said, (small.shape[0], small.shape[1]), image.shape)

    def _judged(self, part: nn.Module, given: Any, said: Iterable[Tensor | list[Tensor]]) -> None:
        """Refuse judgements that are no numbers: of them nothing would be chosen, as though no cell were
        there."""
        levels = [[values] if isinstance(values, Tensor) else values for values in said]
        if not all(torch.isfinite(values).all() for level in levels for values in level):
            raise UndecodableTile.by(self.network.card.name)

    def _answer(self, said: dict[str, Floats], shape: tuple[int, int], full: tuple[int, ...]) -> Answer:
        chosen, outlines = _outlines(said["masks"][:, 0], said["boxes"], shape)
        kinds = [KINDS[int(label) - 1] for label in said["labels"][chosen]]
        drawn = Drawn(kinds, outlines, said["scores"][chosen])
        counted = drawn.counted(self.network.card)
        return Answer(
            drawn.instances(self.network.card, shape, full), self._unexplained(said, counted, shape)
        )

    def _unexplained(
        self, said: dict[str, Floats], counted: Floats, shape: tuple[int, int]
    ) -> Unexplained | None:
        """What is taken for cells and no outline covers; a network without areas does not tell."""
        return None


class MaskRcnnSwin(_Rcnn):
    """Mask R-CNN, `networks.rcnn`."""

    engine = SegmentationEngine.MASKRCNN_SWIN


class Htc(_Rcnn):
    """The Hybrid Task Cascade, `networks.htc`."""

    engine = SegmentationEngine.HTC

    def _unexplained(
        self, said: dict[str, Floats], counted: Floats, shape: tuple[int, int]
    ) -> Unexplained | None:
        return unexplained(said["areas"], counted, shape, SEMANTIC_STRIDE)


def _outlines(masks: Floats, boxes: Floats, shape: tuple[int, int]) -> tuple[list[int], Floats]:
    """Outlines inside a (height, width) image.

    Args:
        masks: float32 (n, rows, columns), 0–1, on the grids of their boxes.
        boxes: float32 (n, 4) in px.
        shape: of the image, which may be smaller than what was put into the network.

    Returns:
        Which masks show anything, and of those float32 (m, RAYS, 2) as x, y in px.
    """
    drawn = {index: _outline(mask) for index, mask in enumerate(masks) if mask.max() > 0.5}
    chosen, size = list(drawn), np.array(masks.shape[:0:-1], np.float32)
    share = np.array([*drawn.values()], np.float32).reshape(-1, RAYS, 2) / size
    low, high = boxes[chosen, None, :2], boxes[chosen, None, 2:]
    return chosen, reaching_the_border(low + share * (high - low), shape)


def _outline(mask: Floats) -> NDArray[np.float64]:
    """Outline of the largest part of a mask that shows something, float64 (RAYS, 2) as x, y in cells of its
    grid, evenly spread along the line where the chance is one half."""
    lines = find_contours(np.pad(mask, 1), 0.5)  # type: ignore[no-untyped-call]
    # The middle of the first cell is at 1 in the padded grid, and at 0.5 in the mask's.
    line = max(lines, key=lambda points: cv2.contourArea(points.astype(np.float32)))[:, ::-1] - 0.5
    return evenly_spread(line, RAYS)
