"""The red-cell network from labelled fields to weights, card and figures, on drawn cells."""

import csv
import json
from pathlib import Path
from unittest.mock import ANY

import cv2
import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from inference.pipeline.config import RBC_SHAPES, shape_of
from inference.pipeline.findings import Instance, Kind, Method
from inference.pipeline.networks import rbc, registry, runtime
from inference.training.__main__ import main
from inference.training.augmentation import Stain, Strangers, Strength, augment
from inference.training.evaluate_rbc import _by_fields, _Collected, listed, measure, red_class
from inference.training.labels import Choice
from inference.training.rbc_cells import (
    POINT_CLASSES,
    Point,
    RedField,
    cut_field,
    elongation,
    evenly,
    owner_of,
    points_of,
)
from inference.training.rbc_run import USUAL, rarely_found
from tests.inference.pipeline.networks_for_tests import ARCHITECTURE

GRID = [(40 + 62 * column, 40 + 62 * row) for row in range(6) for column in range(7)]
RADIUS = 19
"""7.2 µm at the scale of rbc_chula."""


def field_of(places=GRID, radius=RADIUS, size=(400, 480)) -> np.ndarray:
    """Draw round red cells with a central pallor on glass."""
    image = np.full((*size, 3), (232, 226, 228), np.uint8)
    for x, y in places:
        cv2.circle(image, (x, y), radius, (205, 130, 140), -1, cv2.LINE_AA)
        cv2.circle(image, (x, y), radius // 3, (222, 180, 186), -1, cv2.LINE_AA)
    noise = np.random.default_rng(len(places)).normal(0, 2, image.shape)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 1.2) + noise, 0, 255).astype(np.uint8)


def saved(image: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def cell(x: float, y: float, width: int = 20, height: int = 20) -> Instance:
    box = (int(x - width / 2), int(y - height / 2), int(x + width / 2), int(y + height / 2))
    corners = ((box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3]))
    return Instance(Kind.RBC, box, corners, (x, y), width * height, 0.9)


