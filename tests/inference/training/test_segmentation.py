"""A drawn field whose cells are known, through labels, scenes and targets into a network that learns it."""

import json

import cv2
import numpy as np
import pytest
import torch

from inference.pipeline import star
from inference.pipeline.findings import Kind
from inference.pipeline.networks.segmentation import build
from inference.pipeline.segmentation_star import decode
from inference.training.segmentation import CONTRACT, Recipe, Trainer, Windows, train
from inference.training.segmentation_labels import RAYS, Cells, boxed_field
from inference.training.segmentation_outlines import STORED_UM
from inference.training.segmentation_scenes import Pose, Scene, compose, shown
from inference.training.segmentation_targets import IGNORED, losses, targets_of

GROUND, PINK, PURPLE, LILAC = (245, 235, 225), (200, 150, 155), (80, 45, 120), (190, 165, 205)
RED = [(60, 60), (160, 60), (220, 60), (60, 200), (260, 220)]
WHITE, RED_RADIUS, WHITE_RADIUS = (160, 170), 26, 40


def drawn():
    """Five red cells, two of them touching, about a white one, at 0.14 µm per pixel."""
    image = np.full((280, 320, 3), GROUND, np.uint8)
    for x, y in RED:
        cv2.circle(image, (x, y), RED_RADIUS, PINK, -1, cv2.LINE_AA)
    cv2.circle(image, WHITE, WHITE_RADIUS, LILAC, -1, cv2.LINE_AA)
    cv2.circle(image, WHITE, 24, PURPLE, -1, cv2.LINE_AA)
    noise = np.random.default_rng(0).normal(0, 1.5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def around(centre, radius, margin=2):
    x, y, reach = *centre, radius + margin
    return x - reach, y - reach, x + reach, y + reach


def labelled(red=RED):
    boxes = {
        Kind.RBC: [around(place, RED_RADIUS) for place in red],
        Kind.WBC: [around(WHITE, WHITE_RADIUS)],
        Kind.PLATELET: [],
    }
    field = boxed_field(drawn(), boxes, 2 * RED_RADIUS + 4, "drawn")
    assert field is not None
    return field


def round_cells(*cells):
    kinds, centres, radii = zip(*cells, strict=True)
    return Cells(
        np.array(kinds, np.int64),
        np.array(centres, np.float32),
        np.repeat(np.array(radii, np.float32)[:, None], RAYS, axis=1),
    )


def scene_of(cells, side=96):
    everywhere = np.ones((side, side), np.bool_)
    return Scene(np.zeros((side, side, 3), np.uint8), cells, everywhere, everywhere)


def test_boxes_become_outlines_of_the_stain():
    field = labelled()
    factor = field.image.shape[1] / 320
    whites = field.cells.only(field.cells.kinds == 1)
    reds = field.cells.only(field.cells.kinds == 0)
    assert (len(whites), len(reds)) == (1, 5)
    assert star.areas(whites.radii)[0] == pytest.approx(np.pi * (WHITE_RADIUS * factor) ** 2, rel=0.08)
    assert star.areas(reds.radii) == pytest.approx(np.pi * (RED_RADIUS * factor) ** 2, rel=0.12)
    assert not field.unknown.any()
    assert field.ground == pytest.approx(GROUND, abs=2)


def test_what_no_box_holds_is_unknown_not_background():
    field = labelled(red=RED[:-1])
    factor = field.image.shape[1] / 320
    x, y = (round(value * factor) for value in RED[-1])
    assert field.unknown[y, x]
    assert field.unknown.mean() < 0.05


@pytest.mark.parametrize("stretch", [1.0, 1.6])
def test_a_pose_moves_cells_as_it_moves_pixels(stretch):
    image = np.zeros((120, 120), np.uint8)
    cv2.ellipse(image, (70, 50), (30, 12), 0, 0, 360, 255, -1)
    centre, radii = star.measure(image > 0, RAYS)
    cos, sin = 0.8 * np.cos(0.7), 0.8 * np.sin(0.7)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-(stretch**0.5), stretch**-0.5])
    shift = np.array([64.0, 64.0]) - linear @ centre
    pose = Pose(linear, shift.astype(np.float32))
    (moved,) = (pose.moved(Cells(np.zeros(1, np.int64), centre[None], radii[None])),)
    shown_mask = pose.warped(image, 128, cv2.BORDER_CONSTANT) > 127
    outlined = star.filled(star.outlines(moved.centres, moved.radii)[0], (128, 128))
    assert shown_mask.sum() > 500
    assert (shown_mask & outlined).sum() / (shown_mask | outlined).sum() > 0.9


