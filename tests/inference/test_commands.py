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


def test_the_laboratorys_choices_reach_the_analysis(tmp_path):
    call_command(
        "analyse",
        str(SAMPLE),
        out=tmp_path / "out",
        classes="lymphocyte,neutrophil",
        augmentation="eight",
        no_stain_normalisation=True,
        adapt_batch_statistics=True,
    )
    document = json.loads((tmp_path / "out" / "synthetic_field.json").read_text())
    called = {cell["classification"] for cell in document["cell_detections"] if cell["type"] == "WBC"}
    assert called <= {"lymphocyte", "neutrophil"}
    noted = {notice["code"] for notice in document["notices"]}
    assert {"batch_statistics_as_trained", "turns_not_of_the_card"} <= noted


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


def test_an_unknown_class_folder_is_refused_with_the_known_names(labelled, tmp_path):
    (labelled / "neutrofil").mkdir()
    with pytest.raises(CommandError, match="The folder “neutrofil” is not a class.*neutrophil, eosinophil"):
        evaluate("wbc", labelled, tmp_path / "f.json")


def test_odd_files_are_left_out_with_their_reason_and_the_rest_is_evaluated(labelled, tmp_path):
    folder, cell = labelled / "lymphocyte", Image.fromarray(cell_image())
    (folder / "text.jpg").write_bytes(b"no picture at all")
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:3000])
    Image.new("RGB", (1, 1)).save(folder / "pixel.png")
    Image.new("1", (12_000, 12_000)).save(folder / "huge.png")
    (labelled / "basophil").mkdir()
    cell.convert("L").save(folder / "grey.png")
    cell.convert("RGBA").save(folder / "alpha.png")
    cell.convert("CMYK").save(folder / "cmyk.jpg")
    figures = evaluate("wbc", labelled, tmp_path / "f.json", predictions=tmp_path / "p.csv")
    reasons = {skipped["file"]: skipped["reason"] for skipped in figures["skipped"]}
    assert {name.split("/")[-1] for name in reasons} == {
        "text.jpg", "empty.png", "cut.png", "pixel.png", "huge.png", "basophil",
    }  # fmt: skip
    assert all(reason.endswith(".") for reason in reasons.values())
    assert "1×1 px" in reasons["lymphocyte/pixel.png"] and "megapixels" in reasons["lymphocyte/huge.png"]
    assert figures["n"] == len(list(csv.DictReader((tmp_path / "p.csv").open()))) == 6


def test_a_folder_of_nothing_but_odd_files_names_the_first_reasons(tmp_path):
    for number in range(5):
        path = tmp_path / "cells" / "blast" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no picture")
    with pytest.raises(
        CommandError, match=r"None of the 5 images.*blast/0\.png: The file is damaged"
    ) as error:
        evaluate("wbc", tmp_path / "cells", tmp_path / "f.json")
    assert "blast/3.png" not in str(error.value)
    assert not (tmp_path / "f.json").exists()


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "cells").mkdir()
    with pytest.raises(CommandError, match="One folder of images per class is expected"):
        evaluate("wbc", tmp_path / "cells", tmp_path / "f.json")


def test_a_report_says_what_the_figures_say_and_how_to_repeat_them(labelled, tmp_path):
    (labelled / "basophil").mkdir()
    target = tmp_path / "new" / "f.json"
    figures = evaluate(
        "wbc",
        labelled,
        target,
        report=tmp_path / "report",
        against=[labelled],
        classes="lymphocyte,neutrophil",
    )
    page = (tmp_path / "report" / "index.html").read_text()
    assert figures["overlap"][0]["same_file"] == figures["overlap"][0]["tested"] == 3
    assert f"manage.py evaluate wbc {labelled} --json {target} --classes lymphocyte,neutrophil" in page
    assert "basophil" in page and "The folder holds no image." in page
    assert set(figures["intervals_95"]["per_class"]) == set(figures["labels"])


def test_the_other_set_of_an_overlap_is_chosen_by_its_index(labelled, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "same.png").write_bytes((labelled / "lymphocyte" / "a.png").read_bytes())
    (other / "index.csv").write_text("file,split\nsame.png,train\nnowhere.png,val\n")
    options = {"against": [other], "against_where": ["split=train"]}
    (found,) = evaluate("wbc", labelled, tmp_path / "f.json", **options)["overlap"]
    assert (found["images"], found["same_file"], found["folder"]) == (1, 1, "other")
    with pytest.raises(CommandError, match="split “test”"):
        evaluate("wbc", labelled, tmp_path / "f.json", **options | {"against_where": ["split=test"]})
    with pytest.raises(CommandError, match="nowhere is not a folder"):
        evaluate("wbc", labelled, tmp_path / "f.json", against=[tmp_path / "nowhere"])


def test_options_that_would_change_nothing_are_refused(labelled, tmp_path):
    with pytest.raises(CommandError, match="the folder that --against names"):
        evaluate("wbc", labelled, tmp_path / "f.json", against_where=["split=train"])
    with pytest.raises(CommandError, match="--engine belongs to evaluate segmentation"):
        evaluate("wbc", labelled, tmp_path / "f.json", engine="watershed")
    assert not (tmp_path / "f.json").exists()


def test_a_labelled_box_in_a_field_is_evaluated(wbc_data, tmp_path):
    """The figures of two boxes of real fields; one of a box on empty ground is counted as whole frame."""
    rows = list(csv.DictReader((wbc_data / "fields_txl" / "wbc_raabin.csv").open()))[:2]
    (tmp_path / "images").mkdir()
    for row in rows:
        (tmp_path / row["file"]).symlink_to(wbc_data / "fields_txl" / row["file"])
    rows.append(rows[0] | {"box_x0_y0_x1_y1": "0 0 30 30"})
    with (tmp_path / "boxes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    figures = evaluate("wbc", tmp_path, tmp_path / "f.json", index="boxes.csv")
    assert (figures["n"], figures["whole_frame"]) == (3, 1)
    with pytest.raises(CommandError, match="no column box"):
        evaluate("wbc", tmp_path, tmp_path / "f.json", index="boxes.csv", where=["box=1"])


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
    with pytest.raises(CommandError, match="there is no .*index.csv"):
        evaluate("segmentation", folder, tmp_path / "f.json", split="val")
    (folder / "index.csv").write_text("file,split\nimages/a.png,val\n")
    chosen = {"split": "val", "engine": "watershed"}
    assert evaluate("segmentation", folder, tmp_path / "f.json", **chosen)["WBC"]["n"] == 1
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
