"""From which probability on an attribute is sure."""

import numpy as np

from inference.training.criteria import sure_from


def test_the_least_probability_with_95_in_100_right():
    best = np.linspace(1.0, 0.5, 101).astype(np.float32)
    right = np.ones(101, bool)
    right[60:] = False
    least = sure_from(best, right)
    above = best >= least
    assert right[above].mean() >= 0.95
    assert right[best >= least - 0.01].mean() < 0.95


def test_too_few_or_too_wrong_are_never_sure():
    assert sure_from(np.ones(10, np.float32), np.ones(10, bool)) is None
    assert sure_from(np.ones(100, np.float32), np.arange(100) % 2 == 0) is None
