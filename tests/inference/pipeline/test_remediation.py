from dataclasses import replace

import numpy as np
import pytest

from inference.pipeline.config import Config
from inference.pipeline.findings import Call, Remedy
from inference.pipeline.networks import runtime
from inference.pipeline.networks.registry import card
from inference.pipeline.remediation import Doubted, Remedies, remediate, settle, tightened

SQUARE = [(60.0, 60.0), (99.0, 60.0), (99.0, 99.0), (60.0, 99.0)]


def called(label, confidence):
    return Call(label, confidence, {label: confidence})


@pytest.fixture
def crop():
    """A dark cell on light glass, with a red neighbour."""
    image = np.full((224, 224, 3), (235, 230, 225), np.uint8)
    image[60:100, 60:100] = (90, 40, 140)
    image[:40, 150:] = (200, 60, 60)
    return image


def test_the_surest_call_made_on_the_cell_stands():
    tried = {
        Remedy.NONE: (called("monocyte", 0.9), 0.2),
        Remedy.REINHARD: (called("lymphocyte", 0.6), 0.7),
        Remedy.TIGHT: (called("neutrophil", 0.8), 0.8),
    }
    call, kept = settle(tried, 0.5, ("off_cell",))
    assert call.label == "neutrophil" and not call.abstained
    assert kept.stands is Remedy.TIGHT and kept.changed
    assert [attempt.on_cell for attempt in kept.attempts] == [False, True, True]
    assert kept.triggers == ("off_cell",)


def test_the_first_call_stands_when_it_is_on_the_cell_and_the_surest():
    tried = {
        Remedy.NONE: (called("monocyte", 0.9), 0.6),
        Remedy.MACENKO: (called("neutrophil", 0.9), 0.6),
    }
    call, kept = settle(tried, 0.5, ("stain",))
    assert call is tried[Remedy.NONE][0]
    assert kept.stands is Remedy.NONE and not kept.changed


def test_without_focus_on_the_cell_the_network_abstains_and_keeps_its_call():
    tried = {
        Remedy.NONE: (called("monocyte", 0.99), 0.1),
        Remedy.TIGHT: (called("blast", 0.99), 0.49),
    }
    call, kept = settle(tried, 0.5, ("off_cell",))
    assert call == replace(tried[Remedy.NONE][0], abstained=True)
    assert kept.stands is None and not kept.changed


def test_the_tighter_square_holds_the_cell_and_none_of_its_neighbours(crop):
    tight, outline = tightened(crop, SQUARE)
    assert tight.shape == crop.shape and tight.dtype == np.uint8
    x0, y0 = np.min(outline, axis=0)
    x1, y1 = np.max(outline, axis=0)
    assert (x1 - x0) / 224 == pytest.approx(1 / 1.05, abs=0.01)
    assert (x0 + x1) / 2 == pytest.approx(112, abs=1) and (y0 + y1) / 2 == pytest.approx(112, abs=1)
    np.testing.assert_allclose(tight[112, 112], (90, 40, 140), atol=3)
    np.testing.assert_allclose(tight[1, 1], (235, 230, 225), atol=6)
    assert not ((tight[..., 0] > 180) & (tight[..., 1] < 100)).any()


def test_a_crop_that_is_all_cell_is_left_as_it_is(crop):
    everything = [(0.0, 0.0), (223.0, 0.0), (223.0, 223.0), (0.0, 223.0)]
    tight, outline = tightened(crop, everything)
    assert tight is crop and outline is everything


def test_a_stain_that_cannot_be_measured_is_not_tried():
    blank = np.full((224, 224, 3), 240, np.uint8)
    assert Remedies.of(blank, "cell", card("wbc")).names == (Remedy.TIGHT,)


def test_every_cell_is_tried_in_every_way(crop):
    network = runtime.load("wbc")
    doubted = [Doubted(crop, SQUARE, called("monocyte", 0.3), 0.1, ("stain",))] * 2
    remedies = Remedies.of(crop, "cell", network.card)

    def see(crops, outlines):
        return {"as_is": crops}

    settled = remediate(doubted, remedies, see, network, Config())
    assert len(settled) == 2
    for call, kept in settled:
        assert tuple(attempt.remedy for attempt in kept.attempts) == (Remedy.NONE, *remedies.names)
        assert Remedy.REINHARD in remedies.names
        assert call.label in network.card.labels
        assert kept.attempts[0].label == "monocyte"
