import numpy as np
import pytest

from inference.pipeline.findings import Call
from inference.pipeline.networks import runtime
from inference.pipeline.single_cell import Square
from inference.training.evaluate_wbc import ask, calibration_error, evaluate, views_of
from tests.inference.pipeline.networks_for_tests import score, write_network

CLASSES = ("neutrophil", "lymphocyte", "blast")


def call(label: str, confidence: float = 0.9, abstained: bool = False) -> Call:
    rest = (1 - confidence) / 2
    chances = {name: confidence if name == label else rest for name in CLASSES}
    return Call(label, confidence, chances, abstained)


def test_figures_of_a_known_confusion():
    truths = ["neutrophil"] * 4 + ["lymphocyte"] * 2
    calls = [call(name) for name in ["neutrophil"] * 3 + ["blast", "lymphocyte", "neutrophil"]]
    figures = evaluate(truths, calls)
    assert figures["n"] == 6
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert figures["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert figures["labels"] == ["neutrophil", "lymphocyte", "blast"]
    assert figures["confusion"] == [[3, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert figures["per_class"]["neutrophil"] == {
        "precision": pytest.approx(3 / 4),
        "recall": pytest.approx(3 / 4),
        "f1": pytest.approx(3 / 4),
        "support": 4,
    }
    assert figures["macro_f1"] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert figures["per_class"]["blast"]["support"] == 0


def test_coverage_counts_what_was_not_abstained():
    calls = [call("neutrophil"), call("blast", abstained=True), call("neutrophil"), call("neutrophil")]
    figures = evaluate(["neutrophil"] * 3 + ["lymphocyte"], calls)
    assert figures["coverage"] == 0.75
    assert figures["accuracy_covered"] == pytest.approx(2 / 3)


def test_all_abstained_has_no_accuracy_of_the_covered():
    figures = evaluate(["blast"], [call("blast", abstained=True)])
    assert figures["coverage"] == 0.0
    assert figures["accuracy_covered"] is None


def test_calibration_error_of_known_confidences():
    confidences = np.array([0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, True, True, False])
    assert calibration_error(confidences, correct) == pytest.approx((2 * 0.05 + 2 * 0.05) / 4)
    assert calibration_error(np.array([1.0, 1.0]), np.array([False, False])) == 1.0


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        evaluate([], [])


def square(rng, *views):
    crops = {name: [rng.integers(0, 256, (40, 40, 3), np.uint8)] for name in views}
    return Square(crops["as_is"][0], ((0, 0), (9, 0), (9, 9)), True, crops)


def test_a_view_that_a_cell_lacks_is_left_out_of_its_mean(tmp_path):
    seen = {"side": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "preprocessing": "crop", "half_turn": False}
    views = {"as_is": 1, "reinhard": 3}
    network = runtime.load("wbc", write_network(tmp_path, input={**seen, "views": views}))
    rng = np.random.default_rng(0)
    squares = [square(rng, "as_is", *more) for more in ([], ["reinhard"], [], ["reinhard"])]
    expected = np.concatenate([score(one.views, network) for one in squares])
    np.testing.assert_allclose(ask(squares, network).logits, expected, atol=1e-5)
    alone = score({"as_is": squares[0].views["as_is"]}, network)
    np.testing.assert_allclose(ask(squares, network).logits[:1], alone, atol=1e-5)
    with pytest.raises(ValueError, match="same views"):
        views_of(squares)
