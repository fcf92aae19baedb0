"""Stage a smear: benign, early pre-B, pre-B or pro-B, from its fields, and say how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax, stdtrit

from inference.pipeline import stain_range
from inference.pipeline.findings import Box, Cell, FieldState, Image, Notice, Severity, StagedField, Staging
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import Network, prepare
from inference.pipeline.staging_windows import Geometry, Window, pooled_blast_share, windows
from inference.pipeline.stain_range import StainRange

Probabilities = NDArray[np.float64]

BATCH = 16
COLOUR_PIXELS = 40_000
"""So many pixels of a field are enough to judge its colours."""

BENIGN = "benign"

LEAST_AGREEING = 2 / 3
"""The share of the staged fields that have to be called as the smear is."""

MOST_DISAGREEING = 1 / 2
"""From this share of the staged fields on a person looks because their blasts do not fit their stages: there
the disagreement is the rule and not the exception, which the share pooled over the smear can hide."""

NO_PATIENT_TEST = Notice(
    "no_patient_disjoint_test",
    "No test by patients exists for the stage: the images it was learnt from do not say which belong to one"
    " patient, so that its accuracy on other patients is not known.",
    Severity.WARN,
)
ONE_LABORATORY = Notice(
    "one_laboratory",
    "The stage was learnt from fields of one laboratory, chosen by hand, in which most nucleated cells belong"
    " to the disease or to its benign likeness.",
    Severity.INFO,
)
ALWAYS = (NO_PATIENT_TEST, ONE_LABORATORY)

TOO_SMALL = Notice(
    "smaller_than_a_field",
    "The smear cannot be staged: it is smaller than the fields that the network was trained on, about 0.09 mm"
    " wide, or the size of its pixels is not known.",
)


class Readable(Protocol):
    """What is needed of a slide: its size at level 0 in px, and its pixels as uint8 RGB."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def read(self, box: Box) -> Image: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """When a field can be staged and when a person must look, as the card of a staging network says.

    A field needs `nucleated_cells` and colours within one of the `colours`; a smear needs `fields` of them.
    A stage of leukemia with a share of blasts of no more than `least_blasts` disagrees with the white-cell
    network, and so does a benign smear with a share above `most_blasts`.
    """

    nucleated_cells: int
    fields: int
    least_blasts: float
    most_blasts: float
    colours: tuple[StainRange, ...]

    @classmethod
    def of(cls, card: Card) -> Self:
        """Read them off a card; raises KeyError, TypeError or ValueError where it is not complete."""
        given = card.text["thresholds"]
        return cls(
            int(given["nucleated_cells"]),
            int(given["fields"]),
            float(given["least_blasts"]),
            float(given["most_blasts"]),
            tuple(map(StainRange.from_data, card.text["input"]["stain_ranges"]["field"])),
        )

    def colours_known(self, field: Image) -> bool:
        """Whether the colours of a field, uint8 RGB, are like those of the training."""
        pixels = field.reshape(-1, 3)
        # An odd step, so that it does not fall into step with the rows.
        figures = stain_range.figures(pixels[:: len(pixels) // COLOUR_PIXELS | 1])
        return any(within.distance(figures) <= within.limit for within in self.colours)

    def disagree(self, label: str, blast_share: float | None) -> bool | None:
        """Whether a stage does not go with the share 0–1 of blasts that the white-cell network called, None
        where it called no leukocyte."""
        if blast_share is None:
            return None
        return blast_share > self.most_blasts if label == BENIGN else blast_share <= self.least_blasts


def stage(
    slide: Readable, whites: Sequence[Cell], pixel_um: float | None, folder: Path | None = None
) -> Staging:
    """Stage a smear.

    Args:
        slide: the smear.
        whites: the cells of its white-cell stream with their calls.
        pixel_um: µm per pixel at level 0, None where it is not known.
        folder: where the network lies, None for the one that is shipped for use.

    Returns:
        What the staging network says of every field that holds a nucleated cell, and of the smear.

    Raises NetworkUnavailable when the network is missing or not that of its card.
    """
    return stage_with(
        runtime.load(registry.STAGING_NETWORK, folder or registry.WEIGHTS), slide, whites, pixel_um
    )


def stage_with(network: Network, slide: Readable, whites: Sequence[Cell], pixel_um: float | None) -> Staging:
    """Stage a smear, as `stage` does, by a given network."""
    card, size = network.card, (slide.width, slide.height)
    window = Geometry.of(card).window(size, pixel_um)
    if window is None:
        return _unstaged(card, (), TOO_SMALL)
    limits, cut = Limits.of(card), windows(size, window, whites)
    staged = [
        one
        for start in range(0, len(cut), BATCH)
        for one in _fields(cut[start : start + BATCH], slide, network, limits)
    ]
    stageable = [one for one, field in zip(cut, staged, strict=True) if field.state is FieldState.STAGED]
    return _pooled(card, limits, stageable, staged)


def _fields(cut: Sequence[Window], slide: Readable, network: Network, limits: Limits) -> list[StagedField]:
    enough = [one for one in cut if one.nucleated >= limits.nucleated_cells]
    seen = {one.box: slide.read(one.box) for one in enough}
    known = [box for box, field in seen.items() if limits.colours_known(field)]
    said = dict(zip(known, probabilities([seen[box] for box in known], network), strict=True))
    return [
        _staged(one, dict(zip(network.card.labels, said[one.box].tolist(), strict=True)), limits)
        if one.box in said
        else _left_out(one, FieldState.COLOURS if one.box in seen else FieldState.FEW_CELLS)
        for one in cut
    ]


def _staged(one: Window, each: Mapping[str, float], limits: Limits) -> StagedField:
    label, share = max(each, key=lambda stage: each[stage]), one.blast_share
    disagrees = limits.disagree(label, share)
    return StagedField(one.box, FieldState.STAGED, label, each, one.nucleated, share, disagrees)


def _left_out(one: Window, state: FieldState) -> StagedField:
    return StagedField(one.box, state, None, {}, one.nucleated, one.blast_share)


def probabilities(fields: Sequence[Image], network: Network) -> Probabilities:
    """Return the calibrated probabilities float64 (n, stages) of fields, uint8 RGB (height, width, 3).

    A field is squeezed into a square, as those of the training were, whose sensor was wider than high.
    """
    if not fields:
        return np.empty((0, len(network.card.labels)))
    logits = network.predict(prepare(fields, network.card.input))
    calibrated: Probabilities = softmax(logits.astype(np.float64) / network.card.temperature, axis=1)
    return calibrated


def _pooled(card: Card, limits: Limits, cut: Sequence[Window], fields: Sequence[StagedField]) -> Staging:
    staged = [field for field in fields if field.state is FieldState.STAGED]
    if not staged:
        return _unstaged(card, fields)
    each = np.array([[field.probabilities[label] for label in card.labels] for field in staged])
    mean = each.mean(axis=0)
    best, blasts = card.labels[int(mean.argmax())], pooled_blast_share(cut)
    abstained = mean.max() < card.abstain_below
    reasons = {
        "leukemia": not abstained and best != BENIGN,
        "networks_disagree": not abstained and bool(limits.disagree(best, blasts)),
        "networks_disagree_by_field": sum(bool(field.disagrees) for field in staged)
        >= MOST_DISAGREEING * len(staged),
        "low_confidence": abstained,
        "few_fields": len(staged) < limits.fields,
        "fields_disagree": sum(field.label == best for field in staged) < LEAST_AGREEING * len(staged),
    }
    return Staging(
        label=None if abstained else best,
        probabilities=dict(zip(card.labels, mean.tolist(), strict=True)),
        intervals_95=dict(zip(card.labels, interval_95(each), strict=True)),
        fields=tuple(fields),
        network=card.used,
        reasons=tuple(reason for reason, given in reasons.items() if given),
        notices=ALWAYS,
    )


def _unstaged(card: Card, fields: Sequence[StagedField], *said: Notice) -> Staging:
    return Staging(None, {}, {}, tuple(fields), card.used, ("not_stageable",), (*ALWAYS, *said))


def interval_95(each: Probabilities) -> list[tuple[float, float]]:
    """Return the 95 % interval of the mean probability of every stage over the fields of one smear.

    Takes float64 (fields, stages) in 0–1; Student's t, cut off at 0 and 1, and the whole of 0–1 for a single
    field. It tells how much the fields of this smear differ, not how sure the stage is in other patients.
    """
    count = len(each)
    if count < 2:
        return [(0.0, 1.0)] * each.shape[1]
    reach = stdtrit(count - 1, 0.975) * each.std(axis=0, ddof=1) / np.sqrt(count)
    low, high = (np.clip(each.mean(axis=0) + sign * reach, 0.0, 1.0) for sign in (-1, 1))
    return list(zip(low.tolist(), high.tolist(), strict=True))
