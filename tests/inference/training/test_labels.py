import numpy as np
import pytest
from PIL import Image

from inference.pipeline.config import WBC_CLASSES
from inference.training.labels import SUBTYPES, Choice, Sample, listing, samples, taxonomy_class


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)


def test_subtypes_lead_into_the_taxonomy():
    assert set(SUBTYPES.values()) <= set(WBC_CLASSES)
    assert taxonomy_class("promonocyte") == "blast"
    assert taxonomy_class("monocyte") == "monocyte"
    assert taxonomy_class("plasma_cell") is None


def test_unknown_folder_name_is_refused(tmp_path):
    picture(tmp_path / "neutrofil" / "a.png")
    with pytest.raises(ValueError, match="neutrofil"):
        samples(tmp_path)


def test_folders_are_read_in_order_and_mapped(tmp_path):
    for name in ("monocyte/b.png", "monocyte/a.jpg", "band_neutrophil/c.bmp", "plasma_cell/d.png"):
        picture(tmp_path / name)
    (tmp_path / "monocyte" / "notes.txt").write_text("not an image")
    found = [(sample.path.name, sample.label) for sample in samples(tmp_path)]
    assert found == [("c.bmp", "neutrophil"), ("a.jpg", "monocyte"), ("b.png", "monocyte")]


def test_split_reads_the_index(tmp_path):
    (tmp_path / "index.csv").write_text("file,label,split\nx/1.jpg,smudge,val\nx/2.jpg,blast,train\n")
    assert [(s.path, s.label) for s in samples(tmp_path, "val")] == [(tmp_path / "x/1.jpg", "artifact")]
    with pytest.raises(FileNotFoundError, match="test"):
        samples(tmp_path, "test")


def test_real_index_has_every_trained_class(wbc_data):
    labels = {s.label for name in ("wbc_pbc", "wbc_apl") for s in samples(wbc_data / name, "train")}
    assert labels == set(WBC_CLASSES)


def index(folder, text, name="index.csv"):
    (folder / name).write_text(text)


def test_rows_are_chosen_by_any_column(tmp_path):
    index(tmp_path, "file,label,split,part\n1.jpg,blast,val,a\n2.jpg,blast,val,b\n3.jpg,blast,train,b\n")
    chosen = listing(tmp_path, Choice.of("val", ["part=b"])).samples
    assert [sample.path.name for sample in chosen] == ["2.jpg"]
    with pytest.raises(ValueError, match="no column colour; its columns are file, label, split, part"):
        listing(tmp_path, Choice.of(None, ["colour=red"]))
    with pytest.raises(FileNotFoundError, match="split “test”; split is train or val"):
        listing(tmp_path, Choice.of("test"))
    with pytest.raises(ValueError, match="COLUMN=VALUE"):
        Choice.of(None, ["part"])


def test_an_index_of_fields_gives_boxes_and_smears(tmp_path):
    index(tmp_path, "file,label,smear,box_x0_y0_x1_y1\nf.jpg,blast,s1,1.0 2.0 30 40\n", "cells.csv")
    (sample,) = listing(tmp_path, Choice(index="cells.csv")).samples
    assert sample == Sample(tmp_path / "f.jpg", "blast", (1.0, 2.0, 30.0, 40.0), group="s1")
    for box in ("1 2 3", "30 2 1 40", "a b c d"):
        index(tmp_path, f"file,label,box_x0_y0_x1_y1\nf.jpg,blast,{box}\n", "cells.csv")
        with pytest.raises(ValueError, match="f.jpg"):
            listing(tmp_path, Choice(index="cells.csv"))


def test_what_is_left_out_is_listed_with_its_reason(tmp_path):
    for name in ("monocyte/a.jpg", "plasma_cell/d.png", "loose.png"):
        picture(tmp_path / name)
    (tmp_path / "blast").mkdir()
    (tmp_path / "monocyte" / "deeper").mkdir()
    (tmp_path / "monocyte" / "notes.txt").write_text("no image")
    (tmp_path / "monocyte" / ".DS_Store").write_text("")
    found = listing(tmp_path)
    assert [sample.path.name for sample in found.samples] == ["a.jpg"]
    reasons = {skipped.file: skipped.reason for skipped in found.skipped}
    assert set(reasons) == {"loose.png", "blast", "monocyte/deeper", "monocyte/notes.txt", "plasma_cell"}
    assert reasons["blast"] == "The folder holds no image."
    assert "1 labelled as it are left out" in reasons["plasma_cell"]


def test_an_empty_folder_says_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="One folder of images per class is expected"):
        listing(tmp_path)


def test_an_unknown_folder_beside_an_index_hints_at_it(tmp_path):
    index(tmp_path, "file,label\n")
    picture(tmp_path / "images" / "a.png")
    with pytest.raises(ValueError, match=r"The folder “images” is not.*index\.csv"):
        listing(tmp_path)


def test_the_published_cells_and_the_boxed_ones_are_found(wbc_data):
    assert len(listing(wbc_data / "wbc_pbc", Choice.of(None, ["seed1_split=seed1_val"])).samples) == 375
    assert len(samples(wbc_data / "wbc_ood_jiangxi", "ood_dev")) == 299
    boxed = listing(wbc_data / "fields_txl", Choice(index="wbc_raabin.csv")).samples
    assert len(boxed) == 435 and all(sample.box for sample in boxed)
    described = next(sample for sample in samples(wbc_data / "wbc_pbc", "val") if sample.attributes)
    assert len(described.attributes) == 11
