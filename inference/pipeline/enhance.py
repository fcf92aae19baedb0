"""The Medical Enhanced Filter, v1 to v4: brings out nucleus, chromatin and granules of a white cell.

Here are the variants and the order of their steps; the steps are in enhance_steps.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Protocol

import cv2
import numpy as np

from inference.pipeline import enhance_steps as steps
from inference.pipeline.enhance_bilateral import bilateral
from inference.pipeline.findings import Image
from inference.pipeline.networks.registry import PreprocessingVariant

REACH = 18
"""So many px far the steps after the equalisation look: bilateral 4, gradient 3, sharpening 3, small
structures 8. Strips that overlap by as much give the very pixels of the whole."""
MIN_STRIP = 64
"""Rows of a strip below which the overlap costs more than a second processor saves."""


class Normaliser(Protocol):
    """A stain normalisation fitted to the slide in the colours of its camera."""

    def apply(self, image: Image) -> Image: ...


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What a variant does beyond the five steps of v1."""

    adapted: bool = False
    lifted: bool = False
    normalised: bool = False


_RECIPES = {
    PreprocessingVariant.MEF_V1: _Recipe(),
    PreprocessingVariant.MEF_V2: _Recipe(adapted=True),
    PreprocessingVariant.MEF_V3: _Recipe(adapted=True, lifted=True),
    PreprocessingVariant.MEF_V4: _Recipe(adapted=True, lifted=True, normalised=True),
}


def enhance(image: Image, variant: PreprocessingVariant, normaliser: Normaliser | None = None) -> Image:
    """Pass one image through a variant of the filter, a strip of it on each processor.

    Args:
        image: uint8 RGB (height, width, 3) of any size; structures are expected in the size they have in a
            cell that fills 224 px.
        variant: which one; ``none`` gives the image back.
        normaliser: the stain normalisation (Macenko) of the slide, for v4. It goes first, because it was
            fitted to the colours that the camera gave.

    Returns:
        uint8 RGB of the same shape.

    Raises ValueError when v4 has no normaliser.
    """
    strips = min(os.cpu_count() or 1, len(image) // MIN_STRIP)
    return _enhanced(image, variant, normaliser, max(1, strips))


def enhance_batch(
    images: Sequence[Image], variant: PreprocessingVariant, normaliser: Normaliser | None = None
) -> list[Image]:
    """Pass images through a variant of the filter, an image on each processor; otherwise as `enhance`."""
    one = partial(_enhanced, variant=variant, normaliser=normaliser, strips=1)
    return list(_threads(os.getpid()).map(one, images))


def _enhanced(
    image: Image, variant: PreprocessingVariant, normaliser: Normaliser | None, strips: int
) -> Image:
    """The filter in so many threads; in one, without the pool, whose own threads may call it."""
    if variant is PreprocessingVariant.NONE:
        return image
    recipe = _RECIPES[variant]
    each = map if strips == 1 else _threads(os.getpid()).map
    if recipe.normalised:
        image = _normalised(image, normaliser)
    lab = np.asarray(cv2.cvtColor(steps.stretch(image), cv2.COLOR_RGB2LAB), np.uint8)
    lightness = np.asarray(cv2.extractChannel(lab, 0), np.uint8)
    edges = steps.find_edges(lightness)
    grids = steps.adapted_grids(edges) if recipe.adapted else steps.FIXED_GRIDS
    wide, narrow = each(partial(steps.clahe, lightness), grids)
    cv2.insertChannel(steps.fuse(wide, narrow, edges), lab, 0)
    return np.concatenate(list(each(partial(_finished, lab, edges, recipe), _shares(len(image), strips))))


def _normalised(image: Image, normaliser: Normaliser | None) -> Image:
    if normaliser is None:
        raise ValueError("v4 of the Medical Enhanced Filter needs the stain normalisation of the slide.")
    return normaliser.apply(image)


def _finished(lab: Image, edges: steps.Plane, recipe: _Recipe, rows: tuple[int, int]) -> Image:
    """The rows from the first up to, but without, the second after all steps that follow the equalisation."""
    first, end = rows
    top, bottom = max(0, first - REACH), min(len(lab), end + REACH)
    equalised = np.asarray(cv2.cvtColor(lab[top:bottom], cv2.COLOR_LAB2RGB), np.uint8)
    sharp = steps.sharpen(steps.highlight_nuclei(bilateral(equalised)), edges[top:bottom])
    done = steps.lift_small(sharp) if recipe.lifted else sharp
    return done[first - top : end - top]


def _shares(height: int, strips: int) -> list[tuple[int, int]]:
    ends = [height * number // strips for number in range(strips + 1)]
    return list(pairwise(ends))


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """The pool of this process; a forked worker does not inherit the threads of its parent."""
    return ThreadPoolExecutor(os.cpu_count(), f"enhance-{process}")
