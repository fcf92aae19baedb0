"""How far a cell lies from the training by its features, and which score tells strangers apart best."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

from inference.training.calibration import ACCEPTED, fit_ood_above

Features = NDArray[np.float32]
Scores = NDArray[np.float64]

RIDGE = 1e-3
"""What is added to the variances, as a share of their mean: features are many and partly redundant."""


@dataclass(frozen=True, slots=True)
class _Gaussian:
    """Means float64 (k, d) that share one covariance, given by its whitening matrix float64 (d, d)."""

    means: NDArray[np.float64]
    whitening: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float64], groups: NDArray[np.int64]) -> Self:
        names, places = np.unique(groups, return_inverse=True)
        means = np.stack([features[groups == name].mean(axis=0) for name in names])
        centred = features - means[places]
        covariance = centred.T @ centred / len(features)
        ridge = RIDGE * np.trace(covariance) / len(covariance)
        precision = np.linalg.inv(covariance + ridge * np.eye(len(covariance)))
        return cls(means, np.linalg.cholesky(precision))

    def distances(self, features: NDArray[np.float64]) -> Scores:
        """Return the squared distance (n,) to the nearest of the means."""
        squared = cdist(features @ self.whitening, self.means @ self.whitening, "sqeuclidean")
        return np.asarray(squared.min(axis=1), np.float64)


@dataclass(frozen=True, slots=True)
class RelativeMahalanobis:
    """The distance of a cell's features to the nearest class of the training, less that to all of it.

    Source: Ren et al. 2021, "A simple fix to Mahalanobis distance for improving near-OOD detection".
    """

    classes: _Gaussian
    whole: _Gaussian

    @classmethod
    def fit(cls, features: Features, labels: NDArray[np.int64]) -> Self:
        """Fit it to training cells: features float32 (n, d), classes int64 (n,)."""
        rows = features.astype(np.float64)
        return cls(_Gaussian.of(rows, labels), _Gaussian.of(rows, np.zeros_like(labels)))

    def scores(self, features: Features) -> Scores:
        """Return float64 (n,) for features float32 (n, d), high where a cell is like no class."""
        rows = features.astype(np.float64)
        return self.classes.distances(rows) - self.whole.distances(rows)


@dataclass(frozen=True, slots=True)
class CosineDistance:
    """One less the cosine between a cell's features and the nearest class mean, all centred on the training:
    `centre` float64 (d,), `means` float64 (classes, d) of unit length. After Techapanurak et al. 2020."""

    centre: NDArray[np.float64]
    means: NDArray[np.float64]

    @classmethod
    def fit(cls, features: Features, labels: NDArray[np.int64]) -> Self:
        """Fit it to training cells: features float32 (n, d), classes int64 (n,)."""
        rows = features.astype(np.float64)
        means = np.stack([rows[labels == label].mean(axis=0) for label in np.unique(labels)])
        centre = means.mean(axis=0)
        return cls(centre, _unit(means - centre))

    def scores(self, features: Features) -> Scores:
        """Return float64 (n,) in 0–2 for features float32 (n, d), high where a cell is like no class."""
        return 1 - (_unit(features - self.centre) @ self.means.T).max(axis=1)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def separation(inside: Scores, outside: Scores) -> dict[str, float]:
    """Say how well a score tells cells of the distribution from others.

    Takes the scores float64 (n,) of both. Gives the area under the ROC curve, 0.5 for a guess, and the shares
    of both that lie above the threshold which is fitted on one half of those inside and tried on the other.
    """
    above = fit_ood_above(inside[::2], ACCEPTED)
    area = mannwhitneyu(outside, inside).statistic / (len(inside) * len(outside))
    return {
        "auroc": float(area),
        "rejected_inside": float((inside[1::2] > above).mean()),
        "rejected_outside": float((outside > above).mean()),
    }
