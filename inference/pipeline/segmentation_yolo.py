"""An optional engine: YOLO11n-seg (Ultralytics 2024), which finds boxes and masks the cell in each of them.

Its library is licensed under the AGPL-3.0: it is no part of the product, and whoever installs it answers for
the terms. Weights are not shipped either.
"""

import importlib
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image as pillow
from torch import Tensor, nn

from inference.pipeline import segmentation_scale
from inference.pipeline.config import SegmentationEngine
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.findings import Image, NetworkUsed
from inference.pipeline.networks import registry
from inference.pipeline.networks.registry import Card, InputContract
from inference.pipeline.networks.runtime import EXAMPLE_SIDE, FromPixels
from inference.pipeline.segmentation_drawn import Drawn, evenly_spread
from inference.pipeline.segmentation_engine import Answer, UndecodableTile, provided
from inference.pipeline.segmentation_star import KINDS, LEAST_CHANCE, SAME_CELL, WORK_UM
from inference.pipeline.shapes import resized
from inference.pipeline.star import Floats

ENGINE = SegmentationEngine.YOLO11_SEG
ARCHITECTURE = "yolo11n_seg"

BLOCK = 32
"""Sides are filled up to multiples of this, the network's coarsest stride, in the grey BEYOND."""

BEYOND = 114

CONTRACT = InputContract(
    side=0,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    preprocessing="resized to 0.2 µm per pixel, filled up with grey to sides that are multiples of 32 px",
)

MOST_CELLS = 5000
CORNERS = 64
"""Corners of every outline."""

MOST_MASK_PX = 16_000_000
"""As many pixels of masks are worked out at once."""

QUIET = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "YOLO_VERBOSE": "0"}
"""The library's variables that keep it from looking at the network, from installing and from speaking."""

REPLACED = (
    (pillow, "open"),
    (torch, "save"),
    (torch, "load"),
    (cv2, "imread"),
    (cv2, "imwrite"),
    (cv2, "imshow"),
)
"""Functions that the library puts its own in the place of, for the whole process."""

NOT_INSTALLED = (
    "The segmentation engine yolo11_seg needs the library ultralytics, an optional extra under the licence"
    " AGPL-3.0. Install it with: pip install --no-deps -r requirements-yolo.txt"
)


class Yolo11Seg:
    """This engine, as `segmentation_engine.Engine` wants it; on a GPU if there is one."""

    def __init__(self, folder: Path = registry.WEIGHTS) -> None:
        """`folder` holds weights and card; raises NetworkUnavailable when they or the library are missing."""
        imported("nn.tasks")
        self.card = registry.read_card(provided(ENGINE, folder), folder)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module = FromPixels(fused(loaded(self.card)), self.card.input).eval().to(self.device)

    @property
    def used(self) -> tuple[NetworkUsed, ...]:
        """The network, and the default engine's, which tells how large a pixel is."""
        return self.card.used, registry.card(registry.SEGMENTATION_NETWORK).used

    def estimate_pixel_um(self, image: Image) -> float | None:
        """Micrometres per pixel, as the default engine estimates them."""
        return segmentation_scale.estimate_pixel_um(image)

    def find(self, images: Sequence[Image], pixel_um: float) -> list[Answer]:
        """Find the cells of images of one size; see `Engine`."""
        small = [resized(image, pixel_um / WORK_UM) for image in images]
        batch = torch.from_numpy(np.stack([_padded(image) for image in small])).to(self.device)
        with torch.inference_mode():
            (said, prototypes), _ = self.module(batch)
            if not (torch.isfinite(said).all() and torch.isfinite(prototypes).all()):
                raise UndecodableTile.by(self.card.name)
            return [
                self._answer(rows, masks, shown.shape, image.shape)
                for rows, masks, shown, image in zip(_boxes(said), prototypes, small, images, strict=True)
            ]

    def warm_up(self) -> None:
        """Run the network once."""
        self.find([np.full((EXAMPLE_SIDE, EXAMPLE_SIDE, 3), BEYOND, np.uint8)], WORK_UM)

    def _answer(
        self, rows: Tensor, prototypes: Tensor, shape: tuple[int, ...], full: tuple[int, ...]
    ) -> Answer:
        kept, outlines = _outlines(rows, prototypes, (shape[0], shape[1]))
        chances, kinds = rows[kept, 4:6].cpu().numpy().T
        drawn = Drawn([KINDS[int(kind)] for kind in kinds], outlines, chances)
        return Answer(drawn.instances(self.card, shape, full))


