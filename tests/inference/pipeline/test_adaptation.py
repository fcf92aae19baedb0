from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from inference.pipeline import adaptation
from inference.pipeline.adaptation import ADAPTED, LEAST_CELLS, NONE_THERE, TOO_FEW, adapted
from inference.pipeline.networks import runtime
from tests.inference.pipeline.networks_for_tests import write_network


@pytest.fixture
def network(tmp_path):
    return runtime.load("wbc", write_network(tmp_path))


def crops(count, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return [cv2.resize(image, (64, 64)) for image in coarse]


def first_norm(of):
    return next(layer for layer in of.module.modules() if isinstance(layer, torch.nn.BatchNorm2d))


def test_the_first_layers_statistics_are_those_of_the_slide(network):
    moved, notice = adapted(network, {"as_is": crops(96)}, share=1.0)
    assert notice is ADAPTED
    name = next(name for name, layer in network.module.named_modules() if layer is first_norm(network))
    seen = []
    layer = network.module.get_submodule(name)
    handle = layer.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network.module(torch.from_numpy(runtime.prepare(crops(96), network.card.input)))
    handle.remove()
    mean = seen[0].mean(dim=(0, 2, 3))
    torch.testing.assert_close(first_norm(moved).running_mean, mean, rtol=1e-3, atol=1e-4)


def test_the_share_mixes_and_the_network_itself_stays_as_trained(network):
    before = first_norm(network).running_mean.clone()
    whole, half, none = (
        first_norm(adapted(network, {"as_is": crops(96)}, share)[0]).running_mean for share in (1.0, 0.5, 0.0)
    )
    torch.testing.assert_close(half, (whole + before) / 2)
    torch.testing.assert_close(none, before)
    torch.testing.assert_close(first_norm(network).running_mean, before)
    assert not torch.allclose(whole, before)


def test_the_adapted_network_answers_with_its_own_statistics(network):
    seen, moved = crops(96), adapted(network, {"as_is": crops(96)})[0]
    batch = runtime.prepare(seen[:16], network.card.input)
    with torch.inference_mode():
        expected = moved.module(torch.from_numpy(batch))
    expected = expected[0] if isinstance(expected, tuple) else expected
    np.testing.assert_allclose(moved.predict(batch), expected.numpy(), atol=0.05)
    assert not np.allclose(moved.predict(batch), network.predict(batch), atol=1e-3)
    assert moved.card == network.card
    assert not any(layer.training for layer in moved.module.modules())


def test_few_cells_leave_the_network_as_trained(network):
    assert adapted(network, {"as_is": crops(LEAST_CELLS - 1)}) == (network, TOO_FEW)
    assert adapted(network, {"as_is": []}) == (network, TOO_FEW)


def test_a_network_without_batch_statistics_is_left_alone(network):
    class Without:
        card, module = network.card, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LayerNorm(12))

    without = Without()
    assert adapted(without, {"as_is": crops(LEAST_CELLS)}) == (without, NONE_THERE)


def test_a_slide_of_few_cells_says_so_and_only_when_it_was_asked_for():
    from inference.pipeline.analyse import analyse
    from inference.pipeline.config import Config
    from tests.inference.pipeline.test_analyse import SAMPLE

    asked = Config(adapt_batch_statistics=True)
    assert adaptation.TOO_FEW in analyse(SAMPLE, asked, lambda stage, share: None).notices
    plain = replace(asked, adapt_batch_statistics=False)
    assert adaptation.TOO_FEW not in analyse(SAMPLE, plain, lambda stage, share: None).notices
