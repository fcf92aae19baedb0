"""What the large engines are taught, and their training from the command line to weights and card."""

import json

import numpy as np
import pytest
from PIL import Image

from inference.pipeline.networks import registry
from inference.pipeline.networks.runtime import Network
from inference.pipeline.segmentation_rcnn import Htc, MaskRcnnSwin
from inference.training import segmentation_rcnn_run
from inference.training.__main__ import main
from inference.training.segmentation_rcnn import Recipe, Trainer, Windows, painted_over, targets_of, train
from inference.training.segmentation_run import FOLDERS
from inference.training.segmentation_scenes import Scene
from tests.inference.training.test_segmentation import drawn, labelled, round_cells, scene_of

TINY = {"side": 96, "epochs": 2, "steps": 2, "batch": 2}


def test_targets_are_boxes_labels_masks_and_areas():
    targets = targets_of(scene_of(round_cells((2, (50, 30), 5), (0, (41, 50), 18), (1, (90, 80), 12))))
    assert targets["labels"].tolist() == [1, 2, 3]
    assert targets["boxes"].numpy() == pytest.approx(
        np.array([(23, 32, 59, 68), (78, 68, 96, 92), (45, 25, 55, 35)]), abs=0.01
    )
    assert targets["masks"].shape == (3, 96, 96)
    assert targets["masks"][0].sum() == pytest.approx(np.pi * 18**2, rel=0.02)
    areas = targets["areas"].numpy()
    assert (areas[50, 41], areas[80, 90], areas[30, 50], areas[5, 5]) == (1, 2, 3, 0)
    # The platelet lies on the red cell's edge.
    assert areas[34, 48] == 3 and targets["masks"][0, 34, 48] == 1


def test_a_window_without_cells_has_empty_targets():
    cells = round_cells((0, (41, 50), 18))
    targets = targets_of(scene_of(cells.only(np.zeros(1, np.bool_))))
    assert targets["boxes"].shape == (0, 4) and targets["masks"].shape == (0, 96, 96)
    assert targets["areas"].max() == 0


def test_what_nobody_labelled_is_painted_in_the_colour_of_the_ground():
    scene = scene_of(round_cells((0, (30, 30), 18)))
    image = np.full((96, 96, 3), (240, 230, 220), np.uint8)
    image[20:40, 20:40], image[60:80, 60:80] = (200, 100, 100), (90, 40, 120)
    known = np.ones((96, 96), np.bool_)
    known[58:82, 58:82] = known[30:40, 30:40] = False
    painted = painted_over(Scene(image, scene.cells, known, scene.inside)).image
    assert (painted[55:85, 55:85] == (240, 230, 220)).all()
    assert (painted[20:40, 20:40] == (200, 100, 100)).all()
    assert image[70, 70, 0] == 90


def test_windows_show_no_stain_without_a_target():
    windows = Windows([labelled(red=[(60, 60), (160, 60)])], Recipe(side=160, steps=4, batch=2), 0)
    for position in range(8):
        window = windows[position]
        dark = window["pixels"].numpy().min(axis=2)
        ground = np.median(dark[dark > 0])
        stained = (dark < ground - 45) & (dark > 0)
        outside = stained & (window["areas"].numpy() == 0)
        assert outside.sum() < 0.1 * max(stained.sum(), 500)


@pytest.mark.parametrize("architecture", ["maskrcnn_resnet10_32", "htc_resnet10_32"])
def test_a_training_goes_on_after_a_stop(architecture, tmp_path):
    recipe = Recipe(architecture, **TINY)
    half = Trainer(recipe, [labelled()], tmp_path)
    first = half.run_epoch(0)
    assert all(np.isfinite(list(first.values())))
    network = train(recipe, [labelled()], tmp_path, workers=0)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [2] and first.keys() <= lines[0].keys()
    assert not network.training
    with pytest.raises(ValueError, match="another recipe"):
        Trainer(Recipe(architecture, seed=2, **TINY), [labelled()], tmp_path).resume()


def test_sides_that_the_network_cannot_halve_are_refused(tmp_path):
    with pytest.raises(ValueError, match="multiple of 32"):
        Trainer(Recipe("htc_resnet10_32", side=100), [labelled()], tmp_path)


@pytest.fixture
def data(tmp_path):
    """One validation field with its boxes; the other sets are empty."""
    folder = tmp_path / "fields_txl"
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(drawn()).save(folder / "images" / "a.png")
    (folder / "labels" / "a.txt").write_text("1 0.1875 0.2143 0.1625 0.1857\n")
    (folder / "classes.txt").write_text("WBC\nRBC\nplatelet\n")
    (folder / "index.csv").write_text("file,label_file,source,split\nimages/a.png,labels/a.txt,drawn,val\n")
    return tmp_path


@pytest.mark.parametrize(
    ("engine", "made_by", "architecture"),
    [("maskrcnn_swin", MaskRcnnSwin, "maskrcnn_resnet10_32"), ("htc", Htc, "htc_resnet10_32")],
)
def test_one_command_makes_what_the_engine_can_load(
    engine, made_by, architecture, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(segmentation_rcnn_run, "labelled", lambda folder: iter([labelled()]))
    out = tmp_path / "out"
    arguments = ["segmentation", "--engine", engine, "--data", str(data), "--out", str(out)]
    recipe = ["--architecture", architecture, "--epochs", "1", "--steps", "1", "--batch", "1", "--side", "96"]
    assert main([*arguments, *recipe, "--workers", "0"]) == 0
    card = registry.read_card(f"segmentation_{engine}", out)
    usual = registry.card(registry.SEGMENTATION_NETWORK)
    assert card.architecture == architecture and card.labels == usual.labels
    assert card.text["training"]["steps"] == 1 and "calibration" not in card.text
    assert set(usual.text) - set(card.text) == {"calibration"}
    (metric,) = card.text["metrics"]
    assert f"--engine {engine}" in metric["command"] and metric["RBC"]["n"] == 1
    assert made_by(Network(card)).used[0].sha256 == card.sha256
    with pytest.raises(ValueError, match=f"holds a {architecture}"):
        main([*arguments, "--start", str(out)])


def test_options_of_another_engine_are_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"htc has no boxed_epochs"):
        main(
            ["segmentation", "--engine", "htc", "--boxed-epochs", "1", "--data", str(tmp_path), "--out", "x"]
        )
