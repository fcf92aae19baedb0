import json

import numpy as np
import pytest

from inference.pipeline.classification import calibrate, call, classify, score
from inference.pipeline.errors import PipelineError
from inference.pipeline.networks import runtime
from tests.inference.pipeline.networks_for_tests import LABELS, write_network


@pytest.fixture
def network(tmp_path):
    return runtime.load("wbc", write_network(tmp_path))


def crops(count):
    return list(np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8))


def test_probabilities_are_calibrated_and_sum_to_one(network):
    images = crops(5)
    calls = classify([images], network, batch=2)
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
    mean = (3 * score([first], network) + score([second], network)) / 4
    np.testing.assert_allclose(score([first, second], network), mean, atol=1e-5)


def test_with_half_turn_a_turned_cell_gets_the_same_answer(tmp_path):
    contract = json.loads((write_network(tmp_path) / "wbc.json").read_text())["input"]
    steady = runtime.load("wbc", write_network(tmp_path, input={**contract, "half_turn": True}))
    images = crops(3)
    turned = [np.ascontiguousarray(image[::-1, ::-1]) for image in images]
    np.testing.assert_allclose(score([images], steady), score([turned], steady), atol=1e-3)


def test_no_crops_no_calls(network):
    assert classify([[]], network) == []


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
