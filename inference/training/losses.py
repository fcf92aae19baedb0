"""What a network that names white cells is trained to make small."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from inference.training.attributes import UNKNOWN


def smoothed_cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """Return the mean cross entropy with smoothed labels and class weights, a scalar in nats.

    `logits` float (n, classes), `labels` int64 (n,), `weights` float (classes,) or None for equal ones. A
    share `smoothing`, 0–1, of every label is spread over all classes; the mean is over the labels' weights.
    Source: Szegedy et al. 2016, "Rethinking the Inception architecture".
    """
    return functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    gamma: float = 2.0,
    smoothing: float = 0.0,
) -> Tensor:
    """Return the mean focal loss α_t·(1 − p_t)^γ·(−ln p_t), a scalar in nats.

    `logits` float (n, classes), `labels` int64 (n,), `weights` float (classes,), α of each class, or None for
    equal ones. With `smoothing`, 0–1, that share of every label is spread over all classes, and each class
    enters with its own (1 − p)^γ. The mean is over the labels' weights, as `smoothed_cross_entropy` has it,
    which this is for γ = 0 and equal weights.
    Source: Lin et al. 2017, "Focal loss for dense object detection".
    """
    logarithms = functional.log_softmax(logits, dim=1)
    focused = -((1.0 - logarithms.exp()) ** gamma) * logarithms
    wanted = functional.one_hot(labels, logits.shape[1]) * (1.0 - smoothing) + smoothing / logits.shape[1]
    each = (wanted * focused).sum(dim=1)
    alpha = torch.ones_like(each) if weights is None else weights[labels]
    return (alpha * each).sum() / alpha.sum()


def attribute_loss(logits: Tensor, values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the sum over all attributes of the mean cross entropy of the cells whose value is known.

    `logits` float (n, sum of `sizes`), one group per attribute in order, `values` int64 (n, attributes), the
    index of each cell's value or UNKNOWN, `sizes` how many values every attribute has. A scalar in nats;
    an attribute that no cell's value is known of adds 0.
    """
    groups = torch.split(logits, list(sizes), dim=1)
    each = [
        functional.cross_entropy(group, told, ignore_index=UNKNOWN, reduction="sum")
        / (told != UNKNOWN).sum().clamp(min=1)
        for group, told in zip(groups, values.unbind(dim=1), strict=True)
    ]
    return torch.stack(each).sum()
