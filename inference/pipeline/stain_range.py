"""How far the stain of an image lies from the stains that a network was trained on.

Nine figures describe the colours of an image in CIE L*a*b*: three means, the logarithms of three standard
deviations, three correlations. Reinhard's method can bring the first six back, the further they have to move
the less well, and the last three not at all; so their distance from the training images, in training standard
deviations, says what to expect of a network after normalisation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inference.pipeline import stain_lab
from inference.pipeline.findings import Image

Floats = NDArray[np.float64]

LEAST_SPREAD = 0.5
"""Added to the standard deviations, so that logarithm and correlation of a grey image stay tame."""


@dataclass(frozen=True, slots=True)
class StainRange:
    """The stains of the training images: mean (9,) and covariance (9, 9) of their figures, and the distance
    `limit` from which a stain is beyond normalisation."""

    centre: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    limit: float

    @classmethod
    def of(cls, figures: Floats, limit: float) -> Self:
        """Describe training images by their figures (n, 9), n well above 9."""
        covariance = np.cov(figures.T)
        return cls(tuple(figures.mean(axis=0).tolist()), tuple(map(tuple, covariance.tolist())), limit)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read a range back from plain JSON types.

        Raises KeyError, TypeError or ValueError when something is missing or of the wrong shape.
        """
        centre, covariance = np.asarray(data["centre"], float), np.asarray(data["covariance"], float)
        if centre.shape != (9,) or covariance.shape != (9, 9):
            raise ValueError("A stain range has 9 means and 9×9 covariances.")
        return cls(tuple(centre.tolist()), tuple(map(tuple, covariance.tolist())), float(data["limit"]))

    def as_data(self) -> dict[str, Any]:
        """Write the range in plain JSON types."""
        return asdict(self)

    def distance(self, figures: Floats) -> float:
        """Return how far the figures (9,) of an image lie out: the root mean square of training standard
        deviations (Mahalanobis' distance over the square root of 9); about 1 for a training image."""
        off = figures - np.asarray(self.centre)
        precision = np.linalg.pinv(np.asarray(self.covariance), hermitian=True)
        return float(np.sqrt(off @ precision @ off / len(off)))


def figures(pixels: Image) -> Floats:
    """Return the nine figures, float64 (9,), of sampled uint8 RGB pixels (n, 3)."""
    values = stain_lab.lab(pixels[:, None])[:, 0]
    covariance = np.atleast_2d(np.cov(values.T, bias=True))
    spread = np.sqrt(np.diag(covariance)) + LEAST_SPREAD
    correlation = covariance / np.outer(spread, spread)
    return np.concatenate([values.mean(axis=0), np.log(spread), correlation[np.triu_indices(3, 1)]])


def joined(sampled: Sequence[Image]) -> Floats:
    """Return the figures of many images, float64 (n, 9), from the sampled pixels (m, 3) of each."""
    return np.array([figures(pixels) for pixels in sampled])
