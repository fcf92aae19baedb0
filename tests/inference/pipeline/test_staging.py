"""Staging from windows to a smear, with a network whose answers are known."""

from dataclasses import dataclass

import numpy as np
import pytest

from inference.pipeline import staging
from inference.pipeline.config import STAGES_OF_LEUKEMIA
from inference.pipeline.findings import Call, Cell, FieldState, Instance, Kind
from inference.pipeline.networks import registry
from inference.pipeline.networks.runtime import Network
from inference.pipeline.payload import staging_part
from inference.pipeline.staging_windows import Geometry, windows
from inference.pipeline.stain_range import StainRange, figures
from tests.inference.training.test_staging import CARD

RNG = np.random.default_rng(5)
FIELD = RNG.integers(60, 250, (188, 188, 3), np.uint8)
BENIGN, LEUKEMIA = (4.0, 0.0, 0.0, 0.0), (0.0, 0.0, 4.0, 0.0)


def cell(x, y, label="lymphocyte"):
    instance = Instance(Kind.WBC, (x - 5, y - 5, x + 5, y + 5), (), (x, y), 100, 0.9)
    return Cell(1, instance, Call(label, 0.9, {label: 1.0}))


@dataclass
class Smear:
    """A slide from an array."""

    pixels: np.ndarray

    @property
    def width(self):
        return self.pixels.shape[1]

    @property
    def height(self):
        return self.pixels.shape[0]

    def read(self, box):
        left, top, right, bottom = box
        return self.pixels[top:bottom, left:right]


class Known(Network):
    """Answers with given logits, one row per field in the order asked, and keeps what it was shown."""

    def __init__(self, *logits, limit=1e9, **thresholds):
        known = StainRange(tuple(figures(FIELD.reshape(-1, 3))), tuple(map(tuple, np.eye(9))), limit)
        text = {**CARD, "input": {**CARD["input"], "stain_ranges": {"field": [known.as_data()]}}}
        text["thresholds"] = {**CARD["thresholds"], **thresholds}
        self.card, self.logits, self.shown = registry.parsed(text, registry.WEIGHTS), list(logits), []

    def predict(self, batch):
        self.shown.extend(batch)
        return np.array([self.logits.pop(0) for _ in batch], np.float32)


def two_fields():
    """A smear of two fields side by side, at 0.4 µm per pixel, with two cells in each."""
    pixels = RNG.integers(60, 250, (200, 440, 3), np.uint8)
    return Smear(pixels), [cell(50, 50), cell(60, 90), cell(300, 60), cell(310, 100, "blast")]


def stage(network, smear, whites, pixel_um=0.4):
    return staging.stage_with(network, smear, whites, pixel_um)


def test_the_corner_of_an_image_of_the_set_never_reaches_the_network():
    image = RNG.integers(60, 250, (224, 224, 3), np.uint8)
    painted = image.copy()
    painted[188:] = painted[:, 188:] = 0
    shown = []
    for pixels in (image, painted):
        network = Known(BENIGN)
        staged = stage(network, Smear(pixels), [cell(50, 50), cell(60, 90)])
        assert [field.box for field in staged.fields] == [(0, 0, 188, 188)]
        shown.append(network.shown[0])
    assert np.array_equal(*shown)
    inside = image.copy()
    inside[:188, :188] = 0
    network = Known(BENIGN)
    stage(network, Smear(inside), [cell(50, 50), cell(60, 90)])
    assert not np.array_equal(network.shown[0], shown[0])


def test_windows_have_the_size_of_a_training_field():
    geometry = Geometry(width_um=86.8, height_um=69.4, window_px=188, image_px=224)
    assert geometry.window((4000, 3000), 0.1) == (868, 694)
    assert geometry.window((4000, 3000), 0.2) == (434, 347)
    assert geometry.window((224, 224), 0.1) == (188, 188)
    assert geometry.window((780, 3000), 0.1) == (780, 624), (
        "a little too narrow: a smaller field, as wide as high"
    )
    assert geometry.window((600, 3000), 0.1) is None and geometry.window((4000, 3000), None) is None


def test_cells_are_counted_where_their_centre_lies():
    whites = [cell(5, 5), cell(99, 5, "blast"), cell(100, 5, "erythroblast"), cell(5, 120, "platelet")]
    cut = windows((250, 210), (100, 100), [*whites, cell(240, 5), cell(150, 150, "artifact")])
    assert [(one.box, one.nucleated, one.leukocytes, one.blasts) for one in cut] == [
        ((0, 0, 100, 100), 2, 2, 1),
        ((100, 0, 200, 100), 1, 0, 0),
    ]
    assert cut[0].blast_share == 0.5 and cut[1].blast_share is None


def test_probabilities_are_pooled_over_the_staged_fields():
    smear, whites = two_fields()
    staged = stage(Known(BENIGN, LEUKEMIA), smear, whites)
    first, second = (np.array(list(field.probabilities.values())) for field in staged.fields)
    assert np.allclose(list(staged.probabilities.values()), (first + second) / 2)
    assert sum(staged.probabilities.values()) == pytest.approx(1)
    assert [field.label for field in staged.fields] == ["benign", "pre_b"]
    assert {"low_confidence", "few_fields", "fields_disagree"} <= set(staged.reasons) and staged.label is None
    assert "networks_disagree" not in staged.reasons, "nothing was called that could disagree"


