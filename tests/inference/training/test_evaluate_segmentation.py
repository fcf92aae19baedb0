"""The measure itself, against answers worked out by hand."""

import numpy as np
import pytest
from PIL import Image

from inference.pipeline.errors import UnreadableImage, UnsupportedImage
from inference.pipeline.findings import Instance, Kind
from inference.training.evaluate_segmentation import average_precision, box_overlaps, evaluate, match


def instance(kind: Kind, box: tuple[int, int, int, int], confidence: float) -> Instance:
    x0, y0, x1, y1 = box
    corners = ((x0, y0), (x1 - 1, y0), (x1 - 1, y1 - 1), (x0, y1 - 1))
    return Instance(kind, box, corners, ((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0) * (y1 - y0), confidence)


@pytest.fixture
def labelled(tmp_path):
    """One image of 100 by 100 px with two red cells and a white one."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (100, 100)).save(tmp_path / "images" / "a.png")
    (tmp_path / "classes.txt").write_text("WBC\nRBC\nPlatelet\n")
    (tmp_path / "labels" / "a.txt").write_text("1 0.1 0.1 0.2 0.2\n1 0.5 0.5 0.2 0.2\n0 0.8 0.8 0.4 0.4\n")
    return tmp_path


def test_boxes_are_measured_per_kind(labelled):
    found = [
        instance(Kind.RBC, (0, 0, 20, 20), 0.9),
        instance(Kind.RBC, (70, 0, 90, 20), 0.8),
        instance(Kind.RBC, (40, 40, 60, 60), 0.3),
        instance(Kind.WBC, (60, 60, 100, 90), 0.7),
    ]
    figures = evaluate(labelled, lambda image: found)
    assert set(figures) == {"WBC", "RBC"}
    assert figures["WBC"] == {
        "n": 1,
        "precision": 1.0,
        "recall": 1.0,
        "mean_iou": pytest.approx(0.75),
        "ap50": 1.0,
        "count_error": 0.0,
    }
    red = figures["RBC"]
    assert (red["n"], red["precision"], red["recall"], red["count_error"]) == (2, 0.5, 0.5, 0.0)
    assert red["ap50"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_masks_need_no_class_list(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (100, 100)).save(tmp_path / "images" / "a.jpg")
    mask = np.zeros((100, 100), np.uint8)
    mask[10:30, 10:30] = mask[60:90, 60:90] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    found = [instance(Kind.RBC, (10, 10, 30, 30), 0.9), instance(Kind.WBC, (0, 0, 9, 9), 0.9)]
    figures = evaluate(tmp_path, lambda image: found)
    assert list(figures) == ["RBC"]
    assert figures["RBC"]["recall"] == 0.5
    assert figures["RBC"]["mean_iou"] == pytest.approx(1.0)


def test_a_perturbation_reaches_the_segmentation(labelled):
    seen = []
    evaluate(labelled, lambda image: seen.append(image.mean()) or [], perturbation=lambda image: image + 7)
    assert seen == [7.0]


def test_each_truth_is_matched_once_by_the_surest():
    overlaps = np.array([[0.6], [0.9], [0.4]])
    assert match([0.9, 0.8, 0.7], overlaps) == [0.6, 0.0, 0.0]


def test_overlap_of_boxes():
    overlaps = box_overlaps([(0, 0, 10, 10)], [(0, 0, 10, 10), (5, 0, 15, 10), (20, 20, 30, 30)])
    assert overlaps[0] == pytest.approx([1, 1 / 3, 0])


def test_average_precision_of_nothing_is_zero():
    assert average_precision([], [], 3) == 0.0
    assert average_precision([0.5], [False], 3) == 0.0


def test_missing_labels_are_named(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(UnsupportedImage, match="no images"):
        evaluate(tmp_path, lambda image: [])
    Image.new("RGB", (9, 9)).save(tmp_path / "images" / "a.png")
    with pytest.raises(UnsupportedImage, match="classes.txt"):
        evaluate(tmp_path, lambda image: [])
    (tmp_path / "masks").mkdir()
    with pytest.raises(UnreadableImage, match="masks/a.png"):
        evaluate(tmp_path, lambda image: [])


def test_specks_of_a_mask_are_no_cells(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    mask = np.zeros((60, 60), np.uint8)
    mask[5:25, 5:25] = mask[30:50, 30:50] = 255
    mask[55, 2] = mask[2, 55] = 255
    Image.new("RGB", (60, 60)).save(tmp_path / "images" / "a.png")
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    (tmp_path / "classes.txt").write_text("RBC\n")
    assert evaluate(tmp_path, lambda image: [])["RBC"]["n"] == 2
