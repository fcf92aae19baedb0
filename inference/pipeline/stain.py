"""Brings the stain of a smear towards another: Reinhard, Macenko and Vahadane behind one interface.

A stain is fitted once per slide, on pixels sampled from it, and travels as plain data; the normaliser between
two of them is a matrix, applied alike to every tile and crop of the slide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.pipeline import stain_density, stain_lab
from inference.pipeline.findings import Image, Notice
from inference.pipeline.stain_density import Pair

Triple = tuple[float, float, float]

SAMPLE = 65_536
"""Pixels a fit looks at; an image of less than twice as many is looked at whole."""
MIN_SPREAD, MIN_COLOUR = 0.5, 1.0
"""Standard deviation of L below which an image is blank, and of both a and b below which it is grey."""
MIN_GROUND = 20.0
"""Level of the brightest channel of empty glass below which an image is black."""
MIN_ANGLE = 8.0
"""Degrees between two stains below which they are one: single cells of five laboratories 20–100 by Macenko,
8–46 by Vahadane (benchmarks/stain_range.py, as below)."""
MOST_GAIN = 6.0
"""How many times a spread of colour or a strength of stain is stretched at most, so that noise stays noise:
single cells of five laboratories need 0.7–5.8."""


class Method(StrEnum):
    """How a stain is described and moved."""

    REINHARD = "reinhard"
    MACENKO = "macenko"
    VAHADANE = "vahadane"


class Flaw(StrEnum):
    """Why a stain cannot be normalised."""

    BLANK = "blank"
    GREY = "grey"
    SINGLE_STAIN = "single_stain"


NOT_NORMALISED = {
    Flaw.BLANK: Notice(
        "stain_not_normalised",
        "The image has too little contrast to normalise its stain; its cells were classified in its own"
        " colours.",
    ),
    Flaw.GREY: Notice(
        "stain_not_normalised",
        "The image has no colour, so that its stain cannot be normalised; its cells were classified as they"
        " are. Hand in a colour image of a Romanowsky stain.",
    ),
    Flaw.SINGLE_STAIN: Notice(
        "stain_not_normalised",
        "Only one stain can be told in the image, so that it cannot be normalised; its cells were classified"
        " in its own colours. Two stains are needed: nuclei and red cells should differ in colour.",
    ),
}


@dataclass(frozen=True, slots=True)
class Reference:
    """Reinhard's description of a stain: mean and standard deviation of the pixels in CIE L*a*b*, L 0–100."""

    mean: Triple
    std: Triple

    @property
    def method(self) -> Method:
        """The method that the reference belongs to."""
        return Method.REINHARD

    @property
    def flaw(self) -> Flaw | None:
        """Why there is nothing to normalise, None where there is."""
        if self.std[0] < MIN_SPREAD:
            return Flaw.BLANK
        return Flaw.GREY if max(self.std[1:]) < MIN_COLOUR else None


@dataclass(frozen=True, slots=True)
class Stains:
    """Macenko's or Vahadane's description of a stain: the level 0–255 of empty glass in each channel, and the
    pair of stains; None where too few pixels are stained."""

    method: Method
    ground: Triple
    pair: Pair | None

    @property
    def flaw(self) -> Flaw | None:
        """Why there is nothing to normalise, None where there is."""
        if self.pair is None or min(self.pair.strengths) <= 0:
            return Flaw.BLANK
        return Flaw.SINGLE_STAIN if self.pair.angle < MIN_ANGLE else None