def test_a_scene_labels_every_cell_it_shows():
    field, rng = labelled(), np.random.default_rng(0)
    for _ in range(8):
        scene = compose([field], 160, rng, np.ones(1))
        drawn_cells = np.zeros((160, 160), np.bool_)
        for outline in star.outlines(scene.cells.centres, scene.cells.radii):
            drawn_cells |= star.filled(outline, (160, 160))
        stained = scene.image.min(axis=2) < 190
        seen = stained & scene.known & scene.inside
        assert (seen & ~drawn_cells).sum() < 0.06 * max(seen.sum(), 200)


def test_beyond_the_field_lies_the_mean_or_black():
    scene = scene_of(round_cells((0, (48, 48), 18)))
    half = Scene(scene.image, scene.cells, scene.known, scene.inside & (np.arange(96) < 48))
    beyond = np.array([10.0, 20.0, 30.0], np.float32)
    colours = {tuple(shown(half, beyond, np.random.default_rng(seed))[0, 90]) for seed in range(20)}
    assert colours == {(0, 0, 0), (10, 20, 30)}


def test_targets_say_where_what_and_how_far():
    targets = targets_of(scene_of(round_cells((0, (41, 50), 18), (2, (80, 20), 5))))
    assert targets.heat[0, 12, 10] == 1 and targets.heat[2, 4:6, 19:21].max() == 1
    assert targets.heat[1].max() == 0
    assert targets.core[12, 10] > 0.9
    assert targets.offsets[:, 12, 10] * 4 == pytest.approx((41 - 42, 50 - 50), abs=1e-4)
    assert np.exp(targets.radii[:, 12, 10]) * 12 == pytest.approx(np.full(32, 18), rel=1e-5)
    assert targets.areas[12, 10] == 1 and targets.areas[5, 20] == 3 and targets.areas[0, 0] == 0


def test_what_is_unknown_costs_nothing():
    scene = scene_of(round_cells((0, (41, 50), 18)))
    unknown = Scene(scene.image, scene.cells, np.zeros((96, 96), np.bool_), scene.inside)
    targets = targets_of(unknown)
    assert (targets.areas == IGNORED).all() and targets.known.max() == 0


def test_the_right_answer_costs_less_than_a_wrong_one():
    targets = targets_of(scene_of(round_cells((0, (41, 50), 18))))
    wanted = {
        name: torch.from_numpy(getattr(targets, name))[None]
        for name in ("heat", "known", "core", "offsets", "radii", "areas")
    }
    right = torch.zeros(1, 41, 24, 24)
    right[:, :3] = torch.where(wanted["heat"] > 0.999, 8.0, -8.0)
    right[:, 3:7] = 8 * torch.nn.functional.one_hot(wanted["areas"], 4).permute(0, 3, 1, 2)
    right[:, 7:9], right[:, 9:] = wanted["offsets"], wanted["radii"]
    wrong = right.clone()
    wrong[:, 9:] += 0.3
    assert losses(right, wanted).total < 0.05
    assert losses(wrong, wanted).radii == pytest.approx(0.3, abs=0.01)
    assert losses(-right, wanted).centres > 5


def test_the_network_learns_a_field_and_goes_on_after_a_stop(tmp_path, monkeypatch):
    recipe = Recipe(
        architecture="star_12", side=96, epochs=4, boxed_epochs=2, steps=20, batch=4, ema_decay=0.9
    )
    asked = []

    def further(network):
        asked.append(network)
        return [labelled()]

    half = Trainer(recipe, [labelled()], tmp_path)
    first = half.run_epoch(0)
    network = train(recipe, [labelled()], further, tmp_path, workers=0)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert len(lines) == 3 and len(asked) == 1
    assert json.loads(lines[-1])["centres"] < 0.5 * first["centres"]
    assert not network.training

    other = Trainer(Recipe(seed=2), [labelled()], tmp_path)
    with pytest.raises(ValueError, match="another recipe"):
        other.resume()


def test_windows_are_the_same_for_the_same_seed():
    recipe = Recipe(side=96, steps=1, batch=2)
    first, second = (Windows([labelled()], recipe, 3)[1] for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["pixels"], Windows([labelled()], recipe, 4)[1]["pixels"])


def test_the_network_answers_every_fourth_pixel():
    maps = build("star_12").eval()(torch.zeros(1, 3, 64, 96))
    assert maps.shape == (1, 41, 16, 24)
    assert len(decode(maps[0].detach().numpy(), (64, 96))) == 0
    with pytest.raises(ValueError, match="no segmentation network"):
        build("resnet50")


def test_fields_are_kept_finer_than_the_network_sees_them():
    assert STORED_UM < 0.2 and CONTRACT.side == 0
