import json

import numpy as np
import pytest

from inference.pipeline.classification import Calibration, calibrate, call, classify, energy, unit
from inference.pipeline.config import Augmentation
from inference.pipeline.errors import PipelineError
from inference.pipeline.networks import runtime
from tests.inference.pipeline.networks_for_tests import LABELS, score, write_network


@pytest.fixture
def network(tmp_path):
    return runtime.load("wbc", write_network(tmp_path))


def crops(count):
    return list(np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8))


def test_probabilities_are_calibrated_and_sum_to_one(network):
    images = crops(5)
    calls = classify({"as_is": images}, network, batch=2)
    assert len(calls) == 5
    expected = calibrate(network.predict(runtime.prepare(images, network.card.input)), 1.5)
    for row, made in zip(expected, calls, strict=True):
        assert sum(made.probabilities.values()) == pytest.approx(1.0)
        assert list(made.probabilities.values()) == pytest.approx(row.tolist(), abs=1e-3)
        assert made.confidence == max(made.probabilities.values())
        assert made.label == LABELS[int(row.argmax())]


def test_the_views_of_a_cell_are_averaged_by_their_weights(tmp_path):
    contract = json.loads((write_network(tmp_path) / "wbc.json").read_text())["input"]
    views = {"as_is": 3, "reinhard": 1}
    network = runtime.load("wbc", write_network(tmp_path, input={**contract, "views": views}))
    first, second = crops(4)[:2], crops(4)[2:]
    mean = (3 * score({"as_is": first}, network) + score({"reinhard": second}, network)) / 4
    np.testing.assert_allclose(score({"as_is": first, "reinhard": second}, network), mean, atol=1e-5)


def test_with_half_turn_a_turned_cell_gets_the_same_answer(tmp_path):
    contract = json.loads((write_network(tmp_path) / "wbc.json").read_text())["input"]
    steady = runtime.load("wbc", write_network(tmp_path, input={**contract, "half_turn": True}))
    images = crops(3)
    turned = [np.ascontiguousarray(image[::-1, ::-1]) for image in images]
    np.testing.assert_allclose(score({"as_is": images}, steady), score({"as_is": turned}, steady), atol=1e-3)


class Corner:
    """Answers with the colour in the upper left corner, which every turn and mirroring changes."""

    def __init__(self, card):
        self.card, self.asked = card, 0

    def answers(self, batch):
        self.asked += 1
        said = batch[:, :8, :4].mean(axis=(1, 2)).astype(np.float32)
        return said, 2 * said, said + 1


def test_in_all_eight_ways_every_turned_and_mirrored_cell_gets_the_same_answer(network):
    corner, square = Corner(network.card), crops(1)[0][:32, :32]
    ways = [np.rot90(side, quarters) for quarters in range(4) for side in (square, square[:, ::-1])]
    upright = score({"as_is": ways}, corner, augmentation=Augmentation.NONE)
    assert len(np.unique(upright, axis=0)) == 8
    answers = score({"as_is": ways}, corner, augmentation=Augmentation.EIGHT)
    np.testing.assert_allclose(answers, np.repeat(upright.mean(axis=0)[None], 8, axis=0), rtol=1e-5)


def test_the_laboratorys_augmentation_goes_before_the_cards(tmp_path):
    contract = json.loads((write_network(tmp_path) / "wbc.json").read_text())["input"]
    steady = runtime.load("wbc", write_network(tmp_path, input={**contract, "half_turn": True}))
    images = {"as_is": crops(3)}
    by_card = score(images, steady)
    np.testing.assert_array_equal(by_card, score(images, steady, augmentation=Augmentation.HALF_TURN))
    assert not np.allclose(by_card, score(images, steady, augmentation=Augmentation.NONE))


def test_no_crops_no_calls(network):
    assert classify({"as_is": []}, network) == []


def test_embedding_and_attributes_come_from_the_runs_that_the_call_is_made_of(network):
    corner = Corner(network.card)
    first, second = classify({"as_is": crops(2)}, corner, batch=1, augmentation=Augmentation.EIGHT)
    assert corner.asked == 2 * 8
    logits = score({"as_is": crops(2)}, corner, augmentation=Augmentation.EIGHT)
    np.testing.assert_allclose([first.attributes, second.attributes], 2 * logits, rtol=1e-5)
    assert first.embedding.dtype == np.float16
    expected = (logits + 1) / np.linalg.norm(logits + 1, axis=1, keepdims=True)
    np.testing.assert_allclose([first.embedding, second.embedding], expected, atol=1e-3)


def test_a_real_network_gives_an_embedding_of_length_one_and_no_attributes_where_it_has_none(network):
    images, contract = crops(3), network.card.input
    calls = classify({"as_is": images}, network, batch=2)
    _, _, raw = network.answers(runtime.prepare(images, contract))
    for made, row in zip(calls, raw, strict=True):
        assert np.linalg.norm(made.embedding.astype(float)) == pytest.approx(1, abs=1e-3)
        assert made.embedding.astype(float) @ row / np.linalg.norm(row) == pytest.approx(1, abs=1e-3)
        assert made.attributes is None


