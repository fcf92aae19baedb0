"""What a card says about the training cells' embedding, and that it is measured as the product sees cells."""

from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from inference.pipeline.classification import classify
from inference.pipeline.networks import registry, runtime
from inference.training import embedding_reference
from inference.training.embedding_reference import described
from inference.training.evaluate_wbc import cut_squares, views_of
from inference.training.labels import Sample
from inference.training.laboratories import LABORATORIES, TRAIN


def mean_of(told):
    return np.frombuffer(b64decode(told["mean"]), "<f2").astype(float)


def test_a_class_is_told_by_its_direction_and_how_far_its_cells_stray():
    turned = np.deg2rad(np.arange(-50.0, 51.0))
    fan = np.stack([np.cos(turned), np.sin(turned)], axis=1)
    cells = np.concatenate([7 * fan, [[0.0, 2.0]]]).astype(np.float32)
    told = described(cells, ["blast"] * 101 + ["monocyte"])
    assert (told["dimension"], list(told["classes"])) == (2, ["blast", "monocyte"])
    blast, monocyte = told["classes"].values()
    assert (blast["n"], monocyte["n"]) == (101, 1)
    np.testing.assert_allclose(mean_of(blast), [1, 0], atol=1e-3)
    expected = np.quantile(np.cos(turned), [0.05, 0.5, 0.95])
    np.testing.assert_allclose(blast["similarity"], expected, atol=1e-3)
    np.testing.assert_allclose(mean_of(monocyte), [0, 1], atol=1e-3)
    assert monocyte["similarity"] == pytest.approx([1, 1, 1])


def test_of_a_large_class_some_cells_are_taken_from_all_over_the_list(monkeypatch):
    cells = [Sample(Path(f"{place}.png"), "blast" if place % 10 else "monocyte") for place in range(100)]
    monkeypatch.setattr(embedding_reference, "MOST", 5)
    taken = embedding_reference._evenly(cells)
    assert [cell.label for cell in taken].count("blast") == 5
    monocytes = [int(cell.path.stem) for cell in taken if cell.label == "monocyte"]
    assert monocytes == [0, 20, 40, 60, 90]


def test_real_cells_go_the_products_way(wbc_data, monkeypatch):
    listed = LABORATORIES["pbc"].cells(wbc_data, TRAIN)
    cells = [cell for name in ("eosinophil", "platelet") for cell in listed if cell.label == name]
    monkeypatch.setattr(embedding_reference, "MOST", 3)
    monkeypatch.setattr(embedding_reference, "CELLS_AT_ONCE", 4)
    network = runtime.load(registry.WBC_NETWORK)
    told = embedding_reference.embedding_reference(cells, network)["classes"]
    squares = cut_squares(embedding_reference._evenly(cells), network.card)
    calls = classify(views_of(squares), network)
    for place, name in enumerate(("eosinophil", "platelet")):
        own = np.stack([call.embedding for call in calls[3 * place : 3 * place + 3]]).astype(float)
        assert told[name]["n"] == 3
        assert mean_of(told[name]) @ own.mean(axis=0) / np.linalg.norm(own.mean(axis=0)) > 0.999
        assert told[name]["similarity"][0] > mean_of(told[name]) @ mean_of(
            told["platelet" if not place else "eosinophil"]
        )
