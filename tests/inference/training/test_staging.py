"""Training of a staging network: augmentation, split, one short run from folder to card, evaluation."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from django.core.management import CommandError, call_command
from PIL import Image

from benchmarks import staging_networks
from inference.pipeline import stain
from inference.pipeline.analyse import analyse
from inference.pipeline.config import STAGES_OF_LEUKEMIA, Config
from inference.pipeline.findings import Kind, Method
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.staging import STAIN, STAINS
from inference.training import evaluate_staging, staging_card, staging_cells, staging_run
from inference.training.__main__ import main
from inference.training.labels import Choice
from inference.training.perturb import KINDS
from inference.training.staging import Recipe, chances
from inference.training.staging_augmentation import Lent, Stain, augment
from inference.training.staging_cells import Counted
from inference.training.staging_fields import CHOOSE, FOLDER, LEARN, LENDERS, NAMES, TEST, part_of, read

CARD = {
    "name": "staging",
    "version": "0",
    "sha256": "0",
    "architecture": "mobilenetv3_lstm",
    "input": {
        "side": 64,
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "preprocessing": "",
        "views": {"as_is": 1.0},
        "half_turn": False,
        "field": {"width_um": 86.8, "height_um": 69.4, "window_px": 188, "image_px": 224},
    },
    "labels": list(STAGES_OF_LEUKEMIA),
    "temperature": 1.0,
    "thresholds": {
        "abstain_below": 0.6,
        "fields": 3,
        "nucleated_cells": 2,
        "least_blasts": 0.0,
        "most_blasts": 0.4,
    },
    "explanation_layer": "reader.norm",
}
"""A complete card but for the range of colours, for networks whose answers are known."""

SHORT = ["--epochs", "1", "--draws", "8", "--batch", "4", "--side", "64", "--workers", "0"]
FIELDS = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A set of fields, of which each stage has its number of dark discs, and images that lend their stain."""
    folder = tmp_path_factory.mktemp("data")
    rows = [["file", "label", "neardup_group", "index_block", "fold", "split"]]
    for stage, name in enumerate(NAMES):
        for number in range(FIELDS):
            file, fold = f"{name}/{number}.png", number % 4
            save(folder / FOLDER / file, field(stage, number))
            rows.append(
                [file, name, file, 12 if number == 2 else fold, fold, "val" if fold == 3 else "train"]
            )
    write(folder / FOLDER / "index.csv", rows)
    for name in LENDERS:
        save(folder / name / "a.png", field(1, 99))
        write(folder / name / "index.csv", [["file", "split"], ["a.png", "train"]])
    return folder


def field(discs, seed):
    rng = np.random.default_rng((discs, seed))
    image = rng.integers(200, 240, (224, 224, 3)).astype(np.uint8)
    rows, columns = np.mgrid[:224, :224]
    for x, y in rng.integers(30, 160, (3 + 2 * discs, 2)):
        image[(rows - y) ** 2 + (columns - x) ** 2 < 120] = (110, 60, 150)
    image[188:, 188:] = 60 * discs
    return image


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write(path, rows):
    with path.open("w", newline="") as lines:
        csv.writer(lines).writerows(rows)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The folder of one short training; counting cells, which takes seconds a field, is left out."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging_cells, "_counted", lambda file: Counted(5, 4, 1))
        patch.setattr(staging_card, "SCALE_FIELDS", 2)
        arguments = ["staging", "--data", str(data), "--out", str(out), "--arch", "mobilenetv3_lstm", *SHORT]
        assert main(arguments) == 0
    return out


def test_parts_do_not_overlap_and_fold_3_is_never_learnt_from():
    row = {"split": "train", "fold": "2", "index_block": "12"}
    assert part_of(row) == CHOOSE and part_of({**row, "fold": "1"}) == LEARN
    assert part_of({**row, "index_block": "7"}) == LEARN
    assert part_of({**row, "split": "val", "fold": "3"}) == TEST


