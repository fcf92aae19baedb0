"""The heat maps beside those of the public package pytorch-grad-cam, on the same networks and layers."""

import numpy as np
import pytest
import torch
from torch import nn

from inference.pipeline.class_activation import METHODS, class_activation
from inference.pipeline.findings import Method
from inference.pipeline.networks import registry, runtime, torchvision_compat, wbc
from inference.pipeline.networks.registry import InputContract
from inference.pipeline.networks.runtime import FromPixels

# The package imports torchvision, and is therefore imported where it is used.
torchvision_compat.ensure()

SIDE = 128


def images(count):
    """Soft blobs, so that the networks have something to see."""
    noise = np.random.default_rng(1).integers(0, 256, (count, 8, 8, 3), np.uint8)
    wide = torch.from_numpy(noise).permute(0, 3, 1, 2).float()
    soft = nn.functional.interpolate(wide, size=SIDE, mode="bicubic").clamp(0, 255)
    return soft.permute(0, 2, 3, 1).to(torch.uint8)


def shipped():
    card = registry.card(registry.WBC_NETWORK)
    return runtime.torch_module(card), card.explanation_layer


def built(name):
    torch.manual_seed(0)
    module = FromPixels(wbc.build(name, 10, side=SIDE), InputContract(SIDE, (0.5,) * 3, (0.25,) * 3, ""))
    return module.eval(), module.network.explanation_layer


CASES = {
    "the shipped network": shipped,
    "densenet121_wbc": lambda: built("densenet121_wbc"),
    "vit_tiny": lambda: built("vit_tiny"),
}


@pytest.fixture(scope="module", params=CASES)
def looked_at(request):
    module, layer = CASES[request.param]()
    return module, layer, images(3), torch.tensor([0, 4, 9])


class OneAnswer(nn.Module):
    """The network as the other package wants it: one tensor out."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        return self.network(image)[0]


def patches(tokens):
    rows = int((tokens.shape[1] - 1) ** 0.5)
    return tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, rows, rows)


def theirs(method, module, layer, pixels, targets):
    import pytorch_grad_cam as public
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    classes = {
        Method.GRAD_CAM: public.GradCAM,
        Method.GRAD_CAM_PP: public.GradCAMPlusPlus,
        Method.HIRES_CAM: public.HiResCAM,
        Method.EIGEN_CAM: public.EigenCAM,
    }
    at = [module.network.get_submodule(layer)]
    reshape = patches if layer == "backbone.norm" else None
    with classes[method](OneAnswer(module.network), at, reshape_transform=reshape) as cam:
        wanted = [ClassifierOutputTarget(int(target)) for target in targets]
        made = cam(module.normalised(pixels), wanted)
        return made, cam.activations_and_grads.activations[0].numpy()


@pytest.mark.parametrize("method", [*METHODS])
def test_maps_are_those_of_the_public_package(method, looked_at):
    from pytorch_grad_cam.utils.image import scale_cam_image

    ours = class_activation(method, *looked_at)
    assert (ours.max(axis=(1, 2)) > 0).all()
    expected, _ = theirs(method, *looked_at)
    np.testing.assert_allclose(scale_cam_image(scale_cam_image(ours, (SIDE, SIDE))), expected, atol=1e-3)


def test_eigen_cam_is_that_of_the_public_package_but_for_its_sign(looked_at):
    """Theirs has the sign that the decomposition happens to give it."""
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    ours = class_activation(Method.EIGEN_CAM, *looked_at)
    _, activations = theirs(Method.EIGEN_CAM, *looked_at)
    for found, projected in zip(ours, get_2d_projection(activations), strict=True):
        signed = projected * np.sign((projected * found).sum())
        np.testing.assert_allclose(found, np.maximum(signed, 0), atol=1e-3 * np.abs(signed).max())


@pytest.mark.parametrize("method", Method)
def test_a_crop_has_the_same_map_in_any_batch(method, looked_at):
    module, layer, pixels, targets = looked_at
    together = class_activation(method, *looked_at)
    alone = class_activation(method, module, layer, pixels[1:2], targets[1:2])
    np.testing.assert_allclose(together[1:2], alone, atol=1e-4 * alone.max())
