"""Heat maps of staged fields, by the networks that are shipped."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.pipeline.class_activation import class_activation
from inference.pipeline.errors import PipelineError
from inference.pipeline.findings import Instance, Kind, Method
from inference.pipeline.networks import registry, runtime
from inference.pipeline.staging_heat_map import KeptField, field_heat_map

BOX = (300, 200, 550, 400)
FOLDERS = (registry.WEIGHTS, registry.staging_folder("mobilenetv3_lstm"))


def cell(x0, y0, x1, y1):
    corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return Instance(Kind.WBC, (x0, y0, x1, y1), corners, ((x0 + x1) / 2, (y0 + y1) / 2), 100, 0.9)


def pixels():
    """Purple discs on a pale ground with fine noise."""
    rng = np.random.default_rng(7)
    image = rng.integers(215, 245, (200, 250, 3), np.uint8)
    rows, columns = np.mgrid[:200, :250]
    for x, y in ((60, 50), (190, 60), (120, 150)):
        image[np.hypot(rows - y, columns - x) < 25] = (95, 55, 140)
    return image


def kept(folder=registry.WEIGHTS, *cells):
    network = registry.read_card(registry.STAGING_NETWORK, folder).used
    return KeptField(pixels(), BOX, "pre_b", cells, network, folder)


@pytest.mark.parametrize("method", [*Method])
def test_the_map_is_that_of_the_field_as_the_network_sees_it(method):
    network, made = runtime.load(registry.STAGING_NETWORK), field_heat_map(kept(), method)
    (seen,) = runtime.prepare([pixels()], network.card.input)
    assert np.array_equal(made.seen, seen) and seen.shape == (160, 160, 3)
    target, layer = torch.tensor([network.card.labels.index("pre_b")]), network.card.explanation_layer
    (raw,) = class_activation(method, network.module, layer, torch.from_numpy(seen[None]), target)
    explanation = made.explanation
    assert raw.shape == (5, 5) and explanation.heatmap.shape == (160, 160)
    assert explanation.strength == pytest.approx(float(raw.max()), rel=1e-4)
    assert explanation.method is method and explanation.receipt
    assert field_heat_map(kept(), method).explanation.receipt == explanation.receipt


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("method", [*Method])
def test_no_map_is_rounding_alone_and_a_card_knows_how_strong_one_is(folder, method):
    """Before a normalisation of each place over its channels activation times gradient adds up to nothing."""
    usual = registry.read_card(registry.STAGING_NETWORK, folder).heat_strength(method)
    strength = field_heat_map(kept(folder), method).explanation.strength
    assert usual > 1e-4 and usual / 100 < strength < usual * 100


def test_the_heat_is_shared_out_between_nucleated_cells_and_the_rest():
    left = (300, 200, 425, 400)
    half = field_heat_map(kept(registry.WEIGHTS, cell(*left)), Method.GRAD_CAM)
    assert half.covered_ratio == pytest.approx(0.5, abs=0.01)
    assert half.explanation.focus_ratio + half.explanation.background_ratio == pytest.approx(1)
    heat = np.asarray(half.explanation.heatmap)
    assert half.explanation.focus_ratio == pytest.approx(heat[:, :80].sum() / heat.sum(), abs=0.02)
    nothing = field_heat_map(kept(), Method.GRAD_CAM)
    assert (nothing.covered_ratio, nothing.explanation.focus_ratio) == (0, 0)


def test_cells_are_cut_off_at_the_border_and_leave_no_hole_where_they_overlap():
    reaching_in, overlapping = cell(250, 150, 400, 300), cell(350, 250, 425, 300)
    made = field_heat_map(kept(registry.WEIGHTS, reaching_in, overlapping), Method.GRAD_CAM)
    assert made.covered_ratio == pytest.approx((100 * 100 + 25 * 50) / (250 * 200), abs=0.02)


def test_a_field_that_other_weights_staged_is_not_explained():
    used = replace(registry.card(registry.STAGING_NETWORK).used, sha256="00" * 32)
    with pytest.raises(PipelineError, match="This field was staged by another version") as refused:
        field_heat_map(replace(kept(), network=used), Method.GRAD_CAM)
    assert refused.value.code == "other_network"