Fitted = Reference | Stains


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Moves images from one stain to another; `matrix` (3, 4) is the map of L*a*b* (Reinhard) or of
    ln(level + 1) (Macenko, Vahadane), None where a flaw of either stain leaves every image as it is."""

    method: Method
    matrix: NDArray[np.float64] | None
    flaw: Flaw | None = None

    def apply(self, image: Image) -> Image:
        """Move the colours of uint8 RGB (height, width, 3); the image itself where nothing is to be moved."""
        if self.matrix is None or not image.size:
            return image
        if self.method is Method.REINHARD:
            return stain_lab.recolour(image, self.matrix)
        return stain_density.recolour(image, self.matrix)


def fit(
    windows: Image | Sequence[Image], method: Method = Method.REINHARD, ground: Triple | None = None
) -> Fitted:
    """Measure the stain of a slide.

    Args:
        windows: uint8 RGB, shape (height, width, 3); a whole field, or windows that stand for a slide.
        method: Reinhard measures all pixels in CIE L*a*b*; Macenko and Vahadane find two stains.
        ground: the level 0–255 of empty glass in each channel, where it is known; otherwise measured.
            Reinhard does not need it.

    Returns:
        What describes the stain, to be measured once per slide and used for all its tiles and cells.

    Sources: Reinhard et al., Color transfer between images, IEEE CG&A 2001, here in CIE L*a*b*; for the
    others see `stain_density`.
    """
    return reinhard(windows) if method is Method.REINHARD else _stains(sample(windows), method, ground)


def reinhard(windows: Image | Sequence[Image]) -> Reference:
    """Measure the stain of a slide as `fit` does, in CIE L*a*b*."""
    mean, spread = stain_lab.statistics(sample(windows)[:, None])
    return Reference(_triple(mean), _triple(spread))


def between(source: Fitted, target: Fitted) -> Normaliser:
    """Return what moves images from one stain to another.

    Raises ValueError when the two were fitted by different methods.
    """
    if source.method is not target.method:
        raise ValueError(f"A {source.method} stain cannot be moved to a {target.method} stain.")
    flaw = source.flaw or target.flaw
    return Normaliser(source.method, None if flaw else _matrix(source, target), flaw)


def normalise(image: Image, source: Fitted, target: Fitted) -> Image:
    """Move one image, uint8 RGB (height, width, 3), of the slide `source` to the stain `target`."""
    return between(source, target).apply(image)


def as_data(fitted: Fitted) -> dict[str, Any]:
    """Write a fitted stain in plain JSON types."""
    return {"method": fitted.method.value, **asdict(fitted)}


def from_data(data: Mapping[str, Any]) -> Fitted:
    """Read a fitted stain back; without a method it is Reinhard's.

    Raises KeyError, TypeError or ValueError when something is missing or of the wrong shape.
    """
    method = Method(data.get("method", Method.REINHARD))
    if method is Method.REINHARD:
        return Reference(_triple(data["mean"]), _triple(data["std"]))
    return Stains(method, _triple(data["ground"]), _pair(data["pair"]))


def sample(windows: Image | Sequence[Image]) -> Image:
    """Return about SAMPLE pixels, uint8 RGB of shape (n, 3), evenly spread over one or several images."""
    images = [windows] if isinstance(windows, np.ndarray) else windows
    pixels = np.concatenate([image.reshape(-1, 3) for image in images])
    # An odd step, so that it does not fall into step with the rows or with JPEG's blocks of 8.
    return pixels[:: len(pixels) // SAMPLE | 1]


def _stains(pixels: Image, method: Method, ground: Triple | None) -> Stains:
    glass = stain_density.ground_of(pixels) if ground is None else np.asarray(ground, np.float64)
    density = stain_density.stained(pixels, glass)
    if glass.max() < MIN_GROUND or len(density) < stain_density.MIN_STAINED:
        return Stains(method, _triple(glass), None)
    find = stain_density.macenko if method is Method.MACENKO else stain_density.vahadane
    return Stains(method, _triple(glass), find(density))


def _matrix(source: Fitted, target: Fitted) -> NDArray[np.float64]:
    if isinstance(source, Reference) and isinstance(target, Reference):
        gain = np.minimum(np.divide(target.std, np.maximum(source.std, 1e-3)), MOST_GAIN)
        return np.column_stack([np.diag(gain), np.subtract(target.mean, gain * source.mean)])
    if isinstance(source, Stains) and isinstance(target, Stains) and source.pair and target.pair:
        known = np.asarray(source.ground), source.pair
        return stain_density.move(known, (np.asarray(target.ground), target.pair), MOST_GAIN)
    raise ValueError("A stain without two stains cannot be moved.")


def _pair(data: Mapping[str, Any] | None) -> Pair | None:
    if data is None:
        return None
    first, second = data["vectors"]
    nuclear, other = data["strengths"]
    return Pair((_triple(first), _triple(second)), (float(nuclear), float(other)))


def _triple(values: Any) -> Triple:
    first, second, third = (float(value) for value in values)
    return first, second, third