def test_the_corner_is_never_read(data):
    assert read(data, LEARN).images.shape[1:] == (188, 188, 3)
    assert len(read(data, CHOOSE).labels) == 4 and len(read(data, TEST).labels) == 12


def test_augmentation_moves_a_field_to_the_stain_it_is_lent():
    light, dark = (np.full((188, 188, 3), level, np.uint8) for level in (220, 90))
    noise = np.random.default_rng(0).integers(-20, 20, light.shape)
    light, dark = ((image + noise).clip(0, 255).astype(np.uint8) for image in (light, dark))
    seen = {}
    for name, lender in (("light", light), ("dark", dark)):
        lent = Lent([Stain.of(lender)], [Stain.of(lender)])
        seen[name] = [augment(light, 64, np.random.default_rng(seed), lent).mean() for seed in range(20)]
    assert np.median(seen["dark"]) < np.median(seen["light"]) - 60
    again = augment(light, 64, np.random.default_rng(0), Lent([Stain.of(dark)], [Stain.of(dark)]))
    assert again.shape == (64, 64, 3) and again.mean() == seen["dark"][0]


def test_rare_stages_are_drawn_more_often_than_they_are():
    drawn = chances(np.array([0] * 4 + [1] * 16), 0.5)
    assert drawn.sum() == pytest.approx(1) and drawn[:4].sum() == pytest.approx(1 / 3)


def test_the_side_grows_in_the_second_half():
    recipe = Recipe(epochs=36, side=160, first_side=128)
    assert [recipe.side_at(epoch) for epoch in (0, 18, 26, 27, 35)] == [128, 128, 128, 160, 160]


def test_one_command_makes_a_network_and_a_card_that_belong_together(trained, network, data):
    card = registry.read_card("staging", trained)
    assert card.labels == STAGES_OF_LEUKEMIA and card.input.side == 64
    assert card.text["thresholds"]["nucleated_cells"] == 5 and card.text["thresholds"]["least_blasts"] == 0.25
    assert card.text["metrics"][0]["n"] == 4
    assert all(card.heat_strength(method) > 0 for method in Method)
    fields = read(data, TEST).images[:2]
    logits = network.predict(runtime.prepare(list(fields), card.input))
    assert logits.shape == (2, 4) and np.isfinite(logits).all()


def test_a_training_is_resumed_but_not_with_another_recipe(trained, data, caplog, monkeypatch):
    monkeypatch.setattr(staging_card, "SCALE_FIELDS", 2)
    arguments = ["staging", "--data", str(data), "--out", str(trained), *SHORT]
    before = (trained / "staging.safetensors").read_bytes()
    with caplog.at_level("INFO"):
        assert main(arguments) == 0
    assert "resumed after epoch 1" in caplog.text
    assert (trained / "staging.safetensors").read_bytes() == before
    with pytest.raises(ValueError, match="another recipe"):
        main([*arguments, "--seed", "2"])


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(SystemExit, match=FOLDER):
        main(["staging", "--data", str(tmp_path), "--out", str(tmp_path / "out")])


@pytest.fixture(scope="module")
def network(trained):
    """The network of the short training."""
    return runtime.Network(registry.read_card("staging", trained))


@pytest.fixture
def shipped(network, monkeypatch):
    """The short training's network in place of the product's."""
    load = runtime.load
    monkeypatch.setattr(runtime, "load", lambda name, *at: network if name == "staging" else load(name, *at))
    return network


def evaluated(folder, target, **options):
    call_command("evaluate", "staging", str(folder), json=target, **options)
    return json.loads(target.read_text())


def test_evaluate_gives_the_fixed_figures(shipped, data, tmp_path):
    figures = evaluated(data / FOLDER, tmp_path / "f.json", split="val", predictions=tmp_path / "p.csv")
    assert figures["n"] == 12 and set(figures["labels"]) == set(STAGES_OF_LEUKEMIA)
    wanted = {"accuracy", "balanced_accuracy", "macro_f1", "per_class", "confusion", "ece", "coverage"}
    assert wanted | {"accuracy_covered", "card"} <= figures.keys()
    assert np.sum(figures["confusion"]) == 12 and figures["card"]["sha256"] == shipped.card.sha256
    lines = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert len(lines) == 12 and lines[0]["truth"] == "benign"


