"""Judges whether an image can be read: focus, stain, exposure, coverage and clumping, with codes and texts.

The thresholds were read off real fields from seven sources with benchmarks/quality_thresholds.py. Beside each
stand the range of the 1st to the 99th percentile over 388 fields as they are, the share of these that the
check is wrong about, and the share of fields spoilt on purpose that it finds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.pipeline.errors import UnusableSmear
from inference.pipeline.findings import Image, Notice, Outcome, Quality, Severity
from inference.pipeline.quality_measures import Measures, measure

__all__ = ["Check", "Measures", "assess", "judge", "measure", "with_stain_review"]

SLIDE_SIDE = 1000
FOCUS_BLURRED, FOCUS_LOW, FOCUS_SHARP = 0.08, 0.13, 0.20
"""Sharpness (variance of the Laplacian on tissue, against half the resolution): 0.14–0.83; wrong 0.5 %; found
88 % of those blurred by 0.15 of the cells' radius, 93 % by 0.2."""
GROUND_BLACK, GROUND_DARK, GROUND_BRIGHT = 20.0, 120.0, 170.0
"""Grey level of the background: 135–255; wrong none; found all darkened to 0.4."""
CLIPPED_SHARE = 0.12
"""Share of pure white pixels: 0–0.07; wrong none; found 99 % of those brightened to 1.5 times white."""
NOISE_LOW, NOISE_HIGH = 2.0, 3.0
"""Noise in grey levels: 0–1.0; wrong none; found all with a noise of 8 added to each channel."""
DENSITY_PALE, DENSITY_WELL, DENSITY_HEAVY = 0.075, 0.15, 1.2
"""Mean optical density of tissue (natural logarithm): 0.11–0.60, held-out fields to 1.06; wrong none; found
85 % of those faded to 0.05 and 83 % of those deepened to 2.0."""
COLOUR_SPREAD = 0.008
"""Mean density of the densest channel of tissue less that of the clearest: 0.016–0.56; wrong none; found all
that were made grey."""
TISSUE_EMPTY, TISSUE_SPARSE, TISSUE_GOOD, TISSUE_CROWDED = 0.002, 0.05, 0.15, 0.75
"""Share of tissue: 0.19–0.67; wrong 0.3 %; found 94 % of those with four layers of cells on each other and
90 % of those in one corner of a field 16 times as large."""
CLUMPED_SOME, CLUMPED_MANY = 0.42, 0.50
"""Share of tissue in pieces of eight cells and more, times the share of the field that is empty: 0–0.47;
wrong 0.3 %; found 89 % of fields of discs drawn together, none of those with discs apart."""
PART_LOW, SCORE_LOW = 0.5, 0.6
"""A part or a score below asks for a re-scan: wrong 0.5 %."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that can be wrong with an image that can be read all the same."""

    code: str
    fails: Callable[[Measures], bool]
    text: str


CHECKS = (
    Check(
        "low_focus",
        lambda found: found.focus < FOCUS_LOW,
        "The image is out of focus. Focus again and re-scan.",
    ),
    Check(
        "under_exposed",
        lambda found: found.ground < GROUND_DARK,
        "The image is dark. Raise the lamp or the exposure time.",
    ),
    Check(
        "over_exposed",
        lambda found: found.clipped > CLIPPED_SHARE,
        "A large part of the image is pure white. Lower the exposure, or hand in the image as it came from "
        "the camera.",
    ),
    Check(
        "noisy",
        lambda found: found.noise > NOISE_HIGH,
        "The image is grainy. Raise the lamp, or lower the camera's sensitivity (ISO).",
    ),
    Check(
        "pale_stain",
        lambda found: found.density < DENSITY_PALE,
        "The stain is very pale. Colours may mislead the classification; consider a new stain.",
    ),
    Check(
        "heavy_stain",
        lambda found: found.density > DENSITY_HEAVY,
        "The stain is very dark. Nuclear detail may be hidden.",
    ),
    Check(
        "no_colour",
        lambda found: found.colour < COLOUR_SPREAD,
        "The image has almost no colour. Without a Romanowsky stain white cells cannot be told apart "
        "reliably.",
    ),
    Check(
        "sparse_field",
        lambda found: found.tissue < TISSUE_SPARSE,
        "The field is nearly empty. Choose a field with more cells.",
    ),
    Check(
        "crowded_field",
        lambda found: found.tissue > TISSUE_CROWDED,
        "Cells cover nearly the whole field. Choose a thinner part of the smear, where cells lie apart.",
    ),
    Check(
        "clumped_cells",
        lambda found: found.clumped > CLUMPED_MANY,
        "Most cells lie in clumps or rouleaux, where they cannot be told apart. Choose a part of the smear "
        "where they lie apart; if there is none, consider a new smear.",
    ),
)
"""What is warned about."""

