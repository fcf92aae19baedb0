import numpy as np
import pytest
import torch
from torch import nn

from inference.pipeline.class_activation import class_activation
from inference.pipeline.findings import Method
from inference.pipeline.networks.registry import InputContract
from inference.pipeline.networks.runtime import FromPixels

CONTRACT = InputContract(64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "")
WITH_GRADIENTS = (Method.HIRES_CAM, Method.GRAD_CAM, Method.GRAD_CAM_PP)


class Colours(nn.Module):
    """Class 0 is how red the image is, class 1 how blue; its feature maps are the colours themselves."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 3, 4, stride=4, groups=3, bias=False)
        nn.init.constant_(self.features.weight, 1 / 16)

    def forward(self, image):
        return self.features(image).mean(dim=(2, 3))[:, [0, 2]]


class Tokens(Colours):
    """The same with a class token in front of one token per patch, as a transformer has them."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Identity()

    def forward(self, image):
        patches = self.features(image).flatten(2).transpose(1, 2)
        tokens = self.tokens(torch.cat([torch.full_like(patches[:, :1], 9.0), patches], dim=1))
        colours = tokens[:, 1:].mean(dim=1) + 0.5 * tokens[:, 0]
        return colours[:, [0, 2]], colours[:, :0], colours


@pytest.fixture
def twice():
    """Two of one image: black with a red patch at the top left and a darker blue one at the bottom right."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[4:12, 4:12, 0] = 255
    image[20:28, 20:28, 2] = 127
    return torch.from_numpy(np.stack([image, image]))


RED_BLUE = torch.tensor([0, 1])


@pytest.mark.parametrize("method", WITH_GRADIENTS)
def test_the_map_lies_on_what_speaks_for_the_class(method, twice):
    module = FromPixels(Colours(), CONTRACT).eval()
    red, blue = class_activation(method, module, "features", twice, RED_BLUE)
    assert red.shape == (8, 8) and red.dtype == np.float32
    assert red.max() > 0 and red[1:3, 1:3].sum() == pytest.approx(red.sum())
    assert blue.max() > 0 and blue[5:7, 5:7].sum() == pytest.approx(blue.sum())
    # The blue is half as bright, and a weak map keeps its weakness; Grad-CAM++ is not quite linear.
    assert blue.max() == pytest.approx(red.max() * 127 / 255, rel=0.02)


def test_eigen_cam_lies_on_what_varies_most_whatever_the_class(twice):
    module = FromPixels(Colours(), CONTRACT).eval()
    first, second = class_activation(Method.EIGEN_CAM, module, "features", twice, RED_BLUE)
    assert first.max() > 0 and first[1:3, 1:3].sum() == pytest.approx(first.sum(), rel=1e-5)
    np.testing.assert_array_equal(first, second)


def test_eigen_cam_is_turned_towards_activation():
    """A dark patch on a bright ground is the farther end of the component, and not where activation is."""
    image = np.full((1, 32, 32, 3), 200, np.uint8)
    image[0, 4:12, 4:12] = 0
    module = FromPixels(Colours(), CONTRACT).eval()
    (found,) = class_activation(
        Method.EIGEN_CAM, module, "features", torch.from_numpy(image), torch.tensor([0])
    )
    assert found[1:3, 1:3].max() == 0.0
    assert found[4:, 4:].min() > 0.0


@pytest.mark.parametrize("method", Method)
def test_a_blank_image_has_an_empty_map(method):
    black = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    module = FromPixels(Colours(), CONTRACT).eval()
    assert class_activation(method, module, "features", black, torch.tensor([0])).max() == 0.0


@pytest.mark.parametrize("method", Method)
def test_tokens_lie_where_their_patches_lie_and_the_class_token_nowhere(method, twice):
    expected = class_activation(method, FromPixels(Colours(), CONTRACT).eval(), "features", twice, RED_BLUE)
    found = class_activation(method, FromPixels(Tokens(), CONTRACT).eval(), "tokens", twice, RED_BLUE)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
