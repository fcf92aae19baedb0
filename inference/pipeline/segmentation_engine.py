"""What every segmentation engine takes and gives, so that one can stand in for another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.config import SegmentationEngine
from inference.pipeline.errors import NetworkUnavailable, PipelineError
from inference.pipeline.findings import Image, Instance, Kind, NetworkUsed
from inference.pipeline.networks import registry
from inference.pipeline.star import Floats


class UndecodableTile(PipelineError):
    """The engine's answer to a tile makes no sense; the other tiles are not concerned."""

    code = "tile_undecodable"

    @classmethod
    def by(cls, network: str) -> "UndecodableTile":
        """The error of a network, by its name, whose answer holds values that are no numbers."""
        return cls(f"The network {network} gave no usable answer for this part of the image.")


@dataclass(frozen=True, slots=True)
class Unexplained:
    """What an engine takes for cells, of whichever kind, though no instance covers it: its `share`, 0–1, of
    all that is taken for cells, and `where` it is, bool (rows, columns) over the whole image."""

    share: float
    where: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answer:
    """The cells of one image, in its pixels, and what is left `unexplained`; None from engines that do not
    tell."""

    instances: list[Instance]
    unexplained: Unexplained | None = None


class Engine(Protocol):
    """A way to find cells. `used` names the networks at work, none for an engine without."""

    @property
    def used(self) -> tuple[NetworkUsed, ...]: ...

    def estimate_pixel_um(self, image: Image) -> float | None:
        """Micrometres per pixel of uint8 RGB (height, width, 3); None where nothing tells them."""

    def find(self, images: Sequence[Image], pixel_um: float) -> list[Answer]:
        """Find the cells of images of one size, uint8 RGB (height, width, 3), at least 8 px wide and high.

        Returns one answer per image, in order. Raises UndecodableTile, NetworkUnavailable, and whatever error
        the machine has for want of memory.
        """

    def warm_up(self) -> None:
        """Load and compile now what would otherwise be at the first image."""


def provided(engine: SegmentationEngine, folder: Path = registry.WEIGHTS) -> str:
    """Return the name of an engine's network, whose weights and card somebody has put into `folder`.

    Raises NetworkUnavailable when they are not there, saying how to come by them.
    """
    name = registry.segmentation_network(engine)
    weights, card = f"{name}.safetensors", f"{name}.json"
    if not ((folder / weights).is_file() and (folder / card).is_file()):
        raise NetworkUnavailable(
            f"The segmentation engine {engine} ships without weights. Train them with: python -m"
            f" inference.training segmentation --engine {engine} --data DIR --out DIR, then put {weights} and"
            f" {card} from the --out folder into {folder}."
        )
    return name


def instances_of(
    kinds: Sequence[Kind],
    outlines: Floats,
    confidences: Floats,
    shape: tuple[int, ...],
    margins: Floats | None = None,
) -> list[Instance]:
    """Measure outlines.

    Args:
        kinds: of the n cells.
        outlines: float32 (n, corners, 2) as x, y in px of the image, which they do not leave.
        confidences: float32 (n,), 0–1.
        shape: (height, width, ...) of the image in px.
        margins: float32 (n,), how far in px each box stands off its outline; not at all when None.

    Returns:
        One instance per outline that encloses a pixel at least.
    """
    if not len(outlines):
        return []
    areas, centroids = _measured(outlines)
    limit = np.array([shape[1], shape[0]], np.float32)
    margin = np.zeros(len(outlines), np.float32) if margins is None else margins
    low = np.clip(np.floor(outlines.min(axis=1) - margin[:, None]), 0, limit - 1).astype(int).tolist()
    high = np.clip(np.ceil(outlines.max(axis=1) + margin[:, None]), 1, limit).astype(int).tolist()
    corners = np.minimum(outlines, limit - 1).astype(int).tolist()
    hulls = [cv2.contourArea(cv2.convexHull(outline)) for outline in outlines]
    return [
        Instance(
            kind=kind,
            box=(*low[i], *high[i]),
            polygon=tuple((x, y) for x, y in corners[i]),
            centroid=(float(centroids[i, 0]), float(centroids[i, 1])),
            area_px=round(float(areas[i])),
            confidence=float(confidences[i]),
            solidity=min(1.0, float(areas[i]) / max(hulls[i], 1e-6)),
        )
        for i, kind in enumerate(kinds)
        if areas[i] >= 1
    ]


def _measured(outlines: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas (n,) and centroids (n, 2) of polygons, by the surveyor's formula about each one's mean corner."""
    middle = outlines.mean(axis=1, dtype=np.float64)
    x, y = np.moveaxis(outlines - middle[:, None], 2, 0)
    next_x, next_y = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    cross = x * next_y - next_x * y
    doubled = cross.sum(axis=1)
    safe = np.where(np.abs(doubled) < 1e-6, 1.0, 3 * doubled)
    offset = np.stack([((x + next_x) * cross).sum(axis=1), ((y + next_y) * cross).sum(axis=1)], axis=1)
    return np.abs(doubled) / 2, middle + offset / safe[:, None]
