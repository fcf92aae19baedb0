import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from inference.pipeline.networks import wbc
from inference.pipeline.networks.registry import InputContract
from inference.pipeline.networks.runtime import FromPixels
from inference.training.focus import FocusMonitor, ShortcutLearning, focus
from tests.inference.pipeline.networks_for_tests import ARCHITECTURE

SIDE = 64
CONTRACT = InputContract(SIDE, (0.7, 0.7, 0.7), (0.25, 0.25, 0.25), "")
EPOCHS = 8
NUCLEUS, MARKS = (110, 60, 140), ((60, 60, 200), (200, 60, 60))


def cells(count, seed, coded_by_mark):
    """Cells with one lobe or two and a blue or a red mark in the corner; one of both tells the class, the
    other is drawn by lot."""
    rng = np.random.default_rng(seed)
    labels, lots = rng.integers(0, 2, (2, count))
    lobes, marks = (lots, labels) if coded_by_mark else (labels, lots)
    drawn = [cell(rng, *told) for told in zip(lobes, marks, strict=True)]
    return np.stack([image for image, _ in drawn]), np.stack([mask for _, mask in drawn]), labels


def cell(rng, lobed, mark):
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    radius, shift = rng.uniform(20, 26), rng.uniform(-2, 2, 2)
    y, x = rows - shift[0], columns - shift[1]
    body = np.hypot(y, x) < radius
    lobes = (np.hypot(y, x - radius * 0.4) < radius * 0.35) | (np.hypot(y, x + radius * 0.4) < radius * 0.35)
    image = np.full((SIDE, SIDE, 3), 215)
    image[body] = (180, 170, 205)
    image[lobes if lobed else np.hypot(y, x) < radius * 0.5] = NUCLEUS
    image[2:10, 2:10] = MARKS[mark]
    image += rng.integers(-15, 16, image.shape)
    return image.clip(0, 255).astype(np.uint8), body.astype(np.uint8)


def learn(coded_by_mark):
    """Train with a check after every second epoch; return network, validation cells and what was found."""
    torch.manual_seed(0)
    network = wbc.build(ARCHITECTURE, 2)
    module = FromPixels(network, CONTRACT)
    crops, _, labels = cells(192, 1, coded_by_mark)
    seen = cells(48, 2, coded_by_mark)
    monitor = FocusMonitor(*seen, layer=network.explanation_layer, every=2)
    optimiser = torch.optim.AdamW(module.parameters(), 3e-3)
    found = []
    for epoch in range(1, EPOCHS + 1):
        module.train()
        for batch in np.random.default_rng(epoch).permutation(192).reshape(6, 32):
            logits = module(torch.from_numpy(crops[batch]))[0]
            optimiser.zero_grad()
            functional.cross_entropy(logits, torch.from_numpy(labels[batch])).backward()
            optimiser.step()
        found.append(monitor.check(epoch, module))
    return module.eval(), seen, found, monitor


def test_a_network_that_learns_the_corner_mark_is_stopped():
    with pytest.raises(
        ShortcutLearning, match=r"shortcut learning: .* of the evidence lies on the cells"
    ) as told:
        learn(coded_by_mark=True)
    assert "below 0.80 for 2 checks in a row" in told.value.text
    assert "randomise it or mask it" in told.value.text


def test_a_network_that_learns_the_cells_is_not_stopped():
    module, (crops, _, labels), found, monitor = learn(coded_by_mark=False)
    with torch.inference_mode():
        called = module(torch.from_numpy(crops))[0].argmax(dim=1).numpy()
    assert (called == labels).mean() > 0.9
    assert found[0::2] == [None] * (EPOCHS // 2)
    assert found[-1] == monitor.latest.on_cell > 0.55
    assert 0.35 < monitor.latest.chance < 0.5 and monitor.latest.relative > 1.3


class Redness(nn.Module):
    """The logit of class 0 is how red the image is; its feature maps are the image in places of 4 px."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 3, 4, stride=4, groups=3, bias=False)
        nn.init.constant_(self.features.weight, 1 / 16)
        self.dropout = nn.Dropout(0.9)

    def forward(self, image):
        return self.dropout(self.features(image)).mean(dim=(2, 3))[:, [0, 2]]


def redness():
    return FromPixels(Redness(), InputContract(16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), ""))


def sample(*rows_of_red):
    """Crops whose upper rows are red over a mask of the upper half."""
    crops, masks = (
        np.zeros((len(rows_of_red), 16, 16, 3), np.uint8),
        np.zeros((len(rows_of_red), 16, 16), np.uint8),
    )
    for crop, rows in zip(crops, rows_of_red, strict=True):
        crop[list(rows), :, 0] = 255
    masks[:, :8] = 1
    return crops, masks, np.zeros(len(crops), np.int64)


def test_focus_of_known_images():
    found = focus(redness(), "features", sample(range(16), range(8), range(12)))
    assert found.on_cell == pytest.approx((1 / 2 + 1 + 2 / 3) / 3)
    assert found.chance == pytest.approx(0.5)
    assert found.relative == pytest.approx((1 / 2 + 1 + 2 / 3) / 3 / 0.5)


def test_cells_without_evidence_are_left_out():
    assert focus(redness(), "features", sample(range(0), range(8))).on_cell == pytest.approx(1.0)
    assert focus(redness(), "features", sample(range(0))) is None


def test_a_check_leaves_every_part_in_its_mode():
    module = redness().train()
    module.network.features.eval()
    focus(module, "features", sample(range(8)))
    assert module.training and module.network.dropout.training and not module.network.features.training


def test_only_checks_in_a_row_stop_a_training():
    beside, on_cell = sample(range(8, 16)), sample(range(8))
    monitor = FocusMonitor(*beside, layer="features", every=3)
    assert monitor.check(1, redness()) is None and monitor.latest is None
    assert monitor.check(3, redness()) == pytest.approx(0.0)
    monitor.crops = on_cell[0]
    assert monitor.check(6, redness()) == pytest.approx(1.0)
    monitor.crops = beside[0]
    assert monitor.check(9, redness()) == pytest.approx(0.0)
    with pytest.raises(ShortcutLearning, match="after epoch 12 0% .* cover 50% .* 0.00 times chance"):
        monitor.check(12, redness())
