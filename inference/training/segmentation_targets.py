"""What the network should say about a window, and how far off an answer is."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inference.pipeline import star
from inference.pipeline.networks.segmentation import KINDS, OFFSET_PX, RADIUS_PX, RAYS, STRIDE, split
from inference.pipeline.star import Floats
from inference.training.segmentation_labels import Cells
from inference.training.segmentation_scenes import Scene

CORE = 0.4
"""Where a cell's heat is at least this, the grid cell is asked for its offset and radii."""

IGNORED = 255


@dataclass(frozen=True, slots=True)
class Targets:
    """Per window of side / 4 grid cells: `heat` float32 (3, g, g), 1 at centres; `known` float32 (g, g);
    `core` float32 (g, g), the weight of `offsets` (2, g, g) and `radii` (32, g, g), in units of the
    network; `areas` int64 (g, g), IGNORED where unknown."""

    heat: Floats
    known: Floats
    core: Floats
    offsets: Floats
    radii: Floats
    areas: NDArray[np.int64]


def targets_of(scene: Scene) -> Targets:
    """Draw the answer to one window."""
    grid = scene.image.shape[0] // STRIDE
    heat = np.zeros((KINDS, grid, grid), np.float32)
    core = np.zeros((grid, grid), np.float32)
    offsets = np.zeros((2, grid, grid), np.float32)
    radii = np.zeros((RAYS, grid, grid), np.float32)
    rows, columns = (np.mgrid[0:grid, 0:grid].astype(np.float32) + 0.5) * STRIDE
    step = scene.cells.radii.shape[1] // RAYS
    for kind, centre, reach in zip(scene.cells.kinds, scene.cells.centres, scene.cells.radii, strict=True):
        window = _window(centre, float(reach.mean()), grid)
        x, y = columns[window], rows[window]
        if not x.size:
            continue
        mine = _heat(x - centre[0], y - centre[1], float(reach.mean()))
        np.maximum(heat[kind][window], mine, out=heat[kind][window])
        own = (mine > core[window]) & (mine >= CORE)
        core[window][own] = mine[own]
        offsets[0][window][own] = (centre[0] - x[own]) / OFFSET_PX
        offsets[1][window][own] = (centre[1] - y[own]) / OFFSET_PX
        radii[(slice(None), *window)][:, own] = np.log(np.maximum(reach[::step], 1.0) / RADIUS_PX)[:, None]
    known = scene.known[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    return Targets(heat, known.astype(np.float32), core, offsets, radii, _areas(scene, known))


def _window(centre: Floats, reach: float, grid: int) -> tuple[slice, slice]:
    """The grid cells around a centre."""
    low = np.clip(np.floor((centre - reach) / STRIDE).astype(int), 0, grid)
    high = np.clip(np.ceil((centre + reach) / STRIDE).astype(int) + 1, 0, grid)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _heat(x: Floats, y: Floats, reach: float) -> Floats:
    """Gaussian about a centre, wider for larger cells, 1 at the grid cell next to it."""
    sigma = max(0.25 * reach, 0.6 * STRIDE)
    heat = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return np.asarray(np.minimum(heat / heat.max(), 1), np.float32)


def _areas(scene: Scene, known: NDArray[np.bool_]) -> NDArray[np.int64]:
    areas = np.zeros(scene.image.shape[:2], np.int64)
    for kind in (0, 1, 2):
        chosen: Cells = scene.cells.only(scene.cells.kinds == kind)
        for outline in star.outlines(chosen.centres, chosen.radii):
            areas[star.filled(outline, scene.image.shape[:2])] = kind + 1
    sampled = areas[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    return np.where(known, sampled, IGNORED)


@dataclass(frozen=True, slots=True)
class Losses:
    """The four parts of the loss, each about the same size in a trained network."""

    centres: Tensor
    offsets: Tensor
    radii: Tensor
    areas: Tensor

    @property
    def total(self) -> Tensor:
        """The weighted sum that training minimises."""
        return self.centres + 0.5 * self.offsets + 2.0 * self.radii + 0.5 * self.areas


def losses(maps: Tensor, wanted: dict[str, Tensor]) -> Losses:
    """Compare answers (n, 41, g, g) with targets, the fields of `Targets` in batches.

    Centres by penalty-reduced focal loss (CornerNet, Law and Deng 2018), radii by the logarithm of the
    ratio of larger to smaller (PolarMask, Xie et al. 2020), areas by cross entropy.
    """
    said = split(maps.float())
    weight = wanted["core"] * wanted["known"]
    share = weight.sum().clamp(min=1.0)
    offset = (said.offsets - wanted["offsets"]).abs().mean(dim=1)
    ours, theirs = said.radii.clamp(-3, 3).exp(), wanted["radii"].exp()
    ratio = torch.maximum(ours, theirs).sum(dim=1) / torch.minimum(ours, theirs).sum(dim=1)
    return Losses(
        centres=_focal(said.centres, wanted["heat"], wanted["known"]),
        offsets=(offset * weight).sum() / share,
        radii=(ratio.log() * weight).sum() / share,
        areas=functional.cross_entropy(said.areas, wanted["areas"], ignore_index=IGNORED),
    )


def _focal(logits: Tensor, heat: Tensor, known: Tensor) -> Tensor:
    chance = torch.sigmoid(logits)
    centre = (heat > 0.999).float()
    hit = (1 - chance) ** 2 * functional.logsigmoid(logits) * centre
    miss = chance**2 * (1 - heat) ** 4 * functional.logsigmoid(-logits) * (1 - centre) * known[:, None]
    return -(hit + miss).sum() / centre.sum().clamp(min=1.0)
