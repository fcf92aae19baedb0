"""The shipped segmentation network on real fields whose cells are labelled."""

import csv
from collections import Counter

import cv2
import numpy as np
import pytest

from inference.pipeline import cells
from inference.pipeline.findings import Kind
from inference.pipeline.networks import registry, runtime
from inference.pipeline.segmentation import estimate_pixel_um, segment
from inference.training.evaluate_segmentation import evaluate, read_rgb


def validation(wbc_data, source):
    with (wbc_data / "fields_txl" / "index.csv").open(encoding="utf-8") as file:
        return [r["file"] for r in csv.DictReader(file) if (r["source"], r["split"]) == (source, "val")]


@pytest.fixture
def real_field(wbc_data):
    return read_rgb(wbc_data / "fields_txl" / validation(wbc_data, "pbc")[0])


@pytest.mark.parametrize("source", ["pbc", "raabin", "bccd"])
def test_recall_and_precision_on_real_fields(wbc_data, source):
    figures = evaluate(wbc_data / "fields_txl", segment, validation(wbc_data, source)[:24])
    assert min(figures["WBC"]["precision"], figures["WBC"]["recall"]) >= 0.9
    assert min(figures["RBC"]["precision"], figures["RBC"]["recall"]) >= 0.85


@pytest.mark.parametrize(
    ("folder", "kind", "recall"), [("fields_bbbc041_eval", "RBC", 0.8), ("fields_bcisc", "WBC", 0.9)]
)
def test_cells_of_laboratories_it_never_saw_are_found(wbc_data, folder, kind, recall):
    files = [path.name for path in sorted((wbc_data / folder / "images").iterdir())[::5]]
    figures = evaluate(wbc_data / folder, segment, files)[kind]
    assert figures["recall"] >= recall
    assert figures["mean_iou"] >= 0.75


@pytest.mark.parametrize("factor", [0.4, 0.7, 1.0, 1.8])
def test_the_scale_is_read_off_the_cells(real_field, factor):
    expected = estimate_pixel_um(real_field) / factor
    shape = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    changed = cv2.resize(real_field, None, fx=factor, fy=factor, interpolation=shape)
    assert 0.07 < expected * factor < 0.11
    assert estimate_pixel_um(changed) == pytest.approx(expected, rel=0.1)


def test_what_holds_no_cell_has_no_scale():
    glass = np.full((300, 400, 3), 235, np.uint8)
    assert estimate_pixel_um(glass) is None
    assert all(cell.confidence < 0.05 for cell in segment(glass))


def test_turning_the_field_turns_the_cells(real_field):
    upright = segment(real_field, 0.09)
    turned = segment(np.ascontiguousarray(real_field[::-1, ::-1]), 0.09)
    height, width = real_field.shape[:2]
    placed = np.array([(width - x, height - y) for x, y in (cell.centroid for cell in turned)])
    sure = [cell for cell in upright if cell.confidence > 0.8]
    assert len(sure) > 5
    for cell in sure:
        assert np.hypot(*(placed - cell.centroid).T).min() < 4


def test_outlines_boxes_and_areas_belong_together(real_field):
    found = segment(real_field)
    assert {cell.kind for cell in found} >= {Kind.RBC, Kind.WBC}
    for cell in found:
        corners = np.array(cell.polygon)
        assert (corners.min(axis=0) >= np.array(cell.box[:2]) - 1).all()
        assert (corners.max(axis=0) <= np.array(cell.box[2:])).all()
        assert cv2.contourArea(corners.astype(np.int32)) == pytest.approx(cell.area_px, rel=0.2, abs=12)
        assert 0 < cell.solidity <= 1


def test_confidences_add_up_to_the_number_of_cells(wbc_data):
    files = validation(wbc_data, "raabin")[:20]
    found = [cell for name in files for cell in segment(read_rgb(wbc_data / "fields_txl" / name))]
    labelled = evaluate(wbc_data / "fields_txl", lambda image: [], files)
    expected = sum(kind["n"] for kind in labelled.values())
    assert sum(cell.confidence for cell in found) == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("folder", ["wbc_pbc", "wbc_apl"])
def test_the_cell_of_a_single_cell_image_is_found(wbc_data, folder):
    with (wbc_data / folder / "index.csv").open(encoding="utf-8") as file:
        files = [row["file"] for row in csv.DictReader(file) if row["split"] == "val"]
    images = [read_rgb(wbc_data / folder / name) for name in files[:: len(files) // 25]]
    found = [cells.centre_instance(segment(image), image.shape) for image in images]
    assert sum(cell is not None for cell in found) >= len(images) - 1


def test_the_card_names_what_the_network_answers():
    card = registry.card(registry.SEGMENTATION_NETWORK)
    assert card.labels == ("RBC", "WBC", "platelet")
    assert Counter(card.text["calibration"].keys()) == Counter(card.labels)
    assert card.weights.stat().st_size < 8_000_000


def test_openvino_and_torch_find_the_same_cells(real_field):
    import torch

    network = runtime.load(registry.SEGMENTATION_NETWORK)
    batch = cv2.resize(real_field, (192, 192), interpolation=cv2.INTER_AREA)[None]
    with torch.inference_mode():
        expected = network.module(torch.from_numpy(batch)).numpy()
    answered = network.predict(batch)
    centres = expected[:, :3].max() - answered[:, :3].max()
    assert abs(centres) < 0.5
    assert np.abs(answered - expected).mean() < 0.08
