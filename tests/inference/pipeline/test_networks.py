import json

import numpy as np
import pytest
import torch

from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.networks import registry, runtime, torchvision_compat
from inference.pipeline.networks.registry import PreprocessingVariant
from tests.inference.pipeline.networks_for_tests import LABELS, write_network


def test_a_card_is_read_whole(tmp_path):
    card = registry.card("wbc", write_network(tmp_path))
    assert card.labels == tuple(LABELS)
    assert card.input.side == 32 and card.input.views == {"as_is": 1.0}
    assert card.used.sha256 == card.sha256
    assert registry.names(tmp_path) == ("wbc",)


def test_another_hash_is_refused(tmp_path):
    card = registry.card("wbc", write_network(tmp_path, sha256="0" * 64))
    with pytest.raises(NetworkUnavailable, match="not those its card describes"):
        registry.verified_weights(card)
    with pytest.raises(NetworkUnavailable):
        runtime.load("wbc", tmp_path)


def test_one_changed_byte_is_refused(tmp_path):
    card = registry.card("wbc", write_network(tmp_path))
    data = bytearray(card.weights.read_bytes())
    data[-1] ^= 1
    card.weights.write_bytes(data)
    with pytest.raises(NetworkUnavailable, match="expected sha256"):
        registry.verified_weights(card)


def test_missing_card_and_missing_weights_are_named(tmp_path):
    with pytest.raises(NetworkUnavailable, match=r"wbc\.json"):
        registry.card("wbc", tmp_path)
    card = registry.card("wbc", write_network(tmp_path))
    card.weights.unlink()
    with pytest.raises(NetworkUnavailable, match=r"wbc\.safetensors"):
        registry.verified_weights(card)


def test_incomplete_card_is_refused(tmp_path):
    path = write_network(tmp_path) / "wbc.json"
    text = json.loads(path.read_text())
    del text["temperature"]
    path.write_text(json.dumps(text))
    with pytest.raises(NetworkUnavailable, match="incomplete"):
        registry.card("wbc", tmp_path)


def with_input(folder, **changes):
    path = write_network(folder) / "wbc.json"
    text = json.loads(path.read_text())
    text["input"].update(changes)
    path.write_text(json.dumps(text))
    return registry.read_card("wbc", folder)


def test_a_card_without_a_filter_has_none(tmp_path):
    assert registry.card("wbc", write_network(tmp_path)).input.variant is PreprocessingVariant.NONE


@pytest.mark.parametrize("name", ["none", "mef_v1", "mef_v2", "mef_v3"])
def test_a_card_names_its_filter(tmp_path, name):
    assert with_input(tmp_path, variant=name).input.variant is PreprocessingVariant(name)


@pytest.mark.parametrize("name", ["mef_v9", "MEF_V1", 1, None])
def test_an_unknown_filter_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(NetworkUnavailable, match=f"image filter “{name}”.*none, mef_v1, .*mef_v4"):
        with_input(tmp_path, variant=name)


def test_a_filter_with_a_stain_needs_its_references(tmp_path):
    with pytest.raises(NetworkUnavailable, match="macenko_references for a field and for a cell"):
        with_input(tmp_path, variant="mef_v4", macenko_references={"cell": {}})
    references = {"cell": {"method": "macenko"}, "field": {"method": "macenko"}}
    with pytest.raises(NetworkUnavailable, match="no view but as_is"):
        with_input(
            tmp_path, variant="mef_v4", macenko_references=references, views={"as_is": 1, "reinhard": 1}
        )
    card = with_input(tmp_path, variant="mef_v4", macenko_references=references)
    assert card.input.macenko_references == references


def test_openvino_says_what_torch_says_for_any_batch_size(tmp_path):
    network = runtime.load("wbc", write_network(tmp_path))
    rng = np.random.default_rng(0)
    for count in (1, 5):
        batch = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
        said = network.answers(batch)
        assert [answer.shape for answer in said] == [(count, len(LABELS)), (count, 0), (count, 256)]
        assert_close(said, eager(network.module, batch))
        np.testing.assert_array_equal(network.predict(batch), said[0])


