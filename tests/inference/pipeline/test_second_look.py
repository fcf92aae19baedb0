"""Cells in doubt are called again, from the crops as they were cut."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from inference.pipeline import analyse as order
from inference.pipeline.calls import white_cell_networks
from inference.pipeline.cell_words import FocusVerdict, Plausibility, Reading
from inference.pipeline.cells import crop_box
from inference.pipeline.classification import classify
from inference.pipeline.config import Augmentation, Config
from inference.pipeline.explanation import outline_in_square
from inference.pipeline.findings import Remedy
from inference.pipeline.networks import registry, runtime
from inference.pipeline.remediation import tightened
from inference.pipeline.seen_filter import SeenFilter
from tests.inference.pipeline.networks_for_tests import write_network

SAMPLE = Path(__file__).parents[3] / "samples" / "synthetic_field.png"


@pytest.fixture(autouse=True)
def white_cells_alone(monkeypatch):
    """Red cells are called by their own network and get no second look."""
    monkeypatch.setattr(order, "red_cell_network", lambda: None)


@pytest.fixture
def filtering(tmp_path, monkeypatch):
    """A network that sees its cells through a filter, and whose focus is never on the cell enough."""
    seen = {"side": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "preprocessing": "crop", "half_turn": False}
    contract = {**seen, "views": {"as_is": 1}, "variant": "mef_v1"}
    folder = write_network(tmp_path, input=contract, thresholds={"abstain_below": 0.5, "focus_below": 1.1})
    monkeypatch.setattr(order, "white_cell_networks", partial(white_cell_networks, folder))
    return runtime.Network(registry.read_card("wbc", folder))


@pytest.fixture
def trusting(tmp_path, monkeypatch):
    """A network whose calls are in no doubt but that their confidence is low."""
    folder = write_network(tmp_path, thresholds={"abstain_below": 0.0, "focus_below": 0.0})
    monkeypatch.setattr(order, "white_cell_networks", partial(white_cell_networks, folder))


def analysed(read=list, **choices):
    return order.analyse(SAMPLE, Config(**choices), lambda stage, share: None, read)


def doubting(plausible):
    def read(cells):
        said = Reading("local", "llava", "1", FocusVerdict.ON_CELL, (), plausible, "", 0.1)
        return [replace(cell, reading=said) if cell.review_reasons else cell for cell in cells]

    return read


def test_without_the_choice_a_doubted_cell_goes_to_review_and_is_not_called_again(filtering):
    called = [cell for cell in analysed().cells if cell.call]
    assert called and all("off_cell" in cell.review_reasons for cell in called)
    assert all(cell.remediation is None for cell in called)


def test_a_remedy_is_seen_through_the_filter_once(filtering):
    config = Config()
    for cell in analysed(remediate=True).cells:
        if cell.call is None:
            continue
        crop, box = np.asarray(cell.crop), crop_box(cell.instance, config.cells.padding)
        tight, _ = tightened(crop, outline_in_square(cell.instance, box, len(crop)))
        through = SeenFilter.of(crop, "cell", filtering.card).crops([tight])
        (expected,) = classify({"as_is": through}, filtering, augmentation=Augmentation.NONE)
        first, again = cell.remediation.attempts
        assert (first.remedy, again.remedy) == (Remedy.NONE, Remedy.TIGHT)
        assert again.label == expected.label
        assert again.confidence == pytest.approx(expected.confidence, abs=2e-3)
        assert cell.remediation.stands is None and cell.call.abstained
        assert cell.call.label == first.label and "off_cell" in cell.remediation.triggers


def test_a_doubt_of_the_second_reader_has_the_cell_called_again_and_the_call_stays(trusting):
    plain, again = analysed(), analysed(doubting(Plausibility.NO), remediate=True)
    assert any(cell.remediation for cell in again.cells)
    for before, after in zip(plain.cells, again.cells, strict=True):
        assert after.call == before.call
        if after.reading:
            assert after.remediation.triggers == ("second_reader",)
            assert [one.remedy for one in after.remediation.attempts] == [Remedy.NONE, Remedy.TIGHT]
            assert after.remediation.stands is Remedy.NONE and not after.remediation.changed


@pytest.mark.parametrize(("plausible", "chosen"), [(Plausibility.YES, True), (Plausibility.NO, False)])
def test_without_a_doubt_or_without_the_choice_nothing_is_called_again(trusting, plausible, chosen):
    found = analysed(doubting(plausible), remediate=chosen)
    assert any(cell.reading for cell in found.cells)
    assert all(cell.remediation is None for cell in found.cells)
