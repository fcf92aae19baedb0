"""The optional engine: it learns a drawn field, is taught cells only, and says what it lacks."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from inference.pipeline import segmentation_yolo as yolo
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.findings import Kind
from inference.pipeline.segmentation_engine import UndecodableTile
from inference.pipeline.segmentation_star import WORK_UM
from inference.training import segmentation_yolo as training
from inference.training.segmentation_labels import RAYS, Cells, Field
from inference.training.segmentation_scenes import Scene

GROUND, PINK, PURPLE = (245, 235, 225), (200, 150, 155), (80, 45, 120)
RED, RED_RADIUS, WHITE, WHITE_RADIUS, SIDE = [(26, 28), (98, 30), (30, 96)], 17, (92, 90), 26, 128


def drawn():
    """Three red cells and a white one at the working resolution."""
    image = np.full((SIDE, SIDE, 3), GROUND, np.uint8)
    for place in RED:
        cv2.circle(image, place, RED_RADIUS, PINK, -1, cv2.LINE_AA)
    cv2.circle(image, WHITE, WHITE_RADIUS, PURPLE, -1, cv2.LINE_AA)
    return image


def cells(*round_ones):
    kinds, centres, radii = zip(*round_ones, strict=True)
    return Cells(
        np.array(kinds, np.int64),
        np.array(centres, np.float32) + np.float32(0.5),
        np.repeat(np.array(radii, np.float32)[:, None], RAYS, axis=1),
    )


def labelled():
    every = cells(*((0, place, RED_RADIUS) for place in RED), (1, WHITE, WHITE_RADIUS))
    nowhere = np.zeros((SIDE, SIDE), np.bool_)
    return Field(drawn(), every, nowhere, np.array(GROUND, np.float32), "drawn")


def scene_of(found, image=None, known=None, side=SIDE):
    everywhere = np.ones((side, side), np.bool_)
    image = np.zeros((side, side, 3), np.uint8) if image is None else image
    return Scene(image, found, everywhere if known is None else known, everywhere)


def disc(place, radius, side=SIDE):
    return cv2.circle(np.zeros((side, side), np.uint8), place, radius, 1, -1) > 0


def overlap(cell, truth):
    mask = np.zeros(truth.shape, np.uint8)
    cv2.fillPoly(mask, [np.asarray(cell.polygon, np.int32)], 1)
    return (truth & (mask > 0)).sum() / (truth | (mask > 0)).sum()


def window(scene):
    return {"pixels": torch.from_numpy(scene.image.copy()), **training.targets_of(scene)}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A folder with weights and card of a network that has learnt the drawn field and its mirror image."""
    out = tmp_path_factory.mktemp("yolo")
    recipe = training.Recipe(side=SIDE, epochs=1, steps=100, ema_decay=0.8, learning_rate=2e-3)
    field, trainer = labelled(), training.Trainer(recipe, [labelled()], out)
    for part in trainer.module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 0.1  # So few steps would leave the library's slow averages where they began.
    mirrored = Cells(field.cells.kinds, field.cells.centres * (-1, 1) + (SIDE, 0), field.cells.radii)
    scenes = [scene_of(field.cells, field.image), scene_of(mirrored, field.image[:, ::-1])]
    batch = training.together([window(scene) for scene in scenes])
    for _ in range(recipe.steps):
        trainer.step(batch)
    training.save(trainer.averaged, recipe, out)
    return out


def sure(answer):
    return [cell for cell in answer.instances if cell.confidence > 0.5]


def test_it_learns_a_field_and_finds_its_cells(learnt):
    engine = yolo.Yolo11Seg(learnt)
    first, second = (sure(answer) for answer in engine.find([drawn(), drawn()[:, ::-1].copy()], WORK_UM))
    assert len(first) == len(second) == 4
    places = [(Kind.RBC, place, RED_RADIUS) for place in RED] + [(Kind.WBC, WHITE, WHITE_RADIUS)]
    for kind, place, radius in places:
        assert max(overlap(cell, disc(place, radius)) for cell in first if cell.kind is kind) > 0.8
    assert [used.name for used in engine.used] == ["segmentation_yolo11_seg", "segmentation"]
    assert json.loads((learnt / "segmentation_yolo11_seg.json").read_text())["architecture"] == "yolo11n_seg"


