"""Measure the staging network on labelled fields: accuracy, calibration, abstention."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inference.pipeline.classification import call
from inference.pipeline.config import STAGES_OF_LEUKEMIA
from inference.pipeline.errors import PipelineError, UnsupportedImage
from inference.pipeline.findings import Call, Image
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import Network
from inference.pipeline.segmentation_scale import estimate_pixel_um
from inference.pipeline.staging import Limits, probabilities
from inference.pipeline.staging_windows import Geometry, boxes
from inference.training.cell_images import read_cell_image
from inference.training.evaluate_wbc import all_skipped, evaluate, measured_by, row_of
from inference.training.labels import Choice, Listing, Sample, Skipped, listing
from inference.training.perturb import perturb
from inference.training.staging_fields import NAMES


@dataclass(slots=True)
class Measured:
    """The network's calls on labelled fields, one per sample, and what could not be measured and why."""

    card: Card
    samples: list[Sample] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Return the figures under their fixed names, and which network they belong to."""
        figures = evaluate([sample.label for sample in self.samples], self.calls)
        return {**figures, **measured_by(self.card, self.skipped)}

    def rows(self, folder: Path) -> list[dict[str, Any]]:
        """Return one row per field, files relative to `folder`."""
        return [row_of(sample, made, folder) for sample, made in zip(self.samples, self.calls, strict=True)]


def stage_of(name: str) -> str:
    """Return a stage by its name; raises ValueError for another."""
    if name not in STAGES_OF_LEUKEMIA:
        raise ValueError(f"“{name}” is not a stage. Known names: {', '.join(STAGES_OF_LEUKEMIA)}.")
    return name


def listed(folder: Path, choice: Choice) -> Listing:
    """List labelled fields: images in folders named as the stages, or the rows of an index, in which the
    names of staging_taleqani are known too; raises as `labels.listing` does."""
    return listing(
        folder, choice, (lambda name: stage_of(NAMES.get(name, name))) if choice.by_index else stage_of
    )


def measure(fields: Listing, perturbation: str | None = None, folder: Path | None = None) -> Measured:
    """Stage labelled images of fields as the product does, each field changed first where a perturbation is
    named, all those of an image by the same seed.

    The call of an image pools those of its fields, and abstains where the colours of all of them are unlike
    the training's; the cells in them are not counted. What cannot be read or is too small is skipped. The
    network is that in a `folder`, or else the one shipped for use.

    Raises UnreadableImage when none is left.
    """
    network = runtime.load(registry.STAGING_NETWORK, folder or registry.WEIGHTS)
    measured = Measured(network.card, skipped=list(fields.skipped))
    for number, sample in enumerate(fields.samples):
        try:
            seen = cut(read_cell_image(sample.path), network.card)
            shown = [perturb(one, perturbation, number) for one in seen] if perturbation else seen
            made = staged(shown, network)
        except PipelineError as error:
            measured.skipped.append(Skipped(fields.name_of(sample), error.text))
            continue
        measured.samples.append(sample)
        measured.calls.append(made)
    if not measured.samples:
        raise all_skipped(measured.skipped[len(fields.skipped) :])
    return measured


def staged(seen: Sequence[Image], network: Network) -> Call:
    """Return the call that the fields of an image share, uint8 RGB each."""
    card = network.card
    known = [one for one in seen if Limits.of(card).colours_known(one)]
    each = probabilities(known or seen, network)
    made = call(np.asarray(each.mean(axis=0)), card.labels, card.abstain_below)
    return made if known else Call(made.label, made.confidence, made.probabilities, abstained=True)


def cut(image: Image, card: Card) -> Sequence[Image]:
    """Cut an image, uint8 RGB, into fields as the product does.

    Nothing may change the image before: what blurs it would carry its burnt-in corner into the field. Raises
    UnsupportedImage where it is smaller than a field.
    """
    size, geometry = (image.shape[1], image.shape[0]), Geometry.of(card)
    window = geometry.window(size, None) or geometry.window(size, estimate_pixel_um(image))
    if window is None:
        raise UnsupportedImage(
            f"The image is smaller than a field of {geometry.width_um:.0f} by {geometry.height_um:.0f} µm, or"
            " shows no cell by which to tell its scale.",
            code="smaller_than_a_field",
        )
    return [image[top:bottom, left:right] for left, top, right, bottom in boxes(size, window)]