ADVICE = {
    "focus": "focus again.",
    "stain": "stain a new smear, or hand in the image in its own colours.",
    "exposure": "correct the lamp and the exposure.",
    "coverage": "choose a part of the smear where cells are many but lie apart.",
    "clumping": "choose a part of the smear where cells lie apart.",
}
"""What to do about the weakest part."""


def assess(windows: Image | Sequence[Image], width: int, height: int) -> Quality:
    """Judge an image: `judge` of what `measure` finds in one image or in windows of a slide."""
    return judge(measure(windows), width, height)


def judge(found: Measures, width: int, height: int) -> Quality:
    """Judge an image by its measures.

    Args:
        found: the measures of the whole image, or of windows of a slide.
        width, height: the size of the whole image, px.

    Returns:
        Parts and score in 0–1; the score is the geometric mean, so that one bad part is not averaged away.

    Raises:
        UnusableSmear: there is nothing to analyse: black, blank, or without tissue.
    """
    _refuse(found)
    parts = _parts(found)
    score = float(np.prod(list(parts.values())) ** (1 / len(parts)))
    low = _low_quality(parts, score)
    return Quality(
        score=score,
        **parts,
        notices=(*_size_notices(width, height), *low, *_notices(found)),
        outcome=Outcome.RESCAN if low else Outcome.USABLE,
    )


def with_stain_review(quality: Quality, notice: Notice, known: float) -> Quality:
    """Add what the stain stage found beyond normalisation: a person looks, unless a re-scan is due anyway.

    `known` says, in 0–1, how close the stain still is to those that the network knows; the part "stain" and
    with it the score are lowered by it.
    """
    outcome = quality.outcome if quality.outcome is Outcome.RESCAN else Outcome.STAIN_REVIEW
    return replace(
        quality,
        score=quality.score * known ** (1 / len(ADVICE)),
        stain=quality.stain * known,
        notices=(*quality.notices, notice),
        outcome=outcome,
    )


def _parts(found: Measures) -> dict[str, float]:
    return {
        "focus": _ramp(np.log(max(found.focus, 1e-6)), np.log(FOCUS_BLURRED), np.log(FOCUS_SHARP)),
        "stain": _ramp(found.density, 0.0, DENSITY_WELL)
        * _ramp(found.density, 2 * DENSITY_HEAVY, DENSITY_HEAVY)
        * _ramp(found.colour, 0.0, COLOUR_SPREAD),
        "exposure": _ramp(found.ground, 40.0, GROUND_BRIGHT)
        * _ramp(found.clipped, 0.8, CLIPPED_SHARE)
        * _ramp(found.noise, 2 * NOISE_HIGH, NOISE_LOW),
        "coverage": _ramp(found.tissue, 0.0, TISSUE_GOOD) * _ramp(found.tissue, 1.0, TISSUE_CROWDED),
        "clumping": _ramp(found.clumped, 0.75, CLUMPED_SOME),
    }


def _ramp(value: float, at_zero: float, at_one: float) -> float:
    """0 at one end, 1 at the other, linear between; the ends may stand in either order."""
    return float(np.clip((value - at_zero) / (at_one - at_zero), 0, 1))


def _refuse(found: Measures) -> None:
    if found.ground < GROUND_BLACK:
        raise UnusableSmear(
            "The image is black. Check the lamp and the exposure, then take the image again.", "black_image"
        )
    if found.spread < 1.0 or found.tissue < TISSUE_EMPTY:
        raise UnusableSmear(
            "The image is blank: no stained cells can be seen. Choose a field with cells.", "blank_image"
        )


def _low_quality(parts: Mapping[str, float], score: float) -> tuple[Notice, ...]:
    worst = min(parts, key=lambda name: parts[name])
    if parts[worst] >= PART_LOW and score >= SCORE_LOW:
        return ()
    text = f"Low quality: re-scan. The weakest part is {worst} ({100 * parts[worst]:.0f} %): {ADVICE[worst]}"
    return (Notice("low_quality", text),)


def _size_notices(width: int, height: int) -> tuple[Notice, ...]:
    if min(width, height) >= SLIDE_SIDE:
        return ()
    text = (
        f"The image is {width}×{height} px, smaller than {SLIDE_SIDE}×{SLIDE_SIDE} px: it is read as a "
        "single field, and its figures say little about the whole smear."
    )
    return (Notice("small_field", text, Severity.INFO),)


def _notices(found: Measures) -> tuple[Notice, ...]:
    return tuple(Notice(check.code, check.text) for check in CHECKS if check.fails(found))
