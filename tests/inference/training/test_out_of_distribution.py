import numpy as np
import pytest

from inference.training.out_of_distribution import CosineDistance, RelativeMahalanobis, separation

DIMENSIONS = 32


def clouds(rng, count, centres):
    """Features around class means that all share one background, strong and of no meaning."""
    labels = rng.integers(0, len(centres), count)
    background = rng.normal(0, 3, (count, 1)) * np.ones((1, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    features = centres[labels] + background + rng.normal(0, 0.5, (count, DIMENSIONS))
    return features.astype(np.float32), labels


@pytest.mark.parametrize("kind", [RelativeMahalanobis, CosineDistance])
def test_features_between_the_classes_are_told_from_those_of_a_class(kind):
    rng = np.random.default_rng(0)
    centres = 4 * np.eye(DIMENSIONS)[:5]
    fitted = kind.fit(*clouds(rng, 1500, centres))
    inside = fitted.scores(clouds(rng, 800, centres)[0])
    between = fitted.scores(clouds(rng, 400, 4 * np.eye(DIMENSIONS)[10:13])[0])
    assert inside.shape == (800,)
    told = separation(inside, between)
    assert told["auroc"] > 0.95
    assert told["rejected_outside"] > 0.8
    assert told["rejected_inside"] == pytest.approx(0.05, abs=0.035)


def test_the_mahalanobis_distance_is_the_textbooks():
    rng = np.random.default_rng(1)
    features, labels = clouds(rng, 2000, 3 * np.eye(DIMENSIONS)[:2])
    fitted, cells = RelativeMahalanobis.fit(features, labels), features[:7].astype(np.float64)

    def nearest(groups):
        means = [features[groups == group].mean(axis=0, dtype=np.float64) for group in np.unique(groups)]
        centred = features - np.asarray(means)[groups]
        inverse = np.linalg.inv(centred.T @ centred / len(features))
        steps = [cells - mean for mean in means]
        return np.min([np.einsum("nd,de,ne->n", step, inverse, step) for step in steps], axis=0)

    expected = nearest(labels) - nearest(np.zeros_like(labels))
    np.testing.assert_allclose(fitted.scores(features[:7]), expected, rtol=0.02, atol=0.3)


def test_a_score_that_knows_nothing_separates_nothing():
    rng = np.random.default_rng(2)
    told = separation(rng.normal(size=2000), rng.normal(size=2000))
    assert told["auroc"] == pytest.approx(0.5, abs=0.03)
    assert told["rejected_outside"] == pytest.approx(0.05, abs=0.02)
