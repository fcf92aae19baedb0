import hashlib

import numpy as np
import pytest
import torch

from inference.pipeline.networks import registry, runtime
from inference.pipeline.stain import Reference
from inference.training import wbc_card, wbc_run
from inference.training.augmentation import GENTLE, Strength
from inference.training.crops import Crops
from inference.training.wbc import Recipe, Trainer, logits, train
from tests.inference.pipeline.networks_for_tests import ARCHITECTURE

RECIPE = Recipe(
    architecture=ARCHITECTURE, side=32, first_side=32, epochs=4, batch=8, learning_rate=5e-3, ema_decay=0.5
)
FLAT = Reference((70.0, 10.0, 5.0), (15.0, 8.0, 12.0))


@pytest.fixture(scope="module")
def crops() -> Crops:
    """Sixteen crops of three classes that differ in colour."""
    rng = np.random.default_rng(0)
    labels = np.arange(16) % 3
    colours = np.array([(200, 80, 80), (80, 200, 80), (80, 80, 200)])
    images = colours[labels][:, None, None] + rng.integers(-40, 40, (16, 48, 48, 3))
    return Crops(images.astype(np.uint8), labels.astype(np.int64), np.ones(16, bool))


def weights(module) -> list[torch.Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def test_one_batch_can_be_learnt_by_heart(crops, tmp_path):
    trainer = Trainer(RECIPE, crops, tmp_path)
    trainer.schedule = torch.optim.lr_scheduler.ConstantLR(trainer.optimiser, 1.0)
    pixels, labels = torch.from_numpy(crops.images[:, :32, :32]), torch.from_numpy(crops.labels)
    trainer.module.train()
    losses = [trainer.step(pixels, labels) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    trainer.module.eval()
    with torch.inference_mode():
        assert (trainer.module(pixels).argmax(1) == labels).all()


def test_a_resumed_training_ends_with_the_same_weights(crops, tmp_path):
    straight = train(RECIPE, crops, crops, tmp_path / "straight", workers=0)
    first = Trainer(RECIPE, crops, tmp_path / "stopped")
    (tmp_path / "stopped").mkdir()
    first.run_epoch(workers=0)
    first.run_epoch(workers=0)
    resumed = train(RECIPE, crops, crops, tmp_path / "stopped", workers=0)
    assert all(torch.equal(a, b) for a, b in zip(weights(straight), weights(resumed), strict=True))


def test_another_seed_ends_with_other_weights(crops, tmp_path):
    one = Trainer(RECIPE, crops, tmp_path)
    other = Trainer(Recipe(architecture=ARCHITECTURE, seed=2), crops, tmp_path)
    assert not all(torch.equal(a, b) for a, b in zip(weights(one.module), weights(other.module), strict=True))


def test_a_checkpoint_of_another_recipe_is_refused(crops, tmp_path):
    Trainer(RECIPE, crops, tmp_path).save()
    with pytest.raises(ValueError, match="another recipe"):
        Trainer(Recipe(architecture=ARCHITECTURE, epochs=5), crops, tmp_path).resume()


def test_sides_grow_to_the_full_one():
    sides = [Recipe(epochs=40).side_at(epoch) for epoch in range(40)]
    assert sides[0] == 96 and sides[-1] == 128
    assert sides == sorted(sides)


def test_the_end_of_a_training_augments_gently():
    recipe = Recipe(epochs=40)
    assert recipe.strength_at(31) == Strength()
    assert recipe.strength_at(32) == recipe.strength_at(39) == GENTLE


def test_every_class_is_drawn_equally_often(tmp_path):
    labels = np.array([0] * 900 + [1] * 100)
    trainer = Trainer(RECIPE, Crops(np.zeros((1000, 8, 8, 3), np.uint8), labels, labels >= 0), tmp_path)
    drawn = labels[trainer._batches(0).dataset.order]
    assert 0.4 < drawn.mean() < 0.6


def test_written_weights_load_as_their_card_says(crops, tmp_path):
    trainer = Trainer(RECIPE, crops, tmp_path)
    sha256 = wbc_run.save_weights(trainer.averaged, tmp_path / "wbc.safetensors")
    assert sha256 == hashlib.sha256((tmp_path / "wbc.safetensors").read_bytes()).hexdigest()
    wbc_run.write_card(wbc_card.draft(RECIPE, sha256, {"cell": FLAT, "field": FLAT}), tmp_path)
    card = registry.read_card("wbc", tmp_path)
    assert card.input.stain_references["cell"] == (FLAT.mean, FLAT.std)
    loaded = runtime.torch_module(card)
    expected = logits(trainer.averaged, crops.images, RECIPE.contract)
    np.testing.assert_allclose(logits(loaded, crops.images, card.input), expected, atol=0.05)
