"""A second network, where the folder of weights has one, calls every cell too."""

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from inference.pipeline import analyse as order
from inference.pipeline import single_cell
from inference.pipeline.calls import white_cell_networks
from inference.pipeline.classification import OTHER_TURNS
from inference.pipeline.config import Augmentation, Config
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.networks.registry import SECOND_NETWORK
from inference.pipeline.payload import payload
from tests.inference.pipeline.networks_for_tests import LABELS, write_network
from tests.inference.pipeline.test_single_cell import cell_image

SAMPLE = Path(__file__).parents[3] / "samples" / "synthetic_field.png"
TURNED = [*LABELS[1:], LABELS[0]]
"""The same answers under other names: a network that disagrees about every cell."""


def write_two(folder: Path, **second: object) -> Path:
    (folder / "apart").mkdir()
    write_network(folder / "apart", name=SECOND_NETWORK, version="0.2", **second)
    for suffix in ("json", "safetensors"):
        (folder / "apart" / f"wbc.{suffix}").rename(folder / f"{SECOND_NETWORK}.{suffix}")
    return write_network(folder)


@pytest.fixture(autouse=True)
def white_cells_alone(monkeypatch):
    """Red cells are called by their own network; no second one looks at them."""
    monkeypatch.setattr(order, "red_cell_network", lambda: None)


@pytest.fixture
def with_weights(monkeypatch):
    """Lets the pipeline find its white-cell networks in another folder."""

    def at(folder: Path) -> None:
        for module in (order, single_cell):
            monkeypatch.setattr(module, "white_cell_networks", partial(white_cell_networks, folder))

    return at


def analysed(config=None):
    return order.analyse(SAMPLE, config or Config(), lambda stage, share: None)


def test_without_its_card_there_is_no_second_network(tmp_path, with_weights):
    with_weights(write_network(tmp_path))
    findings = analysed()
    assert [used.name for used in findings.networks] == ["wbc", "segmentation"]
    assert all(cell.second is None for cell in findings.cells)
    assert not any("networks_disagree" in cell.review_reasons for cell in findings.cells)
    document = payload(findings, "sample", datetime.now(UTC))
    assert not any("second_call" in cell for cell in document["cell_detections"])


def test_a_network_that_disagrees_sends_every_cell_to_review(tmp_path, with_weights):
    with_weights(write_two(tmp_path, labels=TURNED))
    findings = analysed()
    called = [cell for cell in findings.cells if cell.call]
    assert [(used.name, used.version) for used in findings.networks[:2]] == [
        ("wbc", "0.1"),
        (SECOND_NETWORK, "0.2"),
    ]
    for cell in called:
        assert cell.second.label == TURNED[LABELS.index(cell.call.label)]
        assert cell.second.confidence == pytest.approx(cell.call.confidence, abs=1e-3)
        assert (cell.second.network, cell.second.version) == (SECOND_NETWORK, "0.2")
        assert "networks_disagree" in cell.review_reasons
        assert cell.explanation is not None
    document = payload(findings, "sample", datetime.now(UTC))
    detection, uncertain = document["cell_detections"][0], document["uncertain_cases"][0]
    assert detection["second_call"]["network"] == {"name": SECOND_NETWORK, "version": "0.2"}
    assert detection["second_call"]["classification"] == called[0].second.label
    assert "networks_disagree" in uncertain["reason"].split(", ")
    assert not any("second_call" in cell for cell in document["cell_detections"][len(called) :])


def test_a_network_that_agrees_changes_nothing_but_is_named(tmp_path, with_weights):
    with_weights(write_two(tmp_path))
    findings = analysed()
    called = [cell for cell in findings.cells if cell.call]
    assert called and all(cell.second.label == cell.call.label for cell in called)
    assert not any("networks_disagree" in cell.review_reasons for cell in called)
    assert findings.networks[1].name == SECOND_NETWORK


def test_progress_still_never_falls(tmp_path, with_weights):
    with_weights(write_two(tmp_path))
    shares = []
    order.analyse(SAMPLE, Config(), lambda stage, share: shares.append(share))
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_declared_classes_bind_the_second_network_too(tmp_path, with_weights):
    with_weights(write_two(tmp_path, labels=TURNED))
    findings = analysed(Config(declared_classes=("lymphocyte",)))
    assert {cell.second.label for cell in findings.cells if cell.call} == {"lymphocyte"}
    assert not any("networks_disagree" in cell.review_reasons for cell in findings.cells)


def test_the_prediction_of_a_single_cell_says_that_two_networks_disagree(tmp_path, with_weights):
    with_weights(write_two(tmp_path, labels=TURNED))
    Image.fromarray(cell_image()).save(tmp_path / "cell.png")
    said = single_cell.predict(tmp_path / "cell.png", Config())
    assert said.second.label == TURNED[LABELS.index(said.call.label)]
    (notice,) = [notice for notice in said.notices if notice.code == "networks_disagree"]
    assert f"{said.second.label} ({100 * said.second.confidence:.0f} %)" in notice.text


def test_what_the_second_network_notes_about_a_single_cell_is_said_once(tmp_path, with_weights):
    """The card of the second network has other turns than the first."""
    half = {**json.loads((write_network(tmp_path) / "wbc.json").read_text())["input"], "half_turn": True}
    with_weights(write_two(tmp_path, input=half))
    Image.fromarray(cell_image()).save(tmp_path / "cell.png")
    said = single_cell.predict(tmp_path / "cell.png", Config(augmentation=Augmentation.NONE))
    assert said.notices.count(OTHER_TURNS) == 1
    both = single_cell.predict(tmp_path / "cell.png", Config(augmentation=Augmentation.EIGHT))
    assert both.notices.count(OTHER_TURNS) == 1
    assert OTHER_TURNS not in single_cell.predict(tmp_path / "cell.png", Config()).notices


def test_a_single_cell_unlike_the_training_is_said_to_be(tmp_path, with_weights):
    thresholds = {"abstain_below": 0.2, "ood_above": -1000.0}
    with_weights(write_network(tmp_path, thresholds=thresholds))
    Image.fromarray(cell_image()).save(tmp_path / "cell.png")
    said = single_cell.predict(tmp_path / "cell.png", Config())
    assert said.second is None
    assert said.call.out_of_distribution and single_cell.UNLIKE in said.notices


def test_a_second_network_whose_weights_are_gone_is_an_error(tmp_path, with_weights):
    with_weights(write_two(tmp_path))
    (tmp_path / f"{SECOND_NETWORK}.safetensors").unlink()
    with pytest.raises(NetworkUnavailable, match=SECOND_NETWORK):
        analysed()