def test_evaluate_measures_the_network_that_the_settings_name(trained, data, tmp_path, settings):
    settings.STAGING_NETWORK = str(trained)
    figures = evaluated(data / FOLDER, tmp_path / "f.json", where=["label=Pre", "fold=3"])
    assert figures["card"]["sha256"] == registry.read_card("staging", trained).sha256


def test_evaluate_under_perturbation_keeps_the_clean_figures(shipped, data, tmp_path):
    figures = evaluated(data / FOLDER, tmp_path / "f.json", split="val", perturb="stain")
    assert figures["perturbation"] == "stain" and figures["clean"]["n"] == figures["n"] == 12


def test_evaluate_lists_what_it_skips(shipped, tmp_path):
    save(tmp_path / "d" / "pre_b" / "a.png", field(2, 1))
    save(tmp_path / "d" / "pre_b" / "small.png", field(2, 1)[:60, :60])
    (tmp_path / "d" / "pre_b" / "broken.png").write_bytes(b"no image")
    figures = evaluated(tmp_path / "d", tmp_path / "f.json")
    assert figures["n"] == 1
    assert [one["file"] for one in figures["skipped"]] == ["pre_b/broken.png", "pre_b/small.png"]


def test_evaluate_refuses_folders_that_are_no_stages(tmp_path):
    save(tmp_path / "d" / "Pre" / "a.png", field(2, 1))
    with pytest.raises(CommandError, match="benign, early_pre_b, pre_b, pro_b"):
        evaluated(tmp_path / "d", tmp_path / "f.json")
    with pytest.raises(CommandError, match="--classes belongs to evaluate wbc"):
        evaluated(tmp_path / "d", tmp_path / "f.json", classes="benign")


def test_the_corner_does_not_change_a_call(shipped):
    image = field(2, 7)
    painted = image.copy()
    painted[188:, :] = painted[:, 188:] = 0
    first, second, turned = (
        evaluate_staging.staged(evaluate_staging.cut(one, shipped.card), shipped)
        for one in (image, painted, np.rot90(image, 2).copy())
    )
    assert first == second != turned


@pytest.mark.parametrize("perturbation", [None, *KINDS])
def test_no_perturbation_carries_the_corner_into_the_network(perturbation, shipped, tmp_path, monkeypatch):
    """Pixels beyond the field change nothing of what the network is shown, those within do."""
    image = field(2, 7)
    beyond, within = image.copy(), image.copy()
    beyond[188:, :] = beyond[:, 188:] = 0
    within[187, 187] = 0
    shown, predict = [], shipped.predict
    monkeypatch.setattr(shipped, "predict", lambda batch: shown.append(batch) or predict(batch))
    for number, pixels in enumerate((image, beyond, within)):
        save(tmp_path / str(number) / "pre_b" / "a.png", pixels)
        evaluate_staging.measure(evaluate_staging.listed(tmp_path / str(number), Choice()), perturbation)
    assert np.array_equal(shown[0], shown[1]) and not np.array_equal(shown[0], shown[2])


def test_no_change_of_the_benchmark_carries_the_corner_into_a_field(monkeypatch):
    reference = stain.Reference((160.0, 150.0, 120.0), (20.0, 8.0, 6.0))
    monkeypatch.setattr(staging_networks, "references", lambda data: [("a laboratory", reference)])
    image = field(2, 7)
    painted = image.copy()
    painted[188:, :] = painted[:, 188:] = 0
    changes = dict(staging_networks.changes(Path()))
    assert len(changes) == 6
    for change in changes.values():
        first, second = staging_networks.changed([image], change), staging_networks.changed([painted], change)
        assert np.array_equal(first, second)