def write_index(folder: Path, rows: list[list[str]]) -> None:
    with (folder / "index.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows(rows)


@pytest.fixture
def data(tmp_path):
    """The sets that the network is trained on, small: drawn fields with points, and fields without."""
    columns = {"rbc_chula": ["label_file"], "fields_txl": ["source"]}
    columns |= {"rbc_sickle_uganda": [], "staging_taleqani": []}
    for name, more in columns.items():
        rows = [["file", *more, "split"]]
        for number, split in enumerate(("train", "val", "val", "val")):
            saved(field_of(), tmp_path / name / f"{number}.png")
            added = {"label_file": f"{number}.txt", "source": ("bccd", "raabin", "pbc", "pbc")[number]}
            rows.append([f"{number}.png", *(added[column] for column in more), split])
            points = [f"{x} {y} {place % len(POINT_CLASSES)}" for place, (x, y) in enumerate(GRID)]
            (tmp_path / name / f"{number}.txt").write_text("\n".join(points))
        rows += [[f"{number}.png", source, split] for number, source, split in OTHERS if "source" in more]
        write_index(tmp_path / name, rows)
    for number in range(2):
        saved(field_of(), tmp_path / "slides" / f"phone_field_{number}.jpg")
    return tmp_path


OTHERS = [(0, "raabin", "train"), (0, "bccd", "val"), (0, "pbc", "train")]


def test_a_point_belongs_to_the_cell_it_lies_in_or_nearest_to():
    cells = [cell(50, 50), cell(90, 50)]
    assert owner_of(Point(52, 44, "normal"), cells) == 0
    assert owner_of(Point(78, 50, "normal"), cells) == 1
    assert owner_of(Point(50, 95, "normal"), cells) is None
    assert owner_of(Point(50, 50, "normal"), []) is None


def test_points_are_read_without_the_uncategorised_and_wrong_ones_are_named(tmp_path):
    (tmp_path / "a.txt").write_text("10 20 0\n\n30 40 10\n50 60 12\n")
    assert points_of(tmp_path / "a.txt") == (Point(10, 20, "normal"), Point(50, 60, "elliptocyte"))
    for wrong in ("10 20", "10 20 13", "10 20 -1", "a b c"):
        (tmp_path / "a.txt").write_text(wrong)
        with pytest.raises(ValueError, match=f"“{wrong}” in .* is no labelled point"):
            points_of(tmp_path / "a.txt")


def test_sizes_are_normal_to_the_network_and_all_other_points_are_its_classes():
    assert [shape_of(name) for name in ("macrocyte", "microcyte", "target")] == ["normal", "normal", "target"]
    assert {shape_of(name) for name in POINT_CLASSES if name} <= set(RBC_SHAPES)


def test_unlabelled_cells_stay_out_and_a_cell_of_two_points_too(tmp_path):
    path = saved(field_of(), tmp_path / "field.png")
    (first, second, third), label = GRID[:3], "target"
    points = [Point(*first, label), Point(*second, label), Point(second[0] + 5, second[1], "normal")]
    cut = cut_field(RedField(path, "chula", (*points, Point(*third, "microcyte"))))
    assert [(one.label, one.shape) for one in cut] == [("target", "target"), ("microcyte", "normal")]
    for one in cut:
        assert one.image.shape == (64, 64, 3) and one.mask.shape == (64, 64)
        assert one.image[one.mask > 200].mean() < one.image[one.mask < 20].mean() - 30
    assert len(cut_field(RedField(path, "pbc", (), normals=4))) == 4


def test_long_cells_are_told_from_round_ones_and_lists_thinned_evenly():
    assert elongation(cell(50, 50, 40, 20)) == pytest.approx(2.0)
    cells = [cell(x, 50) for x in range(20, 120, 10)]
    assert [one.centroid[0] for one in evenly(cells, 3)] == [20, 60, 110] and evenly(cells[:1], 3) == cells[
        :1
    ]


def test_no_augmentation_makes_an_oval_of_a_disc():
    """With a stretch the same discs do become ovals."""
    mask = np.zeros((64, 64), np.uint8)
    cv2.circle(mask, (32, 32), 20, 255, -1)
    image = np.repeat(mask[..., None], 3, axis=2)
    lent = Strangers([Stain.of(image)], lambda rng: image)

    def longest(stretch: float) -> float:
        ratios = []
        for number in range(30):
            strength = Strength(stretch=stretch)
            _, turned = augment((image, mask), 64, np.random.default_rng(number), lent, strength)
            (outline, *_), _ = cv2.findContours(turned // 128, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            _, sides, _ = cv2.minAreaRect(outline)
            cut = cv2.countNonZero(np.concatenate([turned[0], turned[-1], turned[:, 0], turned[:, -1]]))
            ratios.append(1.0 if cut else max(sides) / min(sides))
        return max(ratios)

    assert longest(USUAL.stretch) < 1.1 < longest(0.1)


@pytest.mark.parametrize(
    "name", ["efficientnet_lite0", "regnetx_002", "efficientnet_b0", "resnet50", "efficientnetv2_s"]
)
def test_every_network_answers_like_that_of_the_white_cells(name):
    import torch

    network = rbc.build(name, len(RBC_SHAPES)).eval()
    logits, told, embedding = network(torch.zeros(2, 3, 64, 64))
    assert logits.shape == (2, len(RBC_SHAPES)) and told.shape == (2, 0) and len(embedding) == 2
    assert dict(network.named_modules())[network.explanation_layer]


def test_one_command_makes_a_network_that_can_be_evaluated(data, tmp_path, monkeypatch):
    out = tmp_path / "out"
    short = ["--epochs", "1", "--draws", "8", "--batch", "4", "--side", "32", "--workers", "0"]
    assert main(["rbc", "--data", str(data), "--out", str(out), "--architecture", ARCHITECTURE, *short]) == 0
    card = registry.read_card("rbc", out)
    assert (
        card.labels == RBC_SHAPES and not card.attributes and tuple(card.input.views) == ("as_is", "levels")
    )
    assert set(card.text["thresholds"]) >= {"abstain_below", "ood_above", "prediction_sets", "focus_below"}
    assert card.text["not_trained"] == ["malaria_infected"]
    assert set(card.text["thresholds"]["heat_strength"]) == {*Method}

    network, load = runtime.Network(card), runtime.load
    monkeypatch.setattr(runtime, "load", lambda name: network if name == "rbc" else load(name))
    call_command("evaluate", "rbc", str(data / "rbc_chula"), json=tmp_path / "f.json", split="val")
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["n"] == 3 * 39 and figures["card"]["name"] == "rbc"
    assert sum(map(sum, figures["confusion"])) == 3 * 39
    assert "the median of all fields" in figures["notices"][0]
    assert "never called" in figures["notices"][1] and figures["not_trained"] == ["malaria_infected"]


def collected(scales: list[float | None]) -> _Collected:
    return _Collected(diameters_px=[36.0, None, 40.0], scales=scales)


def test_fields_of_one_camera_have_one_scale_and_others_their_own():
    """The estimate of one field alone makes its own cells usual, whatever their size."""
    assert _by_fields(collected([0.18, 0.2, 0.22])) == ([pytest.approx(7.2), None, pytest.approx(8.0)], ANY)
    sized, told = _by_fields(collected([0.1, 0.2, 0.3]))
    assert sized == [pytest.approx(3.6), None, pytest.approx(12.0)] and "each field" in told
    assert _by_fields(collected([None, None, None]))[0] == [None] * 3


class Normal:
    """Stands for a network that calls everything normal."""

    def __init__(self) -> None:
        self.card = registry.parsed(json.loads(CARD), Path())

    def answers(self, batch: np.ndarray) -> tuple[np.ndarray, ...]:
        logits = np.zeros((len(batch), len(RBC_SHAPES)), np.float32)
        logits[:, 0] = 5.0
        return logits, np.zeros((len(batch), 0), np.float32), np.ones((len(batch), 4), np.float32)


CARD = json.dumps(
    {
        "name": "rbc",
        "version": "0",
        "sha256": "0",
        "architecture": "none",
        "input": {
            "side": 32,
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
            "preprocessing": "",
            "views": {"as_is": 1},
            "half_turn": False,
        },
        "labels": RBC_SHAPES,
        "temperature": 1.0,
        "thresholds": {"abstain_below": 0.5},
        "explanation_layer": "",
    }
)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Normal cells, larger ones, smaller ones, all at one scale, and a sickle cell that is not there."""
    monkeypatch.setattr(runtime, "load", lambda name: Normal())
    for name, radius in (("normal", 30), ("macrocyte", 42), ("microcyte", 19)):
        for number in range(4 if name == "normal" else 1):
            # Cells around it tell segmentation how large a cell is.
            image = field_of([(60, 60), (340, 60), (60, 340), (340, 340)], 30, (400, 400))
            image = np.minimum(image, field_of([(200, 200)], radius, (400, 400)))
            saved(image, tmp_path / name / f"{number}.png")
    saved(np.full((200, 200, 3), 230, np.uint8), tmp_path / "sickle" / "empty.png")
    return tmp_path


def test_without_a_scale_sizes_are_relative_to_the_normal_cells(folders):
    measured = measure(listed(folders, Choice()))
    calls = {
        sample.path.parent.name: call for sample, call in zip(measured.samples, measured.calls, strict=True)
    }
    assert {name: call.label for name, call in calls.items() if name != "sickle"} == {
        "normal": "normal",
        "macrocyte": "macrocyte",
        "microcyte": "microcyte",
    }
    macro = calls["macrocyte"].probabilities
    assert sum(macro.values()) == pytest.approx(1.0) and macro["normal"] == 0.0 and macro["macrocyte"] > 0.9
    figures = measured.figures()
    assert figures["whole_frame"] == 1 and "no known scale" in figures["notices"][0]
    assert [row["diameter_um"] for row in measured.rows(folders)].count(None) == 1


def test_only_declared_classes_are_called_and_the_untrained_one_cannot_be(folders):
    chosen = ("normal", "macrocyte", "sickle")
    called = {call.label for call in measure(listed(folders, Choice()), chosen).calls}
    assert called == {"normal", "macrocyte"}
    with pytest.raises(CommandError, match="hold malaria_infected; what can be called is normal"):
        target = folders.parent / "f.json"
        call_command("evaluate", "rbc", str(folders), json=target, classes="normal,malaria_infected")


def test_other_words_for_classes_are_known_and_strange_ones_refused(tmp_path):
    assert (red_class("burr"), red_class("uncategorised")) == ("echinocyte", None)
    (tmp_path / "dragon").mkdir()
    with pytest.raises(ValueError, match="folder “dragon” is not a class of red cells"):
        listed(tmp_path, Choice())


def test_classes_found_in_fewer_than_half_of_their_cells_are_listed():
    def of(recall, support=10):
        return {"recall": recall, "support": support}

    figures = {"target": of(0.9), "schistocyte": of(0.118), "sickle": of(0.0, 0), "teardrop": of(0.5)}
    assert rarely_found(figures) == {"schistocyte": 0.12}
