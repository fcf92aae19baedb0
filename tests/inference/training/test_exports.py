"""Exports of confirmed cells are checked before a training begins."""

import json

import pytest

from inference.training.exports import UnusableExport, all_laboratories, read_exports
from inference.training.laboratories import TRAIN, VAL, pixel_um
from tests.inference.training.export_folder import ROWS, write_export


def test_an_export_is_a_laboratory_of_its_own(tmp_path):
    (export,) = read_exports([write_export(tmp_path / "export")])
    *standing, own = all_laboratories([export], ("pbc",))
    assert own.name == "lab:northside" and "pbc" not in [one.name for one in standing]
    train, val = own.cells(tmp_path / "elsewhere", TRAIN), own.cells(tmp_path / "elsewhere", VAL)
    assert [cell.group for cell in (*train, *val)] == ["p0", "p1", "p2", "p3", "p4", "p5"]
    assert (len(train), len(val)) == (4, 2) and train[0].path == tmp_path / "export" / "cells" / "0.png"
    assert {pixel_um(cell) for cell in train} == {0.1} and train[0].box is not None
    assert export.told["manifest_sha256"] == export.sha256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"row0": {"patient": "p5"}}, "patient p5 is in both parts"),
        ({"row0": {"sha1": "0" * 40}}, "0.png is missing, or not the picture"),
        ({"row1": {"label": "neutrofil"}}, "“neutrofil” is not a class of white cells"),
        ({"row1": {"pixel_um": "fine"}}, "“fine” of cells/1.png is no size of a pixel"),
        ({"row1": {"box_x0_y0_x1_y1": "1 2 3"}}, "is no box"),
        ({"rows": ROWS[:2]}, "has no cells for training"),
        ({"row4": {"split": "test"}, "row5": {"split": "test"}}, "has no cells for validation"),
    ],
)
def test_what_is_wrong_with_an_export_is_said(tmp_path, changes, said):
    folder = write_export(tmp_path / "export", **changes)
    with pytest.raises(UnusableExport, match=said):
        read_exports([folder])


def test_an_export_that_was_cut_off_or_changed_is_refused(tmp_path):
    folder = write_export(tmp_path / "export")
    with (folder / "index.csv").open("a") as index:
        index.write("cells/9.png,blast,train,p9,,,0\n")
    with pytest.raises(UnusableExport, match="cut off, or changed since"):
        read_exports([folder])
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["index_sha256"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UnusableExport, match="cut off, or changed since"):
        read_exports([folder])
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(UnusableExport, match="holds no export of confirmed cells"):
        read_exports([folder])


def test_two_exports_share_neither_a_name_nor_a_picture_across_the_parts(tmp_path):
    one, same = write_export(tmp_path / "one"), write_export(tmp_path / "same")
    with pytest.raises(UnusableExport, match="hold exports of lab:northside"):
        read_exports([one, same])
    turned = [(label, f"p{5 - number}") for number, (label, _) in enumerate(ROWS)]
    other = write_export(tmp_path / "other", turned, "harbour")
    with pytest.raises(UnusableExport, match=r"picture \w+ is in both parts"):
        read_exports([one, other])