def test_cells_are_given_in_pixels_of_the_image(learnt):
    engine = yolo.Yolo11Seg(learnt)
    large = cv2.resize(drawn(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)[:250, :240]
    (answer,) = engine.find([large], WORK_UM / 2)
    for place in RED:
        truth = disc((2 * place[0], 2 * place[1]), 2 * RED_RADIUS, 2 * SIDE)[:250, :240]
        assert max(overlap(cell, truth) for cell in sure(answer)) > 0.8
    boxes = np.array([cell.box for cell in answer.instances])
    assert boxes.min() >= 0 and (boxes[:, 2:] <= (240, 250)).all()


def test_many_masks_are_worked_out_in_parts(learnt, monkeypatch):
    engine = yolo.Yolo11Seg(learnt)
    (whole,) = engine.find([drawn()], WORK_UM)
    monkeypatch.setattr(yolo, "MOST_MASK_PX", 1)
    (in_parts,) = engine.find([drawn()], WORK_UM)
    assert in_parts == whole and len(whole.instances) >= 4


def test_an_empty_image_holds_no_cell_and_an_answer_without_numbers_is_an_error(learnt):
    engine = yolo.Yolo11Seg(learnt)
    blank = np.full((70, 90, 3), GROUND, np.uint8)
    assert sure(engine.find([blank], WORK_UM)[0]) == []
    with torch.no_grad():
        next(engine.module.parameters()).fill_(float("nan"))
    with pytest.raises(UndecodableTile):
        engine.find([blank], WORK_UM)


def test_the_outline_is_that_of_the_largest_part_of_a_mask():
    mask = disc((60, 50), 20).astype(np.uint8)
    mask[2:6, 2:6] = 1
    outline = yolo._outline(mask)
    assert outline.shape == (64, 2)
    assert np.hypot(*(outline - (60.5, 50.5)).T) == pytest.approx(np.full(64, 20), abs=1)
    assert cv2.contourArea(outline) == pytest.approx(disc((60, 50), 20).sum(), rel=0.04)
    assert yolo._outline(np.zeros((20, 20), np.uint8)) is None


def test_targets_are_boxes_and_masks_with_the_smaller_cell_on_top():
    said = training.targets_of(scene_of(cells((2, (40, 40), 8), (1, (48, 40), 24), (0, (0, 200), 20))))
    assert said["cls"].tolist() == [1, 2]
    assert said["bboxes"][0].numpy() * SIDE == pytest.approx((48.5, 40.5, 48, 48), abs=0.2)
    assert said["masks"].shape == (32, 32)
    assert said["masks"][10, 10] == 2 and said["masks"][10, 14] == 1 and said["masks"][25, 25] == 0


def test_what_nobody_labelled_is_painted_over_but_no_labelled_cell():
    field = labelled()
    known = ~disc(RED[0], RED_RADIUS + 1) & ~disc(WHITE, 4)
    only = field.cells.only(np.arange(4) > 0)
    shown = training.painted_over(scene_of(only, field.image, known)).image
    assert np.abs(shown[disc(RED[0], RED_RADIUS + 2)].astype(int) - GROUND).max() <= 1
    assert (shown[disc(WHITE, 20)] == field.image[disc(WHITE, 20)]).all()
    assert (field.image[28, 26] == PINK).all()


def test_it_trains_in_epochs_and_goes_on_after_a_stop(tmp_path):
    recipe = training.Recipe(side=64, epochs=2, steps=2, batch=2)
    training.Trainer(recipe, [labelled()], tmp_path).run_epoch(0)
    network = training.train(recipe, [labelled()], tmp_path, workers=0)
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["epoch"] == 2 and not network.training
    with pytest.raises(ValueError, match="multiple of 32"):
        training.Trainer(training.Recipe(side=100), [labelled()], tmp_path)


def test_windows_without_a_cell_can_be_learnt_from(tmp_path):
    recipe = training.Recipe(side=64, epochs=1, steps=1)
    trainer = training.Trainer(recipe, [labelled()], tmp_path)
    nothing = labelled().cells.only(np.zeros(4, np.bool_))
    lost = trainer.step(training.together([window(scene_of(nothing, side=64))] * 2))
    assert all(torch.isfinite(part) for part in lost.values()) and lost["box_loss"] == 0


def test_without_its_library_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    yolo.imported.cache_clear()
    with pytest.raises(NetworkUnavailable, match="AGPL-3.0.*pip install --no-deps -r requirements-yolo.txt"):
        yolo.Yolo11Seg(tmp_path)


def test_without_weights_it_says_how_to_make_them(learnt, tmp_path):
    with pytest.raises(NetworkUnavailable) as raised:
        yolo.Yolo11Seg(tmp_path)
    command = "python -m inference.training segmentation --engine yolo11_seg --data DIR --out DIR"
    assert command in raised.value.text and "ships without weights" in raised.value.text
    for name in ("segmentation_yolo11_seg.safetensors", "segmentation_yolo11_seg.json", str(tmp_path)):
        assert name in raised.value.text
    for path in learnt.glob("segmentation_yolo11_seg.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "segmentation_yolo11_seg.safetensors").open("ab") as weights:
        weights.write(b"more")
    with pytest.raises(NetworkUnavailable, match="sha256"):
        yolo.Yolo11Seg(tmp_path)


def test_importing_its_library_is_quiet_offline_and_changes_nothing_else(tmp_path):
    code = (
        "import os, cv2, torch, PIL.Image as pillow; cv2.setNumThreads(3); before = dict(os.environ)\n"
        "own = lambda: (pillow.open, torch.save, torch.load, cv2.imread, cv2.imwrite, cv2.imshow)\n"
        "originals = own()\n"
        "from inference.pipeline.segmentation_yolo import build, imported\n"
        "build()\n"
        "assert dict(os.environ) == before and cv2.getNumThreads() == 3\n"
        "assert not imported('utils').ONLINE\n"
        "assert own() == originals\n"
    )
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    ended = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
