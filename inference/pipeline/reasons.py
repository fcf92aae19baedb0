"""Why a person should look at a cell."""

from dataclasses import dataclass

from inference.pipeline.cell_words import Description
from inference.pipeline.config import Config
from inference.pipeline.findings import Call, Remediation, SecondCall


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of a cell beside its call: a `second` network's, whether the stain of its slide is
    further from the network's than normalisation can bridge, whether the evidence lies beside the cell, what
    else was `tried`, and its `words`; None where there is none."""

    second: SecondCall | None = None
    stain_beyond: bool = False
    off_cell: bool = False
    tried: Remediation | None = None
    words: Description | None = None


def review_reasons(call: Call, known: Circumstances, config: Config) -> tuple[str, ...]:
    """Say why a person should look at a cell by the call that stands; an empty tuple when nobody needs to.

    A cell out of distribution goes to review for that alone: it is no abstention, which means that the
    network cannot decide between classes it knows. That the words contradict a call counts only where the
    laboratory chose it.
    """
    reasons = {
        "low_confidence": call.confidence < config.review_confidence,
        "abstained": call.abstained,
        "out_of_distribution": call.out_of_distribution,
        "networks_disagree": known.second is not None and known.second.label != call.label,
        "blast": call.label == "blast",
        "stain": known.stain_beyond,
        "off_cell": known.off_cell,
        "called_again": known.tried is not None and known.tried.changed,
        "contradicted": config.review_contradicted and bool(known.words and known.words.contradicts),
    }
    return tuple(reason for reason, holds in reasons.items() if holds)
