import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.pipeline.errors import PipelineError
from inference.pipeline.networks import registry, runtime
from inference.training import wbc_card, wbc_run
from inference.training.attributes import UNKNOWN
from inference.training.augmentation import Strength
from inference.training.crops import Crops
from inference.training.focus import ShortcutLearning
from inference.training.wbc import Recipe, Trainer, chances, logits, train
from tests.inference.pipeline.networks_for_tests import ARCHITECTURE

RECIPE = Recipe(
    architecture=ARCHITECTURE,
    side=32,
    first_side=32,
    epochs=4,
    draws=16,
    batch=8,
    learning_rate=5e-3,
    ema_decay=0.5,
)


def crops_of(images: np.ndarray, labels: np.ndarray, laboratory: str = "pbc") -> Crops:
    masks = np.zeros(images.shape[:3], np.uint8)
    masks[:, 8:-8, 8:-8] = 255
    count = len(labels)
    attributes = np.full((count, 11), UNKNOWN, np.int64)
    attributes[::2] = 0
    return Crops(
        images.astype(np.uint8),
        masks,
        labels.astype(np.int64),
        np.array([laboratory] * count),
        attributes,
        np.ones(count, bool),
    )


@pytest.fixture(scope="module")
def crops() -> Crops:
    """Sixteen crops of three classes that differ in colour."""
    rng = np.random.default_rng(0)
    labels = np.arange(16) % 3
    colours = np.array([(200, 80, 80), (80, 200, 80), (80, 80, 200)])
    return crops_of(colours[labels][:, None, None] + rng.integers(-40, 40, (16, 48, 48, 3)), labels)