def test_a_sure_smear_is_staged_with_narrow_intervals():
    smear, whites = two_fields()
    whites[0] = cell(50, 50, "blast")
    staged = stage(Known(LEUKEMIA, LEUKEMIA, fields=2, least_blasts=0.1), smear, whites)
    assert staged.label == "pre_b" and staged.reasons == ("leukemia",)
    low, high = staged.intervals_95["pre_b"]
    assert low == pytest.approx(staged.probabilities["pre_b"]) == pytest.approx(high)
    assert "no_patient_disjoint_test" in [notice.code for notice in staged.notices]


def test_the_interval_is_students_over_fields():
    each = np.array([[0.9, 0.1], [0.7, 0.3], [0.8, 0.2]])
    (low, high), _ = staging.interval_95(each)
    assert (low, high) == (pytest.approx(0.8 - 4.3027 * 0.1 / 3**0.5, abs=1e-4), 1.0)
    assert staging.interval_95(each[:1]) == [(0.0, 1.0)] * 2


def test_a_field_with_few_nucleated_cells_is_not_stageable():
    smear, whites = two_fields()
    staged = stage(Known(BENIGN), smear, whites[:3])
    assert [field.state for field in staged.fields] == [FieldState.STAGED, FieldState.FEW_CELLS]
    assert staged.fields[1].label is None and not staged.fields[1].probabilities
    nothing = stage(Known(), smear, whites[:1])
    assert nothing.label is None and nothing.reasons == ("not_stageable",) and not nothing.probabilities


def test_colours_outside_the_training_are_not_stageable():
    smear, whites = two_fields()
    smear.pixels[:, 217:] = (255, 120, 0)
    staged = stage(Known(BENIGN, limit=10.0), smear, whites)
    assert [field.state for field in staged.fields] == [FieldState.STAGED, FieldState.COLOURS]


@pytest.mark.parametrize(
    ("logits", "called", "disagree"),
    [
        (LEUKEMIA, ["lymphocyte"] * 4, True),
        (LEUKEMIA, ["lymphocyte"] * 2 + ["blast"] * 2, False),
        (BENIGN, ["lymphocyte"] * 4, False),
        (BENIGN, ["lymphocyte"] + ["blast"] * 3, True),
        (LEUKEMIA, ["erythroblast"] * 4, False),
    ],
)
def test_a_stage_that_does_not_go_with_the_blasts_needs_review(logits, called, disagree):
    smear, whites = two_fields()
    cells = [cell(*white.instance.centroid, label) for white, label in zip(whites, called, strict=True)]
    staged = stage(Known(logits, logits, least_blasts=0.0, most_blasts=0.4), smear, cells)
    assert ("networks_disagree" in staged.reasons) is disagree


@pytest.mark.parametrize(
    ("logits", "called", "each"),
    [
        (LEUKEMIA, ["lymphocyte"] * 2 + ["blast"] * 2, [True, False]),
        (LEUKEMIA, ["blast"] * 4, [False, False]),
        (BENIGN, ["blast"] * 2 + ["lymphocyte"] * 2, [True, False]),
        (LEUKEMIA, ["erythroblast"] * 2 + ["lymphocyte"] * 2, [None, True]),
        (LEUKEMIA, ["erythroblast"] * 4, [None, None]),
    ],
)
def test_a_field_disagrees_by_its_own_blasts(logits, called, each):
    smear, whites = two_fields()
    cells = [cell(*white.instance.centroid, label) for white, label in zip(whites, called, strict=True)]
    staged = stage(Known(logits, logits, least_blasts=0.0, most_blasts=0.6), smear, cells)
    assert [field.disagrees for field in staged.fields] == each
    assert ("networks_disagree_by_field" in staged.reasons) is (True in each)
    said = [field["disagrees"] for field in staging_part(staged)["field_calls"]]
    assert said == each


def test_fewer_than_half_of_the_fields_may_disagree():
    pixels = RNG.integers(60, 250, (200, 660, 3), np.uint8)
    whites = [
        cell(220 * place + x, 60, "blast" if place else "lymphocyte") for place in range(3) for x in (50, 90)
    ]
    staged = stage(Known(LEUKEMIA, LEUKEMIA, LEUKEMIA), Smear(pixels), whites)
    assert [field.disagrees for field in staged.fields] == [True, False, False]
    assert staged.reasons == ("leukemia",)


def test_a_field_that_is_left_out_disagrees_with_nothing():
    smear, whites = two_fields()
    staged = stage(Known(LEUKEMIA), smear, whites[:3])
    assert staged.fields[1].disagrees is None


def test_a_smear_smaller_than_a_field_says_so():
    staged = stage(Known(), Smear(FIELD), [cell(50, 50)], pixel_um=0.1)
    assert staged.reasons == ("not_stageable",) and not staged.fields
    assert staged.notices[-1].code == "smaller_than_a_field"


def test_labels_are_the_stages():
    assert Known().card.labels == STAGES_OF_LEUKEMIA
