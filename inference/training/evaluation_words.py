"""What the figures of an evaluation can and cannot say, in sentences for those who read them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inference.training.evaluation_plots import words

FEW_CELLS = 30
PERTURBED = {"stain": "their stain changed", "blur": "blur added", "scale": "a coarser resolution"}


def caveats(
    figures: Mapping[str, Any], perturbation: str | None = None, declared: Sequence[str] = ()
) -> list[str]:
    """Return one sentence or two for each limit of what was measured, the weightiest first."""
    return [
        *_changed(perturbation, declared),
        *_few(figures),
        _identity(figures["intervals_95"]),
        "The figures hold for the microscope, camera, stain and preparation of these images. A change of any"
        " of them asks for a new evaluation.",
        "Precision depends on how often each class occurs here. Where a class is rarer, as blasts are in"
        " most smears, more of its calls are wrong than this precision says; recall does not depend on that.",
        "The labels were taken as the truth. Readers disagree on some cells, and such a disagreement counts"
        " as an error of the network.",
        *_whole_frame(figures),
        "Each image was given with its cell. Whether the product finds every cell of a smear is measured by"
        " “evaluate segmentation”, not here.",
    ]


def _changed(perturbation: str | None, declared: Sequence[str]) -> Iterator[str]:
    if perturbation:
        yield (
            f"These are not the images as they were taken: they were measured with"
            f" {PERTURBED[perturbation]}, to see how far the figures fall."
        )
    if declared:
        yield (
            f"Only {', '.join(words(name) for name in declared)} could be called, as declared. Cells of other"
            " classes would be called one of these."
        )


def _few(figures: Mapping[str, Any]) -> Iterator[str]:
    few = [
        f"{words(name)} ({of['support']})"
        for name, of in figures["per_class"].items()
        if 0 < of["support"] < FEW_CELLS
    ]
    if few:
        yield (
            f"Few cells: {', '.join(few)}. With fewer than {FEW_CELLS} cells of a class its figures say"
            " little; read the interval, not the percentage."
        )


def _identity(intervals: Mapping[str, Any]) -> str:
    if "patients" in intervals["resampled"]:
        return (
            f"The intervals draw whole patients or smears ({intervals['resampled'].split()[0]} of them), so"
            " they cover differences between these patients, not those of another laboratory."
        )
    return (
        "It is not known which cells come from the same patient. Cells of one patient are alike, so the true"
        " uncertainty is larger than the intervals say."
    )


def _whole_frame(figures: Mapping[str, Any]) -> Iterator[str]:
    if count := figures["whole_frame"]:
        yield (
            f"In {count} of {figures['n']} images no cell was found where it was expected; the whole image,"
            " or the labelled box, was classified instead."
        )