def test_a_card_with_attributes_has_logits_for_their_values(tmp_path):
    attributes = {"cell_size": ["big", "small"], "granularity": ["yes", "no", "some"]}
    made = registry.read_card("wbc", write_network(tmp_path, values=5, attributes=attributes))
    assert made.attributes == {"cell_size": ("big", "small"), "granularity": ("yes", "no", "some")}
    network, batch = runtime.Network(made), np.full((2, 32, 32, 3), 90, np.uint8)
    said = network.answers(batch)
    assert said[1].shape == (2, 5)
    assert_close(said, eager(network.module, batch))


def test_a_network_is_built_once_per_process(tmp_path):
    write_network(tmp_path)
    assert runtime.load("wbc", tmp_path) is runtime.load("wbc", tmp_path)


def test_crops_of_any_side_come_to_the_networks_side(tmp_path):
    contract = registry.card("wbc", write_network(tmp_path)).input
    large, small = np.full((224, 224, 3), 200, np.uint8), np.full((20, 20, 3), 50, np.uint8)
    batch = runtime.prepare([large, small], contract)
    assert batch.shape == (2, 32, 32, 3) and batch.dtype == np.uint8
    assert (batch[0] == 200).all() and (batch[1] == 50).all()


def test_shipped_weights_match_their_cards():
    assert registry.WBC_NETWORK in registry.names()
    for path in registry.WEIGHTS.rglob("*.json"):
        card = registry.read_card(path.stem, path.parent)
        assert registry.verified_weights(card)
        assert "Research Use Only" in card.text["intended_use"]
        assert all(metric["command"] for metric in card.text["metrics"])
    cards, files = (
        {path.with_suffix("") for path in registry.WEIGHTS.rglob(f"*.{end}")}
        for end in ("json", "safetensors")
    )
    assert cards == files


@pytest.mark.parametrize(
    ("folder", "architecture"), [("", "efficientnet_lite0_lstm"), ("mobilenetv3_lstm", "mobilenetv3_lstm")]
)
def test_each_shipped_staging_network_has_the_weights_of_its_architecture(folder, architecture):
    card = registry.read_card("staging", registry.staging_folder(folder))
    assert card.architecture == architecture == card.text["training"]["architecture"]
    pixels = torch.zeros(1, card.input.side, card.input.side, 3, dtype=torch.uint8)
    with torch.inference_mode():
        assert runtime.torch_module(card)(pixels).shape == (1, len(card.labels))


def eager(module, batch):
    with torch.inference_mode():
        return module(torch.from_numpy(batch))


def assert_close(said, expected, share=0.03):
    """All answers differ from the expected ones by at most a share of their length: bfloat16 has 8 bits."""
    for answer, other in zip(said, expected, strict=True):
        assert answer.shape == tuple(other.shape)
        assert np.linalg.norm(answer - other.numpy()) <= share * np.linalg.norm(other)


def test_torchvision_loads_and_suppresses_overlaps():
    assert torchvision_compat.ensure() in ("native", "plain torch")
    from torchvision.ops import nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    assert nms(boxes, torch.tensor([0.5, 0.9, 0.7]), 0.5).tolist() == [1, 2]


@pytest.mark.parametrize("views", [{"levels": 1}, {"as_is": 1, "leveled": 1}])
def test_a_card_with_views_that_cannot_be_shown_is_refused(tmp_path, views):
    write_network(tmp_path)
    text = json.loads((tmp_path / "wbc.json").read_text())
    text["input"]["views"] = views
    (tmp_path / "wbc.json").write_text(json.dumps(text))
    with pytest.raises(NetworkUnavailable, match="as_is has to be one of them"):
        registry.read_card("wbc", tmp_path)
