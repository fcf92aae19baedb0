"""Judges whether an image can be read: focus, stain, exposure and coverage, each with a code and a text.

The thresholds were read off real fields of six microscopes with benchmarks/quality_thresholds.py; the range
of the 1st to the 99th percentile over those sets stands beside each.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.errors import UnusableSmear
from inference.pipeline.findings import Image, Notice, Quality, Severity

SLIDE_SIDE = 1000
SAMPLE = 500_000
FOCUS_BLURRED, FOCUS_LOW, FOCUS_SHARP = 3.0, 5.0, 30.0
"""Variance of the Laplacian: sharp fields 5.7–314; blurred with a Gaussian of 4 px, 0.9–3.0."""
GROUND_DARK, GROUND_BRIGHT = 120.0, 170.0
"""Grey level of the empty background: 127–255."""
CLIPPED_SHARE = 0.10
"""Share of pure white pixels: 0–0.05 where the background was not cut away."""
DENSITY_PALE, DENSITY_WELL, DENSITY_HEAVY = 0.10, 0.20, 1.2
"""Mean optical density of tissue (natural logarithm): 0.13–1.11."""
COLOUR_SPREAD = 0.05
"""Mean difference between the densest and the clearest channel of tissue: 0.09–1.37; grey images 0."""
TISSUE_EMPTY, TISSUE_SPARSE, TISSUE_GOOD, TISSUE_CROWDED = 0.002, 0.05, 0.15, 0.85
"""Share of tissue: 0.16–0.76."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured, in the units of the thresholds above."""

    focus: float
    ground: float
    clipped: float
    density: float
    colour: float
    tissue: float
    spread: float


def measure(image: Image) -> Measures:
    """Measure uint8 RGB pixels (height, width, 3): a whole field, or a sample of a larger slide.

    Colour is read from at most about SAMPLE pixels, evenly spread.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    level = float(np.percentile(_spread(grey), 95))
    tissue = grey < 0.92 * level
    colours = _spread(image)
    ground = np.percentile(colours, 95, axis=0)
    stained = colours[_spread(tissue)]
    density, colour = _density(stained, ground) if len(stained) else (0.0, 0.0)
    return Measures(
        focus=float(cv2.Laplacian(grey, cv2.CV_32F).var()),
        ground=level,
        clipped=float(np.mean(grey == 255)),
        density=density,
        colour=colour,
        tissue=float(tissue.mean()),
        spread=float(grey.std()),
    )


def _spread(plane: NDArray[Any]) -> NDArray[Any]:
    """Every n-th pixel of a plane or an image, as a list of pixels."""
    pixels = plane.reshape(-1, *plane.shape[2:])
    return pixels[:: max(1, len(pixels) // SAMPLE)]


def _density(tissue: Image, ground: NDArray[np.float64]) -> tuple[float, float]:
    """Mean optical density of tissue pixels (n, 3), and the mean spread of their channels."""
    optical = np.log((ground + 1) / (tissue.astype(np.float32) + 1))
    return float(optical.mean()), float((optical.max(1) - optical.min(1)).mean())


def assess(image: Image, width: int, height: int) -> Quality:
    """Judge an image.

    Args:
        image: uint8 RGB pixels at level 0, the whole field or a sample of a slide.
        width, height: the size of the whole image, px.

    Returns:
        Parts and score in 0–1; the score is the geometric mean, so that one bad part is not averaged away.

    Raises:
        UnusableSmear: there is nothing to analyse: black, blank, or without tissue.
    """
    found = measure(image)
    _refuse(found)
    parts = {
        "focus": _ramp(np.log(max(found.focus, 1e-6)), np.log(FOCUS_BLURRED), np.log(FOCUS_SHARP)),
        "stain": _ramp(found.density, 0.0, DENSITY_WELL)
        * _ramp(found.density, 2 * DENSITY_HEAVY, DENSITY_HEAVY)
        * _ramp(found.colour, 0.0, COLOUR_SPREAD),
        "exposure": _ramp(found.ground, 40.0, GROUND_BRIGHT) * _ramp(found.clipped, 0.8, CLIPPED_SHARE),
        "coverage": _ramp(found.tissue, 0.0, TISSUE_GOOD) * _ramp(found.tissue, 1.0, TISSUE_CROWDED),
    }
    score = float(np.prod(list(parts.values())) ** (1 / len(parts)))
    notices = (*_size_notices(width, height), *_notices(found))
    return Quality(score=score, **parts, notices=notices)


def _ramp(value: float, at_zero: float, at_one: float) -> float:
    """0 at one end, 1 at the other, linear between; the ends may stand in either order."""
    return float(np.clip((value - at_zero) / (at_one - at_zero), 0, 1))


def _refuse(found: Measures) -> None:
    if found.ground < 20:
        raise UnusableSmear(
            "The image is black. Check the lamp and the exposure, then take the image again.", "black_image"
        )
    if found.spread < 1.0 or found.tissue < TISSUE_EMPTY:
        raise UnusableSmear(
            "The image is blank: no stained cells can be seen. Choose a field with cells.", "blank_image"
        )


def _size_notices(width: int, height: int) -> tuple[Notice, ...]:
    if min(width, height) >= SLIDE_SIDE:
        return ()
    text = (
        f"The image is {width}×{height} px, smaller than {SLIDE_SIDE}×{SLIDE_SIDE} px: it is read as a "
        "single field, and its figures say little about the whole smear."
    )
    return (Notice("small_field", text, Severity.INFO),)


def _notices(found: Measures) -> tuple[Notice, ...]:
    checks = (
        (found.focus < FOCUS_LOW, "low_focus", "The image is out of focus. Focus again and re-scan."),
        (
            found.ground < GROUND_DARK,
            "under_exposed",
            "The image is dark. Raise the lamp or the exposure time.",
        ),
        (
            found.clipped > CLIPPED_SHARE,
            "over_exposed",
            f"{100 * found.clipped:.0f} % of the image is pure white. Lower the exposure, or hand in the "
            "image as it came from the camera.",
        ),
        (
            found.density < DENSITY_PALE,
            "pale_stain",
            "The stain is very pale. Colours may mislead the classification; consider a new stain.",
        ),
        (
            found.density > DENSITY_HEAVY,
            "heavy_stain",
            "The stain is very dark. Nuclear detail may be hidden.",
        ),
        (
            found.colour < COLOUR_SPREAD,
            "no_colour",
            "The image has almost no colour. Without a Romanowsky stain white cells cannot be told apart "
            "reliably.",
        ),
        (
            found.tissue < TISSUE_SPARSE,
            "sparse_field",
            "The field is nearly empty. Choose a field with more cells.",
        ),
        (
            found.tissue > TISSUE_CROWDED,
            "crowded_field",
            "Cells cover nearly the whole field. Choose a thinner part of the smear, where cells lie apart.",
        ),
    )
    return tuple(Notice(code, text) for wrong, code, text in checks if wrong)