@lru_cache(maxsize=8)
def imported(module: str) -> Any:
    """Import a module of the library, "nn.tasks" for ``ultralytics.nn.tasks``; no settings file stays.

    Raises NetworkUnavailable when the library is not installed.
    """
    if find_spec("ultralytics") is None:
        raise NetworkUnavailable(NOT_INSTALLED)
    with tempfile.TemporaryDirectory() as settings, _undisturbed():
        os.environ |= {**QUIET, "YOLO_CONFIG_DIR": settings}
        return importlib.import_module(f"ultralytics.{module}")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put back the environment, OpenCV's threads and the functions of other libraries, which the library
    replaces by its own when it is imported."""
    environment, threads = dict(os.environ), cv2.getNumThreads()
    originals = [(owner, name, getattr(owner, name)) for owner, name in REPLACED]
    try:
        yield
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ |= environment
        cv2.setNumThreads(threads)
        for owner, name, original in originals:
            setattr(owner, name, original)


def build(architecture: str = ARCHITECTURE) -> nn.Module:
    """Build the network with random weights.

    Raises ValueError for any other architecture, NetworkUnavailable when the library is not installed.
    """
    if architecture != ARCHITECTURE:
        raise ValueError(f"{architecture} is not the network of this engine, which is {ARCHITECTURE}.")
    network: nn.Module = imported("nn.tasks").SegmentationModel(
        "yolo11n-seg.yaml", nc=len(KINDS), verbose=False
    )
    return network


def loaded(card: Card) -> nn.Module:
    """Build a network in float32 with the weights its card vouches for.

    Raises NetworkUnavailable when the weights are missing or not those of the card.
    """
    network = build(card.architecture)
    state = safetensors.torch.load(registry.verified_weights(card))
    network.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    )
    return network


def fused(network: nn.Module) -> nn.Module:
    """The network with every normalisation worked into the convolution before it: only to predict with."""
    merged: nn.Module = network.eval().fuse(verbose=False)  # type: ignore[operator]
    return merged


def _padded(image: Image) -> Image:
    down, right = (-side % BLOCK for side in image.shape[:2])
    grey = [BEYOND] * 3
    return np.asarray(cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_CONSTANT, value=grey), np.uint8)


def _boxes(said: Tensor) -> list[Tensor]:
    """Per image float32 (n, 38), surest first: x0, y0, x1, y1 in px, chance 0–1, kind, 32 coefficients of the
    mask. Without an end to its time, which the library sets and passes over in silence."""
    chosen: list[Tensor] = imported("utils.nms").non_max_suppression(
        said,
        LEAST_CHANCE,
        SAME_CELL,
        agnostic=True,
        nc=len(KINDS),
        max_det=MOST_CELLS,
        max_time_img=math.inf,
    )
    return chosen


def _outlines(rows: Tensor, prototypes: Tensor, shape: tuple[int, int]) -> tuple[list[int], Floats]:
    """Outlines of the masks inside a (height, width) image.

    Args:
        rows: of `_boxes`.
        prototypes: float32 (32, height / 4, width / 4), what the masks are mixed from.
        shape: of the image, which may be smaller than what was put into the network.

    Returns:
        Which rows have a mask at all, and of those float32 (n, CORNERS, 2) as x, y in px.
    """
    put_in = (4 * prototypes.shape[1], 4 * prototypes.shape[2])
    kept, outlines = [], []
    at_once = max(1, MOST_MASK_PX // (put_in[0] * put_in[1]))
    for first in range(0, len(rows), at_once):
        part = rows[first : first + at_once]
        masks = imported("utils.ops").process_mask(
            prototypes, part[:, 6:], part[:, :4], put_in, upsample=True
        )
        for index, mask in enumerate(masks[:, : shape[0], : shape[1]].cpu().numpy(), start=first):
            outline = _outline(mask)
            if outline is not None:
                kept.append(index)
                outlines.append(outline)
    return kept, np.array(outlines, np.float32).reshape(-1, CORNERS, 2)


def _outline(mask: NDArray[np.uint8]) -> Floats | None:
    """Outline of the largest part of a mask, corners evenly spread along it, float32 (CORNERS, 2) as x, y in
    px; None where the mask is empty."""
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        return None
    # A contour runs through the middles of pixels: halved, they lie closer to the edge of the mask.
    halved = mask[y : y + height, x : x + width].repeat(2, axis=0).repeat(2, axis=1)
    contours, _ = cv2.findContours(halved, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(contours, key=cv2.contourArea)[:, 0].astype(np.float32)
    closed = (np.concatenate([points, points[:1]]) + 0.5) / 2 + (x, y)
    return evenly_spread(closed, CORNERS).astype(np.float32)
