"""The morphology attributes that a white-cell network learns beside the classes, and their values."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.training.labels import ATTRIBUTE_COLUMNS

ATTRIBUTES: dict[str, tuple[str, ...]] = dict(
    zip(
        ATTRIBUTE_COLUMNS,
        (
            ("small", "big"),
            ("round", "irregular"),
            (
                "unsegmented-round",
                "unsegmented-indented",
                "unsegmented-band",
                "segmented-bilobed",
                "segmented-multilobed",
                "irregular",
            ),
            ("low", "high"),
            ("loosely", "densely"),
            ("no", "yes"),
            ("clear", "frosted"),
            ("light blue", "blue", "purple blue"),
            ("nil", "small", "round", "coarse"),
            ("nil", "pink", "purple", "red"),
            ("no", "yes"),
        ),
        strict=True,
    )
)
"""Values of the 11 attributes of WBCAtt (Tsutsui et al. 2023), in the order of the network's logits."""

SIZES = tuple(len(values) for values in ATTRIBUTES.values())
UNKNOWN = -1
"""The place of a value that nobody has told."""


def coded(words: Sequence[str]) -> NDArray[np.int64]:
    """Return one cell's words as int64 (11,): the place of each among its attribute's values, -1 for unknown.

    Takes a word per attribute, "" where it is unknown, or none at all. Raises ValueError for another word.
    """
    given = words or ("",) * len(ATTRIBUTES)
    places = [
        values.index(word) if word else UNKNOWN
        for word, values in zip(given, ATTRIBUTES.values(), strict=True)
    ]
    return np.array(places, np.int64)