def test_an_embedding_of_nothing_stays_nothing():
    np.testing.assert_allclose(unit(np.array([[0, 0], [3, 4]], np.float32)), [[0, 0], [0.6, 0.8]])


def test_calls_are_alike_whatever_their_embedding(network):
    made, again = (classify({"as_is": crops(1)}, network)[0] for _ in range(2))
    assert made == again and "embedding" not in repr(made)


def test_a_higher_temperature_is_less_sure():
    logits = np.array([[3.0, 0.0, 0.0]], np.float32)
    assert calibrate(logits, 2.0).max() < calibrate(logits, 1.0).max()
    assert calibrate(np.array([[1e4, 0.0]], np.float32), 0.5).tolist() == [[1.0, 0.0]]


def test_binary_routing_renormalises_over_the_declared_classes():
    made = call(np.array([0.6, 0.3, 0.1]), LABELS, 0.5, declared_classes=("lymphocyte", "blast"))
    assert made.label == "lymphocyte"
    assert made.probabilities == {"lymphocyte": pytest.approx(0.75), "blast": pytest.approx(0.25)}
    assert made.confidence == pytest.approx(0.75)


def test_declared_classes_that_the_network_excludes_are_equally_likely():
    made = call(np.array([1.0, 0.0, 0.0]), LABELS, 0.6, declared_classes=("lymphocyte", "blast"))
    assert made.probabilities == {"lymphocyte": 0.5, "blast": 0.5}
    assert made.abstained


def test_abstains_below_the_threshold_of_the_card():
    unsure = np.array([0.45, 0.35, 0.2])
    assert call(unsure, LABELS, 0.5).abstained
    assert not call(unsure, LABELS, 0.4).abstained


def test_unknown_declared_class_is_refused():
    with pytest.raises(PipelineError, match="spaceship"):
        call(np.array([0.6, 0.3, 0.1]), LABELS, 0.5, declared_classes=("spaceship",))
    with pytest.raises(PipelineError, match="nothing"):
        call(np.array([0.6, 0.3, 0.1]), LABELS, 0.5, declared_classes=())


LEAST = {
    95: {"neutrophil": 0.5, "lymphocyte": 0.2, "blast": 0.05},
    99: {"neutrophil": 0.1, "lymphocyte": 0.1},
}


def test_a_prediction_set_holds_every_class_that_reaches_its_own_threshold():
    logits = np.log(np.array([[0.6, 0.3, 0.1], [0.92, 0.05, 0.03]], np.float32))
    unsure, sure = Calibration(tuple(LABELS), 1.0, 0.5, LEAST).calls(logits)
    assert unsure.sets[95] == ("neutrophil", "lymphocyte", "blast")
    assert sure.sets[95] == ("neutrophil",)
    assert sure.sets[99] == ("neutrophil", "blast"), "a class without a threshold cannot be ruled out"


def test_no_prediction_set_is_empty_and_each_holds_the_call():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (500, 3)).astype(np.float32)
    strict = Calibration(tuple(LABELS), 1.0, 0.5, {95: dict.fromkeys(LABELS, 0.999)})
    for made in strict.calls(logits):
        assert made.sets[95][0] == made.label


def test_declared_classes_bind_the_prediction_sets():
    logits = np.log(np.array([[0.6, 0.3, 0.1]], np.float32))
    (made,) = Calibration(tuple(LABELS), 1.0, 0.5, LEAST).calls(logits, ("lymphocyte", "blast"))
    assert made.sets[95] == ("lymphocyte", "blast")


def test_energy_is_high_where_no_class_fits():
    assert energy(np.array([[0.0, 0.0]], np.float32)) == pytest.approx(-np.log(2))
    sure, torn, blank = energy(np.array([[9, 0, 0], [9, 9, 0], [0, 0, 0]], np.float32))
    assert torn < sure < blank


def test_out_of_distribution_is_above_the_threshold_of_the_card(tmp_path):
    images = {"as_is": crops(9)}
    plain = runtime.load("wbc", write_network(tmp_path))
    middle = float(np.median(energy(score(images, plain))))
    (tmp_path / "with").mkdir()
    thresholds = {"abstain_below": 0.5, "ood_above": middle, "prediction_sets": {"95": {"blast": 0.9}}}
    network = runtime.load("wbc", write_network(tmp_path / "with", thresholds=thresholds))
    calls = classify(images, network)
    assert [made.out_of_distribution for made in calls] == [made.ood_score > middle for made in calls]
    assert sum(made.out_of_distribution for made in calls) == 4
    assert not any(made.abstained for made in calls if made.confidence >= 0.5)
    assert {tuple(made.sets) for made in calls} == {(95,)}


def test_a_card_without_thresholds_gives_neither_sets_nor_scores(network):
    for made in classify({"as_is": crops(3)}, network):
        assert (made.sets, made.ood_score, made.out_of_distribution) == ({}, None, False)
