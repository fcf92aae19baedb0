"""Red cells of a slide: which are classified, how they come out of an analysis, and who is looked at."""

from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from inference.pipeline import analyse as order
from inference.pipeline import red_cell_grading
from inference.pipeline.cells import crop_box
from inference.pipeline.config import Config, shape_of
from inference.pipeline.explanation import explain, outline_in_square
from inference.pipeline.findings import Call, Cell, Instance, Kind
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import RBC_NETWORK
from inference.pipeline.payload import payload
from inference.pipeline.red_cell_calls import red_cell_network, red_cells, reviewed, sample, sized
from inference.pipeline.red_cell_findings import Disagreeing, RedCellMeasures
from inference.pipeline.red_cell_haematology import contradiction, disagrees
from inference.pipeline.red_cell_words import describe
from tests.inference.pipeline.networks_for_tests import write_rbc_network

SAMPLE = Path(__file__).parents[3] / "samples" / "synthetic_field.png"
SIZE = (4000, 1000)


def red(x: int, y: int, tile: int = 0) -> Instance:
    return Instance(Kind.RBC, (x - 20, y - 20, x + 20, y + 20), (), (x, y), 1200, 0.9, tile=tile)


def slide_of(tiles: dict[int, int]) -> list[Instance]:
    """So many cells in each tile, the tiles side by side."""
    return [
        red(1000 * tile + 50 + 30 * (place % 30), 50 + 30 * (place // 30), tile)
        for tile, count in tiles.items()
        for place in range(count)
    ]


def test_few_cells_are_all_classified():
    assert sample(slide_of({0: 7}), SIZE, 10) == [*range(7)]


def test_every_tile_has_its_share():
    reds = slide_of({0: 600, 1: 300, 2: 100})
    chosen = sample(reds, SIZE, 100)
    assert len(chosen) == 100
    assert chosen == sorted(set(chosen))
    assert Counter(reds[place].tile for place in chosen) == {0: 60, 1: 30, 2: 10}


def test_the_same_slide_gives_the_same_cells_in_whatever_order_they_come():
    reds = slide_of({0: 400, 1: 400})
    shuffled = [reds[place] for place in np.random.default_rng(0).permutation(len(reds))]
    first = {reds[place].centroid for place in sample(reds, SIZE, 90)}
    assert first == {shuffled[place].centroid for place in sample(shuffled, SIZE, 90)}


def test_cells_at_the_border_are_left_out():
    reds = [red(20, 500), red(500, 500), red(3980, 500), red(500, 21), red(500, 980)]
    assert sample(reds, SIZE, 10) == [1]


def called(label: str, confidence: float = 0.5, elongation: float = 1.0) -> Cell:
    measures = RedCellMeasures(7.2, 40.7, 1.0, 0.95, elongation, 0.7)
    return Cell(0, red(100, 100), Call(label, confidence, {}), measures=measures)


def looked_at(found, **changes):
    config = Config(**changes)
    cells, notices = reviewed(found, red_cells(found, config), config)
    return [cell for cell in cells if cell.review_reasons], notices


def test_a_class_without_a_grade_floods_no_queue():
    few, _ = looked_at([*(called("normal") for _ in range(1000)), called("target")])
    assert not few


def test_the_queue_is_capped_and_the_rest_counted():
    found = [*(called("normal") for _ in range(800)), *(called("target") for _ in range(200))]
    some, (notice,) = looked_at([*found, *(called("sickle", 0.6) for _ in range(30))], rbc_reviewed=20)
    assert [cell.call.label for cell in some] == ["sickle"] * 20
    assert notice.code == "rbc_review_capped"
    assert notice.text.startswith("230 red cells")


def test_measures_that_disagree_are_a_reason():
    found = [called("normal", 0.9) for _ in range(100)]
    sure, _ = looked_at([*found, *(called("elliptocyte", 0.95, elongation=1.0) for _ in range(20))])
    assert {cell.review_reasons for cell in sure} == {("measures_disagree",)}


def test_a_cell_called_by_its_size_is_held_against_the_outline_of_a_normal_one():
    found = [called("normal", 0.9) for _ in range(100)]
    found += [called("macrocyte", 0.95) for _ in range(20)]
    some, _ = looked_at([*found, called("macrocyte", 0.95, elongation=1.9)])
    assert [(cell.call.label, cell.measures.elongation) for cell in some] == [("macrocyte", 1.9)]
    assert some[0].review_reasons == ("measures_disagree",)


def test_most_contradicted_cells_called_normal_have_a_few_places_of_the_queue():
    found = [called("normal", 0.9) for _ in range(100)]
    found += [called("normal", 0.95, elongation=1.4 + 0.1 * step) for step in range(8)]
    found += [called("sickle", 0.6, elongation=2.0) for _ in range(30)]
    cells, (notice,) = reviewed(found, red_cells(found, Config()), Config())
    asked = Counter(cell.call.label for cell in cells if cell.review_reasons)
    assert asked == {"normal": 5, "sickle": 15}
    assert notice.text.startswith("30 red cells") and "15 of them" in notice.text
    normal = [cell for cell in cells if cell.call.label == "normal" and (cell.review_reasons or cell.noted)]
    assert [round(cell.measures.elongation, 1) for cell in normal if cell.noted] == [1.4, 1.5, 1.6]
    assert {cell.review_reasons for cell in normal if cell.review_reasons} == {("measures_disagree",)}


def test_every_contradicted_cell_is_noted_and_nobody_is_asked_about_most():
    found = [called("normal", 0.95) for _ in range(80)] + [called("normal", 0.95, elongation=1.6)]
    found += [called("macrocyte", 0.95, elongation=1.6)] * 2
    cells, notices = reviewed(found, red_cells(found, Config()), Config())
    assert not notices and not any(cell.review_reasons for cell in cells), "too few for any grade"
    assert [cell.noted for cell in cells[-3:]] == [("measures_disagree",)] * 3
    assert not any(cell.noted for cell in cells[:-3])
    assert red_cells(cells, Config()).disagreeing == Disagreeing(called_normal=1, called_abnormal=2)


@pytest.mark.parametrize(
    ("label", "elongation", "pallor", "by"),
    [
        ("normal", 1.35, 0.7, 0.0),
        ("normal", 1.62, 2.0, 0.2),
        ("macrocyte", 1.62, 0.7, 0.2),
        ("elliptocyte", 1.2, 0.7, 0.2),
        ("spherocyte", 1.43, 0.6, 0.2),
        ("spherocyte", 1.43, None, 0.1),
        ("echinocyte", 9.0, 9.0, 0.0),
    ],
)
def test_how_far_measures_contradict_is_the_distance_from_the_limit_over_it(label, elongation, pallor, by):
    measures = RedCellMeasures(7.2, 40.7, 1.0, 0.95, elongation, pallor)
    assert contradiction(label, measures) == pytest.approx(by)
    assert disagrees(label, measures) == (by > 0)


def test_what_speaks_for_normal_speaks_for_the_measured_size():
    shape = Call("normal", 0.8, {"normal": 0.8, "target": 0.2}, sets={95: ("normal", "target")})
    made = sized(shape, "macrocyte")
    assert (made.label, made.confidence) == ("macrocyte", 0.8)
    assert made.probabilities == {"macrocyte": 0.8, "target": 0.2}
    assert made.sets == {95: ("macrocyte", "target")}
    assert sized(shape, "normal") == shape


@pytest.fixture
def with_red_network(tmp_path, monkeypatch):
    folder = write_rbc_network(tmp_path)
    monkeypatch.setattr(order, "red_cell_network", partial(red_cell_network, folder))


def analysed(config=None):
    return order.analyse(SAMPLE, config or Config(), lambda stage, share: None)


@pytest.mark.usefixtures("with_red_network")
def test_red_cells_of_an_analysis_are_called_measured_and_graded():
    findings = analysed(Config(pixel_um=0.1))
    named = [cell for cell in findings.cells if cell.measures]
    assert RBC_NETWORK in {used.name for used in findings.networks}
    assert findings.red.classified == len(named) > 0
    assert findings.red.total == findings.aggregate.rbc_count
    assert all(cell.instance.kind is Kind.RBC and cell.call for cell in named)
    assert all(np.asarray(cell.crop).shape == (64, 64, 3) for cell in named)
    document = payload(findings, "sample", datetime.now(UTC))
    part = document["rbc_analysis"]
    assert part["status"] == "analysed"
    assert part["classified"] == sum(part["distribution"].values())
    listed = [
        cell for cell in document["cell_detections"] if cell["type"] == "RBC" and cell["classification"]
    ]
    assert len(listed) == part["classified"]
    assert listed[0]["measures"]["diameter_um"] > 3


GRADED = dict.fromkeys(Config().rbc_grades, (0.001, 0.002, 0.003))
"""Limits at which any cell of an abnormal class matters."""


def in_review(findings):
    return [cell for cell in findings.cells if cell.instance.kind is Kind.RBC and cell.review_reasons]


def called_anything(monkeypatch, tmp_path, **thresholds):
    """An analysis of which the red cells are called by a network that abstains from all of them."""
    folder = write_rbc_network(tmp_path, thresholds={"abstain_below": 1.0, **thresholds})
    monkeypatch.setattr(order, "red_cell_network", partial(red_cell_network, folder))
    monkeypatch.setattr(red_cell_grading, "LEAST_CELLS", 1)
    monkeypatch.setattr(red_cell_grading, "LEAST_FOR_SCHISTOCYTES", 1)
    return analysed(Config(pixel_um=0.1, rbc_grades=GRADED, rbc_reviewed=3))


def test_red_cells_in_review_have_heat_map_receipt_and_words_and_no_others(monkeypatch, tmp_path):
    findings = called_anything(monkeypatch, tmp_path, focus_below=0.0)
    shown = in_review(findings)
    assert len(shown) == 3
    network = runtime.Network(registry.read_card("rbc", tmp_path))
    for cell in shown:
        shape = shape_of(cell.call.label)
        outline = outline_in_square(cell.instance, crop_box(cell.instance, 0.25), 64)
        (expected,) = explain(
            [np.asarray(cell.crop)], [shape], [outline], (network.module, network.card), tried_on=network
        )
        np.testing.assert_allclose(np.asarray(cell.explanation.heatmap), expected.heatmap, atol=1e-4)
        assert cell.explanation.focus_ratio == pytest.approx(expected.focus_ratio, abs=1e-4)
        assert cell.explanation.receipt == expected.receipt
        assert cell.description == describe(cell.call.label, cell.measures, cell.explanation)
        assert "off_cell" not in cell.review_reasons
    others = [cell for cell in findings.cells if cell.measures and not cell.review_reasons]
    assert others and all(cell.explanation is cell.description is None for cell in others)


def test_evidence_beside_the_cell_is_a_reason_more_and_no_cell_more(monkeypatch, tmp_path):
    shown = in_review(called_anything(monkeypatch, tmp_path, focus_below=1.1))
    assert len(shown) == 3
    assert all(cell.review_reasons[-1] == "off_cell" and len(cell.review_reasons) > 1 for cell in shown)


@pytest.mark.usefixtures("with_red_network")
def test_white_cells_are_counted_as_without_a_red_network(monkeypatch):
    with_it = analysed().aggregate
    monkeypatch.setattr(order, "red_cell_network", lambda: None)
    assert analysed().aggregate == with_it


@pytest.mark.usefixtures("with_red_network")
def test_at_most_so_many_are_classified():
    findings = analysed(Config(rbc_classified=5))
    assert findings.red.classified == 5
    assert sum(cell.measures is not None for cell in findings.cells) == 5
    assert findings.red.size_basis == "measured"


def test_classes_that_the_network_mostly_misses_are_named_beside_the_result(monkeypatch, tmp_path):
    thresholds = {"abstain_below": 0.5, "rarely_found": {"schistocyte": 0.12, "echinocyte": 0.01}}
    folder = write_rbc_network(tmp_path, thresholds=thresholds)
    monkeypatch.setattr(order, "red_cell_network", partial(red_cell_network, folder))
    (said,) = [one.text for one in analysed().notices if one.code == "red_cells_rarely_found"]
    assert "echinocyte 1 %, schistocyte 12 %" in said


def test_without_the_network_nothing_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(order, "red_cell_network", partial(red_cell_network, tmp_path))
    findings = analysed()
    assert findings.red is None
    part = payload(findings, "sample", datetime.now(UTC))["rbc_analysis"]
    assert part["status"] == "not_analysed"
    assert part["total"] == findings.aggregate.rbc_count
