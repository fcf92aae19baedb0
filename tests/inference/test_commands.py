import csv
import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from tests.inference.pipeline.test_single_cell import cell_image

SAMPLE = Path(__file__).parents[2] / "samples" / "synthetic_field.png"
FIGURES = {
    "n", "accuracy", "balanced_accuracy", "macro_f1", "per_class", "labels", "confusion", "ece", "coverage",
    "accuracy_covered", "card",
}  # fmt: skip


@pytest.fixture
def labelled(tmp_path) -> Path:
    """Three images of cells in two class folders."""
    folder = tmp_path / "cells"
    for name, radius in (("lymphocyte/a", 40), ("lymphocyte/b", 50), ("band_neutrophil/c", 60)):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(cell_image(radius=radius)).save(path)
    return folder


def evaluate(what: str, folder: Path, target: Path, **options) -> dict:
    call_command("evaluate", what, str(folder), json=target, **options)
    return json.loads(target.read_text())


def test_analyse_writes_payload_and_overlay_without_a_database(tmp_path):
    call_command("analyse", str(SAMPLE), out=tmp_path / "out")
    document = json.loads((tmp_path / "out" / "synthetic_field.json").read_text())
    assert document["image_id"] == "synthetic_field.png"
    assert document["ruo"] is True
    assert document["summary"]["total_cells"] > 50
    assert document["networks"][0]["name"] == "wbc"
    assert {"wbc_differential", "rbc_analysis", "staging", "cell_detections", "uncertain_cases"} <= set(
        document
    )
    overlay = np.asarray(Image.open(tmp_path / "out" / "synthetic_field.overlay.png"))
    assert overlay.shape == np.asarray(Image.open(SAMPLE).convert("RGB")).shape


def test_analyse_goes_on_after_a_bad_image_and_says_so(tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    with pytest.raises(CommandError, match="1 of 2"):
        call_command("analyse", str(bad), str(SAMPLE), out=tmp_path / "out")
    assert (tmp_path / "out" / "synthetic_field.json").exists()


def test_evaluate_wbc_has_the_fixed_shape(labelled, tmp_path):
    figures = evaluate("wbc", labelled, tmp_path / "f.json", predictions=tmp_path / "p.csv")
    assert set(figures) >= FIGURES
    assert figures["n"] == 3
    assert figures["per_class"]["neutrophil"]["support"] == 1
    assert np.array(figures["confusion"]).sum() == 3
    assert set(figures["card"]) == {"name", "version", "sha256"}
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert [row["file"] for row in rows] == ["band_neutrophil/c.png", "lymphocyte/a.png", "lymphocyte/b.png"]
    assert figures["accuracy"] == pytest.approx(sum(row["truth"] == row["call"] for row in rows) / 3)


def test_declared_classes_rule_out_the_others(labelled, tmp_path):
    figures = evaluate("wbc", labelled, tmp_path / "f.json", classes="lymphocyte,neutrophil")
    assert set(figures["labels"]) <= {"lymphocyte", "neutrophil"}
    with pytest.raises(CommandError, match="dragon"):
        evaluate("wbc", labelled, tmp_path / "f.json", classes="dragon")


def test_perturbed_figures_stand_beside_the_clean_ones(labelled, tmp_path):
    figures = evaluate("wbc", labelled, tmp_path / "f.json", perturb="blur")
    assert figures["perturbation"] == "blur"
    assert set(figures["clean"]) >= FIGURES


def test_an_unknown_class_folder_is_refused(labelled, tmp_path):
    (labelled / "neutrofil").mkdir()
    with pytest.raises(CommandError, match="neutrofil"):
        evaluate("wbc", labelled, tmp_path / "f.json")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CommandError, match="not a folder"):
        evaluate("wbc", tmp_path / "nowhere", tmp_path / "f.json")


def test_evaluate_segmentation_has_the_fixed_shape(tmp_path):
    folder = tmp_path / "fields"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    (folder / "classes.txt").write_text("WBC\nRBC\nplatelet\n")
    Image.fromarray(cell_image()).save(folder / "images" / "a.png")
    (folder / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    figures = evaluate("segmentation", folder, tmp_path / "f.json", perturb="scale")
    assert set(figures) == {"WBC", "perturbation", "clean"}
    assert set(figures["WBC"]) == {"n", "precision", "recall", "mean_iou", "ap50", "count_error"}
    assert figures["clean"]["WBC"]["recall"] == 1.0
    with pytest.raises(CommandError, match="evaluate wbc"):
        evaluate("segmentation", folder, tmp_path / "f.json", classes="WBC")


def test_benchmark_times_every_stage_beside_its_reference(tmp_path, capsys):
    small = tmp_path / "small.png"
    Image.open(SAMPLE).convert("RGB").crop((0, 0, 500, 400)).save(small)
    call_command("benchmark", json=tmp_path / "b.json", image=small)
    figures = json.loads((tmp_path / "b.json").read_text())
    named = {stage["stage"] for stage in figures["stages"]}
    assert named >= {"quality checks", "stain, Macenko, applied", "MEF v1 of one cell", "segmentation"}
    for stage in figures["stages"]:
        assert stage["product"]["ms"] > 0 and stage["plain"]["ms"] > 0 and stage["plain"]["what"]
        assert stage["times_faster"] > 0
    assert figures["analysis"]["ms"] > 0
    assert "whole analysis" in capsys.readouterr().out


def test_real_cells_of_the_training_laboratory_are_mostly_right(wbc_data, tmp_path):
    rows = [
        row for row in csv.DictReader((wbc_data / "wbc_pbc" / "index.csv").open()) if row["split"] == "val"
    ]
    for row in rows[:: len(rows) // 24]:
        target = tmp_path / "cells" / row["label"] / Path(row["file"]).name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(wbc_data / "wbc_pbc" / row["file"])
    assert evaluate("wbc", tmp_path / "cells", tmp_path / "f.json")["accuracy"] >= 0.8