def weights(module) -> list[torch.Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def test_one_batch_can_be_learnt_by_heart(crops, tmp_path):
    trainer = Trainer(RECIPE, crops, tmp_path)
    trainer.schedule = torch.optim.lr_scheduler.ConstantLR(trainer.optimiser, 1.0)
    batch = [torch.from_numpy(part) for part in (crops.images[:, :32, :32], crops.labels, crops.attributes)]
    trainer.module.train()
    losses = [trainer.step(*batch) for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]
    trainer.module.eval()
    with torch.inference_mode():
        assert (trainer.module(batch[0])[0].argmax(1) == batch[1]).all()


def test_the_attributes_are_learnt_beside_the_classes(crops, tmp_path):
    recipe = replace(RECIPE, attribute_share=0.5)
    trainer = Trainer(recipe, crops, tmp_path)
    before = trainer.module.network.attributes.weight.clone()
    trainer.run_epoch(workers=0)
    assert not torch.equal(before, trainer.module.network.attributes.weight)
    without = Trainer(replace(RECIPE, attribute_share=0.0, weight_decay=0.0), crops, tmp_path)
    before = without.module.network.attributes.weight.clone()
    without.run_epoch(workers=0)
    assert torch.equal(before, without.module.network.attributes.weight)


def test_a_resumed_training_ends_with_the_same_weights(crops, tmp_path):
    both = (crops, crops)
    straight = train(RECIPE, both, tmp_path / "straight", workers=0)
    first = Trainer(RECIPE, crops, tmp_path / "stopped")
    (tmp_path / "stopped").mkdir()
    first.run_epoch(workers=0)
    first.run_epoch(workers=0)
    resumed = train(RECIPE, both, tmp_path / "stopped", workers=0)
    assert all(torch.equal(a, b) for a, b in zip(weights(straight), weights(resumed), strict=True))


def test_another_seed_ends_with_other_weights(crops, tmp_path):
    one = Trainer(RECIPE, crops, tmp_path)
    other = Trainer(replace(RECIPE, seed=2), crops, tmp_path)
    assert not all(torch.equal(a, b) for a, b in zip(weights(one.module), weights(other.module), strict=True))


def test_a_checkpoint_of_another_recipe_is_refused(crops, tmp_path):
    Trainer(RECIPE, crops, tmp_path).save()
    with pytest.raises(ValueError, match="another recipe"):
        Trainer(replace(RECIPE, focal=0.1), crops, tmp_path).resume()


def test_a_training_can_start_from_weights(crops, tmp_path):
    first = Trainer(RECIPE, crops, tmp_path)
    first.run_epoch(workers=0)
    second = Trainer(replace(RECIPE, seed=7), crops, tmp_path, first.averaged)
    assert all(
        torch.equal(a, b) for a, b in zip(weights(first.averaged), weights(second.module), strict=True)
    )


def test_a_pretrained_backbone_is_held_still_at_first(crops, tmp_path):
    trainer = Trainer(RECIPE, crops, tmp_path)
    trainer.recipe = replace(RECIPE, init="imagenet", head_epochs=1)
    backbone, head = trainer.module.network.backbone, trainer.module.network.classes
    before = [p.clone() for p in backbone.parameters()], head.weight.clone()
    trainer.run_epoch(workers=0)
    assert all(torch.equal(a, b) for a, b in zip(before[0], backbone.parameters(), strict=True))
    assert not torch.equal(before[1], head.weight)
    trainer.run_epoch(workers=0)
    assert not all(torch.equal(a, b) for a, b in zip(before[0], backbone.parameters(), strict=True))


def test_sides_grow_to_the_full_one():
    sides = [Recipe(epochs=40).side_at(epoch) for epoch in range(40)]
    assert sides[0] == 96 and sides[-1] == 128
    assert sides == sorted(sides)


def test_a_training_begins_weakly_and_ends_gently():
    recipe = Recipe(epochs=40)
    full = Strength().times(recipe.colour, recipe.degrading)
    assert recipe.strength_at(3) == full.times(0.5, 0.5)
    assert recipe.strength_at(4) == recipe.strength_at(31) == full
    assert recipe.strength_at(32) == recipe.strength_at(39) == full.times(0.7, 0.7)


def test_small_laboratories_and_rare_classes_are_drawn_more_often_than_their_share():
    many, few = np.array([0] * 360 + [1] * 40), np.array([0] * 80 + [1] * 20)
    images = np.zeros((500, 20, 20, 3), np.uint8)
    both = Crops.joined([crops_of(images[:400], many), crops_of(images[:100], few, "apl")])
    drawn = chances(both, 0.5)
    assert drawn.sum() == pytest.approx(1)
    assert drawn[both.laboratories == "apl"].sum() == pytest.approx(1 / 3)
    rare = drawn[(both.laboratories == "pbc") & (both.labels == 1)].sum()
    assert rare == pytest.approx(2 / 3 / 4)
    assert chances(both, 1.0) == pytest.approx(np.full(500, 1 / 500))


def test_a_laboratory_that_is_held_out_is_not_learnt_from(crops, tmp_path):
    other = crops_of(crops.images, crops.labels, "bcisc")
    trainer = Trainer(replace(RECIPE, held_out=("bcisc",)), Crops.joined([crops, other]), tmp_path)
    assert set(trainer.crops.laboratories) == {"pbc"} and len(trainer.crops.labels) == len(crops.labels)


def test_a_training_that_looks_at_a_corner_mark_is_stopped(tmp_path):
    """The class is coded beside the cell; the cells are all alike, and the background is not randomised."""
    rng = np.random.default_rng(0)
    labels = np.arange(96) % 3
    images = np.full((96, 64, 64, 3), 220, np.uint8)
    images[:, 16:-16, 16:-16] = rng.integers(90, 140, (96, 32, 32, 3))
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
    images[:, :12] = images[:, -12:] = colours[labels][:, None, None]
    marked = crops_of(images, labels)
    marked.masks[:, :16] = marked.masks[:, -16:] = marked.masks[..., :16] = marked.masks[..., -16:] = 0
    plain = {"views": ("as_is",), "colour": 0.0, "degrading": 0.0, "background": 0.0}
    recipe = replace(RECIPE, side=64, first_side=64, epochs=20, draws=96, **plain)
    with pytest.raises(ShortcutLearning, match="shortcut learning"):
        train(recipe, (marked, marked), tmp_path, workers=0)


def test_without_a_validation_cell_that_was_found_nothing_is_trained(crops, tmp_path):
    lost = replace(crops, found=np.zeros(len(crops.labels), bool))
    with pytest.raises(PipelineError, match="No cell was found in any of the 16 validation images"):
        train(RECIPE, (crops, lost), tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()


def test_written_weights_load_as_their_card_says(crops, tmp_path, monkeypatch):
    trainer = Trainer(RECIPE, crops, tmp_path)
    sha256 = wbc_run.save_weights(trainer.averaged, tmp_path / "wbc.safetensors")
    assert sha256 == hashlib.sha256((tmp_path / "wbc.safetensors").read_bytes()).hexdigest()
    for measured in ("stain_references", "macenko_references", "stain_ranges"):
        monkeypatch.setattr(wbc_card, measured, lambda data, held_out: {})
    wbc_run.write_card(wbc_card.draft(RECIPE, sha256, trainer.averaged, tmp_path), tmp_path)
    card = registry.read_card("wbc", tmp_path)
    loaded = runtime.torch_module(card)
    expected = logits(trainer.averaged, crops, RECIPE.contract)
    np.testing.assert_allclose(logits(loaded, crops, card.input), expected, atol=0.05)
