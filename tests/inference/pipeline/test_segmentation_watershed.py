"""Cells drawn where they are known to be, and real ones whose labels are known."""

import csv
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.pipeline import cells
from inference.pipeline.config import CellConfig
from inference.pipeline.findings import Image, Kind
from inference.pipeline.segmentation_watershed import estimate_pixel_um, segment
from inference.pipeline.slide import Slide
from inference.training.evaluate_segmentation import evaluate, read_rgb

SAMPLE = Path(__file__).parents[3] / "samples" / "synthetic_field.png"
GROUND, PINK, PALE, PURPLE, LILAC = (
    (250, 236, 222),
    (200, 150, 155),
    (222, 186, 186),
    (80, 45, 120),
    (190, 165, 205),
)


def disc(image: Image, centre: tuple[int, int], radius: int, colour: tuple[int, int, int]) -> None:
    cv2.circle(image, centre, radius, colour, -1, cv2.LINE_AA)


def red(image: Image, x: int, y: int) -> None:
    disc(image, (x, y), 36, PINK)
    disc(image, (x, y), 13, PALE)


def smear() -> Image:
    """At 0.1 µm per pixel: eight red cells, two of them touching, one leukocyte with a red cell at its
    side, one platelet."""
    image = np.full((480, 640, 3), GROUND, np.uint8)
    for x, y in [(70, 70), (200, 60), (560, 80), (80, 400), (560, 400), (470, 410), (120, 260), (190, 260)]:
        red(image, x, y)
    red(image, 430, 240)
    disc(image, (340, 240), 60, LILAC)
    disc(image, (325, 240), 34, PURPLE)
    disc(image, (420, 60), 13, (150, 105, 160))
    noise = np.random.default_rng(0).normal(0, 1.5, image.shape)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 1.0) + noise, 0, 255).astype(np.uint8)


def test_every_drawn_cell_is_found_once_and_as_what_it_is():
    found = segment(smear(), 0.1)
    assert Counter(cell.kind for cell in found) == {Kind.RBC: 9, Kind.WBC: 1, Kind.PLATELET: 1}


def test_the_white_cell_is_whole_and_without_its_neighbour():
    (white,) = [cell for cell in segment(smear(), 0.1) if cell.kind is Kind.WBC]
    assert white.centroid == pytest.approx((340, 240), abs=4)
    assert white.box == pytest.approx((280, 180, 401, 301), abs=6)
    assert white.area_px == pytest.approx(np.pi * 60**2, rel=0.12)
    assert white.solidity > 0.95


def test_touching_red_cells_are_two():
    boxes = [cell.box for cell in segment(smear(), 0.1) if cell.kind is Kind.RBC]
    assert any(box == pytest.approx((84, 224, 156, 297), abs=6) for box in boxes)
    assert any(box == pytest.approx((155, 224, 227, 297), abs=6) for box in boxes)


def test_the_scale_is_read_off_the_red_cells():
    assert estimate_pixel_um(smear()) == pytest.approx(0.1, rel=0.06)
    twice = cv2.resize(smear(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert estimate_pixel_um(twice) == pytest.approx(0.05, rel=0.06)


def test_the_polygon_encloses_the_area_it_states():
    for cell in segment(smear(), 0.1):
        if cell.kind is not Kind.PLATELET:
            outlined = cv2.contourArea(np.array(cell.polygon, np.int32))
            assert outlined == pytest.approx(cell.area_px, rel=0.15)


@pytest.mark.parametrize("cast", [(1.0, 0.9, 0.8), (0.8, 1.0, 0.95), (0.7, 0.7, 0.7)])
def test_the_colour_of_the_lamp_does_not_matter(cast):
    lit = (smear() * np.array(cast)).astype(np.uint8)
    assert Counter(cell.kind for cell in segment(lit, 0.1))[Kind.WBC] == 1
    assert Counter(cell.kind for cell in segment(lit, 0.1))[Kind.RBC] == 9


def test_a_black_frame_is_no_cell():
    framed = cv2.copyMakeBorder(smear(), 120, 120, 120, 120, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    assert Counter(cell.kind for cell in segment(framed, 0.1))[Kind.WBC] == 1


def test_a_shape_like_a_cell_is_trusted_more_than_a_smudge():
    image = smear()
    cv2.line(image, (20, 180), (60, 330), PINK, 7, cv2.LINE_AA)
    trust = {
        cell.box[0] < 62 and cell.box[1] > 120 and cell.box[3] < 350: cell for cell in segment(image, 0.1)
    }
    assert trust[True].confidence < 0.5 < trust[False].confidence


def test_the_sample_field_holds_what_was_drawn():
    slide = Slide.open(SAMPLE)
    image = slide.read((0, 0, slide.width, slide.height))
    kept = cells.select(segment(image, slide.pixel_um), CellConfig(), slide.pixel_um)
    counts = Counter(cell.kind for cell in kept)
    assert counts[Kind.WBC] == 7
    assert 75 <= counts[Kind.RBC] <= 90
    assert 11 <= counts[Kind.PLATELET] <= 16


@pytest.mark.parametrize(
    ("source", "white", "red"), [("pbc", 0.95, 0.75), ("raabin", 0.85, 0.75), ("bccd", 0.9, 0.6)]
)
def test_recall_and_precision_on_real_fields(wbc_data, source, white, red):
    folder = wbc_data / "fields_txl"
    with (folder / "index.csv").open(encoding="utf-8") as file:
        files = [r["file"] for r in csv.DictReader(file) if (r["source"], r["split"]) == (source, "val")]
    figures = evaluate(folder, segment, files[:24])
    assert min(figures["WBC"]["precision"], figures["WBC"]["recall"]) >= white
    assert figures["RBC"]["recall"] >= red
    assert figures["RBC"]["precision"] >= 0.8


@pytest.mark.parametrize("folder", ["wbc_pbc", "wbc_apl"])
def test_the_cell_of_a_single_cell_image_is_found(wbc_data, folder):
    with (wbc_data / folder / "index.csv").open(encoding="utf-8") as file:
        files = [row["file"] for row in csv.DictReader(file) if row["split"] == "val"]
    images = [read_rgb(wbc_data / folder / name) for name in files[:: len(files) // 25]]
    found = [cells.centre_instance(segment(image), image.shape) for image in images]
    assert sum(cell is not None for cell in found) >= len(images) - 1
