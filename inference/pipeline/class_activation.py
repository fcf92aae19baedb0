"""Class activation maps: where in a batch of crops the evidence for a class lies, by four known methods."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.pipeline.findings import Method
from inference.pipeline.networks.runtime import FromPixels, several

Raw = NDArray[np.float32]
Weigh = Callable[[Tensor, Tensor], Tensor]
"""Activations and the gradients of the class's logit by them, (n, channels, rows, columns) each → (n, rows,
columns)."""

EPSILON = 1e-6
"""What keeps the denominator of Grad-CAM++ from zero; the value of the public implementation."""


def class_activation(method: Method, module: FromPixels, layer: str, pixels: Tensor, targets: Tensor) -> Raw:
    """Return one map per crop of where the evidence for a class lies.

    Args:
        method: how activations and gradients become a map. Eigen-CAM runs the network forward only and does
            not depend on the class; the others run it forward and backward once.
        module: the network, in evaluation mode.
        layer: the dotted name of a layer of ``module.network``, whose output is maps (n, channels, rows,
            columns), or a transformer's tokens (n, tokens, channels), which are laid out as their patches lie
            once the tokens before them, as the class token, are left out.
        pixels: uint8 (n, side, side, 3) RGB on the module's device.
        targets: int64 (n,), the class that is explained of each crop, as a place in the logits.

    Returns:
        float32 (n, rows, columns), never negative and not scaled: logits for HiResCAM, whose values add up to
        what the layer's maps do for the logit to first order; else a weighted sum of activations, which only
        compares between crops of one network and method.
    """
    if method is Method.EIGEN_CAM:
        return _positive(eigen_cam(_forward(module, layer, pixels)))
    return _positive(METHODS[method](*_both_ways(module, layer, pixels, targets)))


def hires_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh the activations place by place: before the last layer the mean of the gradients points beside the
    cell. Source: Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM"."""
    return (activations * gradients).sum(dim=1)


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each channel by the mean of its gradients. Source: Selvaraju et al. 2017, "Grad-CAM"."""
    return _weighted(activations, gradients.mean(dim=(2, 3)))


def grad_cam_pp(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each channel by its positive gradients, more where few places speak for the class.

    Source: Chattopadhyay et al. 2018, "Grad-CAM++", equations 7 and 19, with exp(logit) as the score.
    """
    total = activations.sum(dim=(2, 3), keepdim=True)
    alpha = gradients**2 / (2 * gradients**2 + total * gradients**3 + EPSILON)
    return _weighted(activations, (alpha * gradients.relu()).sum(dim=(2, 3)))


def eigen_cam(activations: Tensor) -> Tensor:
    """Project the activations (n, channels, rows, columns) on their first principal component.

    The places are the samples, the channels the variables, centred. A component has no sign of its own: it is
    turned so that it grows with the sum of the activations, which puts 0.84 of it on white cells of patients
    with leukaemia; turned so that its farther end is positive it is 0.61.
    Source: Muhammad and Yeasin 2020, "Eigen-CAM".
    """
    places = activations.flatten(2).transpose(1, 2).double()
    centred = places - places.mean(dim=1, keepdim=True)
    # Places are fewer than channels, so their products are the smaller of the two symmetric matrices.
    values, vectors = torch.linalg.eigh(centred @ centred.transpose(1, 2))
    component = vectors[:, :, -1]
    along = (component * centred.sum(dim=2)).sum(dim=1, keepdim=True)
    projected = component * values[:, -1:].clamp(min=0).sqrt() * torch.where(along < 0, -1.0, 1.0)
    return projected.reshape(-1, *activations.shape[2:]).float()


METHODS: Mapping[Method, Weigh] = {
    Method.HIRES_CAM: hires_cam,
    Method.GRAD_CAM: grad_cam,
    Method.GRAD_CAM_PP: grad_cam_pp,
}
"""The methods that need gradients; Eigen-CAM does not."""


def _weighted(activations: Tensor, weights: Tensor) -> Tensor:
    return (activations * weights[:, :, None, None]).sum(dim=1)


def _positive(maps: Tensor) -> Raw:
    return np.asarray(maps.relu().cpu(), np.float32)


def _forward(module: FromPixels, layer: str, pixels: Tensor) -> Tensor:
    with _outputs(module, layer) as kept, torch.no_grad():
        module(pixels)
    return _laid_out(kept[0])


def _both_ways(module: FromPixels, layer: str, pixels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    with _outputs(module, layer) as kept, torch.enable_grad():
        logits = several(module(pixels))[0]
        chosen = logits.gather(1, targets[:, None]).sum()
        (gradients,) = torch.autograd.grad(chosen, kept)
    return _laid_out(kept[0].detach()), _laid_out(gradients)


def _laid_out(output: Tensor) -> Tensor:
    """Return what a layer gives out as maps (n, channels, rows, columns), the patches of a square image among
    a transformer's tokens row by row."""
    if output.ndim == 4:
        return output
    rows = math.isqrt(output.shape[1])
    patches = output[:, output.shape[1] - rows**2 :]
    return patches.transpose(1, 2).reshape(len(output), -1, rows, rows)


@contextmanager
def _outputs(module: FromPixels, layer: str) -> Iterator[list[Tensor]]:
    """Collect what a layer gives out while the block runs."""
    kept: list[Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: object, output: Tensor) -> None:
        kept.append(output)

    handle = module.network.get_submodule(layer).register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()
