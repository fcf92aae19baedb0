"""The two stains of a Romanowsky smear in optical density: what they are, and how to move between two pairs.

Optical densities are natural logarithms against the colour of empty glass, ``ln((ground + 1) / (level +
1))``, so that the colour of the lamp cancels and amounts of stain add up.

Sources: Macenko et al., A method for normalizing histology slides for quantitative analysis, ISBI 2009;
Vahadane et al., Structure-preserving color normalization and sparse stain separation, IEEE TMI 2016.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image

Floats = NDArray[np.float64]

GROUND_PERCENTILE = 95
MIN_DENSITY = 0.15
"""Mean optical density of the channels from which a pixel counts as stained (Macenko's β)."""
MIN_STAINED = 64
"""Stained pixels below which no stains can be told."""
ANGLE_PERCENTILE, STRENGTH_PERCENTILE = 1, 99
SPARSITY, MOST_ROUNDS, STILL = 0.1, 200, 1e-5
"""Vahadane's λ, and the rounds of the factorisation: it ends when no entry of the vectors moves further."""
FACTORISED = 8192
"""Pixels that are factorised at most; ten times as many move the vectors by less than 0.3°."""

_TOP = 65_535
_STEPS = _TOP / np.log(256)
_LOGARITHM = np.log(np.arange(1, 257))
_TO_STEPS = np.rint(_STEPS * _LOGARITHM).astype(np.uint16)
_FROM_STEPS = np.rint(np.exp(np.arange(_TOP + 1) / _STEPS) - 1).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two stains: unit vectors of optical density (red, green, blue) and the density that the stained pixels
    reach at their 99th percentile. The first is the nuclear stain, which of the two absorbs less blue: red
    cells are held apart from nuclei by the Soret band of haemoglobin, and not, as in tissue, by red."""

    vectors: tuple[tuple[float, float, float], tuple[float, float, float]]
    strengths: tuple[float, float]

    @property
    def angle(self) -> float:
        """Degrees between the two stains."""
        first, second = np.asarray(self.vectors)
        return float(np.degrees(np.arccos(np.clip(first @ second, -1, 1))))


def ground_of(pixels: Image) -> Floats:
    """Return the colour of empty glass in uint8 RGB pixels (n, 3): a bright percentile of each channel."""
    return np.asarray(np.percentile(pixels, GROUND_PERCENTILE, axis=0), np.float64)


def stained(pixels: Image, ground: Floats) -> Floats:
    """Return the optical densities (m, 3) of those of the uint8 RGB pixels (n, 3) that are stained."""
    density = np.log(ground + 1) - _LOGARITHM[pixels]
    return np.asarray(density[density.mean(axis=1) >= MIN_DENSITY], np.float64)


def macenko(density: Floats) -> Pair:
    """Find the two stains as the robust extremes of the angle in the plane of the two first singular vectors.

    Takes optical densities (n, 3) of stained pixels. The plane goes through the origin, as in the paper.
    """
    _, axes = np.linalg.eigh(density.T @ density)
    plane = axes[:, :0:-1] * np.where(axes[:, :0:-1].sum(axis=0) < 0, -1, 1)
    along, across = (density @ plane).T
    ends = np.percentile(np.arctan2(across, along), [ANGLE_PERCENTILE, 100 - ANGLE_PERCENTILE])
    return _pair(density, plane @ np.array([np.cos(ends), np.sin(ends)]))


def vahadane(density: Floats) -> Pair:
    """Find the two stains by sparse non-negative factorisation, ``min ½‖V − WH‖² + λ‖H‖₁`` with W, H ≥ 0.

    Takes optical densities (n, 3) of stained pixels. Block coordinate descent from Macenko's stains: with two
    stains the codes H have a closed form; W follows as in Mairal et al., Online learning for matrix
    factorization and sparse coding, JMLR 2010.
    """
    start = macenko(density)
    sample = density[:: len(density) // FACTORISED + 1].T
    vectors = np.asarray(start.vectors).T
    for _ in range(MOST_ROUNDS):
        vectors, before = _improved(vectors, sample), vectors
        if np.abs(vectors - before).max() < STILL:
            break
    return _pair(density, vectors)


def move(source: tuple[Floats, Pair], target: tuple[Floats, Pair], most: float) -> Floats:
    """Return the map (3, 4) of ``ln(level + 1)`` that takes one ground and pair of stains to another.

    What neither stain explains lies along the third axis and is kept, so that a stain moved onto itself
    changes nothing; the strength of a stain grows at most by the factor `most`.
    """
    (ground, pair), (new_ground, new_pair) = source, target
    gain = np.minimum(np.divide(new_pair.strengths, pair.strengths), most)
    matrix = _axes(new_pair) @ np.diag([*gain, 1.0]) @ np.linalg.inv(_axes(pair))
    return np.column_stack([matrix, np.log(new_ground + 1) - matrix @ np.log(ground + 1)])


def recolour(image: Image, mapped: Floats) -> Image:
    """Send ``ln(level + 1)`` of uint8 RGB pixels (height, width, 3) through a map (3, 4)."""
    scaled = np.column_stack([mapped[:, :3], mapped[:, 3] * _STEPS])
    return np.asarray(cv2.LUT(cv2.transform(cv2.LUT(image, _TO_STEPS), scaled), _FROM_STEPS), np.uint8)


def _improved(vectors: Floats, density: Floats) -> Floats:
    """One round of the factorisation: codes (2, n) of the densities (3, n), then both vectors (3, 2)."""
    codes = _codes(vectors, density)
    amounts, seen = codes @ codes.T, density @ codes.T
    better = vectors.copy()
    for stain in range(2):
        step = (seen[:, stain] - better @ amounts[:, stain]) / max(amounts[stain, stain], 1e-9)
        moved = np.maximum(better[:, stain] + step, 0)
        better[:, stain] = moved / max(float(np.linalg.norm(moved)), 1e-9)
    return better


def _codes(vectors: Floats, density: Floats) -> Floats:
    """Minimise the sparse least squares of two non-negative amounts: both free, or one of them zero."""
    alike = float(vectors[:, 0] @ vectors[:, 1])
    first, second = vectors.T @ density - SPARSITY
    free = np.stack([first - alike * second, second - alike * first]) / max(1 - alike**2, 1e-6)
    alone = np.maximum(np.stack([first, second]), 0)
    return np.asarray(np.where(free[::-1] < 0, alone, np.maximum(free, 0)), np.float64)


def _pair(density: Floats, vectors: Floats) -> Pair:
    """The pair of two vectors (3, 2) of any length and order, with the strengths that the densities reach; no
    stain brightens a channel, and a vector that would brighten all is left without strength."""
    positive = np.maximum(vectors, 0)
    unit = positive / np.maximum(np.linalg.norm(positive, axis=0), 1e-9)
    nuclear, other = (_triple(column) for column in sorted(unit.T, key=lambda column: float(column[2])))
    amounts = density @ np.linalg.pinv(np.array([nuclear, other]))
    reached = np.percentile(amounts, STRENGTH_PERCENTILE, axis=0)
    return Pair((nuclear, other), (float(reached[0]), float(reached[1])))


def _axes(pair: Pair) -> Floats:
    """The two stains and the direction that neither explains, as columns."""
    first, second = np.asarray(pair.vectors)
    across = np.cross(first, second)
    return np.column_stack([first, second, across / np.linalg.norm(across)])


def _triple(values: Floats) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
