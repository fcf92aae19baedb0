import math

import pytest
import torch

from inference.training.losses import attribute_loss, focal_loss, smoothed_cross_entropy

SURE = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
"""Two cells of two classes; the chances of the first are 3/4 and 1/4, of the second one half each."""

FIRST = torch.tensor([0, 1])


def test_cross_entropy_is_the_mean_of_the_logarithms():
    expected = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    assert smoothed_cross_entropy(SURE, FIRST).item() == pytest.approx(expected)


def test_class_weights_weigh_the_mean():
    expected = (1 * -math.log(3 / 4) + 3 * -math.log(1 / 2)) / 4
    weighted = smoothed_cross_entropy(SURE, FIRST, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx(expected)


def test_smoothing_spreads_a_share_of_the_label():
    expected = -(0.9 + 0.05) * math.log(3 / 4) - 0.05 * math.log(1 / 4)
    assert smoothed_cross_entropy(SURE[:1], FIRST[:1], smoothing=0.1).item() == pytest.approx(expected)


def test_focal_loss_is_the_papers_formula():
    expected = ((1 / 4) ** 2 * -math.log(3 / 4) + (1 / 2) ** 2 * -math.log(1 / 2)) / 2
    assert focal_loss(SURE, FIRST).item() == pytest.approx(expected)


def test_focal_loss_takes_alpha_of_the_true_class():
    first, second = (1 / 4) ** 2 * -math.log(3 / 4), (1 / 2) ** 2 * -math.log(1 / 2)
    weighted = focal_loss(SURE, FIRST, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx((first + 3 * second) / 4)


def test_focal_loss_smooths_with_every_classs_own_focus():
    expected = -0.95 * (1 / 4) ** 2 * math.log(3 / 4) - 0.05 * (3 / 4) ** 2 * math.log(1 / 4)
    assert focal_loss(SURE[:1], FIRST[:1], smoothing=0.1).item() == pytest.approx(expected)


def test_without_focus_it_is_cross_entropy():
    logits, labels = torch.randn(8, 5, generator=torch.manual_seed(0)), torch.arange(8) % 5
    plain = smoothed_cross_entropy(logits, labels, smoothing=0.2)
    assert focal_loss(logits, labels, gamma=0.0, smoothing=0.2).item() == pytest.approx(plain.item())


def test_focal_loss_of_a_sure_network_has_a_gradient_without_nan():
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0])).backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_attributes_are_added_and_unknown_ones_left_out():
    logits = torch.tensor([[math.log(3.0), 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, math.log(2.0)]])
    values = torch.tensor([[0, -1], [1, 2]])
    first = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    second = -math.log(2 / 4)
    assert attribute_loss(logits, values, (2, 3)).item() == pytest.approx(first + second)


def test_attributes_nobody_told_add_nothing():
    logits = torch.randn(3, 5, requires_grad=True)
    loss = attribute_loss(logits, torch.full((3, 2), -1), (2, 3))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None and (logits.grad == 0).all()


def test_attributes_must_fit_their_logits():
    with pytest.raises(ValueError, match="zip"):
        attribute_loss(torch.zeros(1, 5), torch.zeros(1, 3, dtype=torch.int64), (2, 3))