def test_cells_are_counted_once(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(staging_cells, "_counted", lambda file: asked.append(file) or Counted(3, 2, 1))
    for _ in range(2):
        assert staging_cells.counted([tmp_path / "a.jpg"], tmp_path / "cells.json") == [Counted(3, 2, 1)]
    assert len(asked) == 1


def test_red_cells_are_no_nucleated_cells(tmp_path):
    with Image.open(Path(__file__).parents[3] / "samples" / "synthetic_field.png") as sample:
        sample.convert("RGB").crop((0, 0, 224, 224)).save(tmp_path / "a.png")
    cells = analyse(tmp_path / "a.png", Config(), lambda stage, share: None).cells
    named = [cell.instance.kind for cell in cells if cell.call]
    assert Kind.RBC in named
    (of,) = staging_cells.counted([tmp_path / "a.png"], tmp_path / "cells.json")
    assert of.nucleated <= named.count(Kind.WBC)


def test_limits_come_from_the_cells_of_training_fields(data, tmp_path):
    known = {f"{number}.png": [6, 4, 0 if number % 2 else 2] for number in range(FIELDS)}
    (tmp_path / "cells.json").write_text(json.dumps(known))
    limits = staging_run._cell_limits(data, tmp_path)
    assert limits["nucleated_cells"] == 6 and limits["least_blasts"] == 0.0 and limits["most_blasts"] == 0.5


def test_a_training_starts_from_another_and_stops_before_its_end(trained, data, tmp_path, monkeypatch):
    monkeypatch.setattr(staging_cells, "_counted", lambda file: Counted(5, 4, 1))
    monkeypatch.setattr(staging_card, "SCALE_FIELDS", 2)
    arguments = ["staging", "--data", str(data), "--out", str(tmp_path), *SHORT[2:], "--start", str(trained)]
    assert main([*arguments, "--epochs", "2", "--stop-after", "1"]) == 0
    training = registry.read_card("staging", tmp_path).text["training"]
    assert training["start"] == registry.read_card("staging", trained).sha256
    assert (training["epochs"], training["stopped_after"]) == (2, 1)
    with pytest.raises(SystemExit, match="holds a mobilenetv3_lstm"):
        main([*arguments, "--arch", "xception_bigru"])
    with pytest.raises(SystemExit, match="sees fields through own"):
        main([*arguments, "--stain", "grey"])


@pytest.mark.parametrize("stain", [name for name in STAINS if name != STAIN])
def test_a_card_says_what_its_network_sees_a_field_through(stain, data, tmp_path, monkeypatch):
    monkeypatch.setattr(staging_cells, "_counted", lambda file: Counted(5, 4, 1))
    monkeypatch.setattr(staging_card, "SCALE_FIELDS", 2)
    assert main(["staging", "--data", str(data), "--out", str(tmp_path), *SHORT, "--stain", stain]) == 0
    card = registry.read_card("staging", tmp_path)
    assert card.stain == stain == card.text["training"]["stain"]
    network, batch = runtime.Network(card), runtime.prepare(list(read(data, TEST).images[:2]), card.input)
    assert isinstance(network.module.network.stain, STAINS[stain])
    with torch.inference_mode():
        wanted = network.module(torch.from_numpy(batch)).numpy()
    assert np.allclose(network.predict(batch), wanted, atol=0.05)


def test_a_card_that_does_not_say_means_each_channels_own_stain(trained):
    assert registry.parsed(CARD, trained).stain == STAIN == registry.read_card("staging", trained).stain


def test_a_card_has_the_version_of_its_architecture_and_what_colour_alone_tells(data, monkeypatch):
    monkeypatch.setattr(staging_card, "SCALE_FIELDS", 2)
    fields = read(data, LEARN), read(data, CHOOSE)
    for architecture, version in (("efficientnet_lite0_lstm", "2.0.0"), ("mobilenetv3_lstm", "1.0.0")):
        text = staging_card.draft(Recipe(architecture=architecture), 1, "0", fields)
        assert text["version"] == version
    assert 0.859 in [metric["accuracy"] for metric in text["metrics"]]
    assert all(metric["command"] and metric["n"] for metric in text["metrics"])
