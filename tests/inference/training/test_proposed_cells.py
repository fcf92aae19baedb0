import csv

import numpy as np
import pytest
from PIL import Image

from inference.pipeline.findings import Call
from inference.pipeline.networks import registry, runtime
from inference.training import proposed_cells, staging_fields
from inference.training.__main__ import main
from inference.training.proposed_cells import (
    Origin,
    UnusableProposals,
    agreed,
    blast,
    lymphocyte,
    propose,
    read_proposed,
)
from inference.training.wbc_run import Sources
from tests.inference.pipeline.test_single_cell import cell_image

TOLD = {"name": "fields for the tests", "origin": "drawn", "licence": "For the tests."}


def said(*calls):
    return tuple(Call(label, confidence, {label: confidence}) for label, confidence in calls)


def test_a_cell_is_learnt_from_as_what_both_networks_are_sure_of():
    assert agreed(said(("monocyte", 0.8), ("monocyte", 0.99))) == "monocyte"
    assert agreed(said(("monocyte", 0.79), ("monocyte", 0.99))) is None
    assert agreed(said(("monocyte", 0.99), ("lymphocyte", 0.99))) is None


def test_a_cell_of_a_staged_field_is_named_after_the_stage_unless_a_network_sees_another_lineage():
    assert blast(said(("basophil", 0.9), ("lymphocyte", 0.3))) == "blast"
    assert blast(said(("basophil", 0.9), ("eosinophil", 0.3))) is None
    assert lymphocyte(said(("basophil", 0.9), ("lymphocyte", 0.5))) == "lymphocyte"
    assert lymphocyte(said(("basophil", 0.9), ("lymphocyte", 0.4))) is None
    assert lymphocyte(said(("lymphocyte", 0.9), ("erythroblast", 0.4))) is None


@pytest.fixture
def fields(tmp_path, monkeypatch):
    """Two fields with a cell each, one of them for training, of which every cell is a blast."""
    rows = [["file", "split"], ["a.png", "train"], ["b.png", "val"]]
    (tmp_path / "fields").mkdir()
    for name, _ in rows[1:]:
        Image.fromarray(np.asarray(cell_image(radius=45), np.uint8)).save(tmp_path / "fields" / name)
    with (tmp_path / "fields" / "index.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows(rows)
    origin = Origin("fields", lambda data: [("a.png", lambda calls: "blast")], TOLD, most=1)
    monkeypatch.setattr(proposed_cells, "ORIGINS", {"drawn": origin})
    return tmp_path


def test_proposed_cells_are_learnt_from_and_measure_nothing(fields):
    out = fields / "out"
    networks = [runtime.load(name) for name in (registry.WBC_NETWORK, registry.SECOND_NETWORK)]
    propose(fields, out, networks)
    (one,) = read_proposed(out)
    everything_held_out = ("pbc", "apl", "chula", "bcisc", "raabin")
    sources = Sources(fields, everything_held_out, proposed=(one,))
    (cell,) = sources.learnt_from()
    assert (cell.label, cell.laboratory, cell.path) == ("blast", "drawn", fields / "fields" / "a.png")
    x0, y0, x1, y1 = cell.box
    assert 80 < x1 - x0 < 160 and 80 < y1 - y0 < 160
    assert sources.cells("val") == [] and sources.cells("train") == []
    assert one.told["licence"] == "For the tests." and (one.told["cells"], len(one.sha256)) == (1, 64)


def test_a_folder_without_indexes_is_refused(tmp_path):
    with pytest.raises(UnusableProposals, match="takes the folder that python -m inference"):
        read_proposed(tmp_path)
    assert read_proposed(None) == ()


def test_cells_are_proposed_only_where_all_sets_are(tmp_path):
    with pytest.raises(SystemExit, match="no folder .*fields_txl"):
        main(["proposed", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_fields_kept_for_choosing_and_testing_a_stage_give_no_cells(monkeypatch):
    rows = [
        {"file": f"{label}.png", "label": label, "fold": "0", "index_block": "0", "split": "train"}
        for label in staging_fields.NAMES
    ]
    asked = []
    monkeypatch.setattr(staging_fields, "rows", lambda data, part: asked.append(part) or rows)
    given = dict(proposed_cells.ORIGINS["taleqani"].fields(None))
    assert asked == [staging_fields.LEARN]
    assert given == {"Benign.png": lymphocyte, "Early.png": blast, "Pre.png": blast, "Pro.png": blast}
