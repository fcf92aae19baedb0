import shutil

import pytest

from inference import checks, tasks
from inference.pipeline.networks import registry
from tests.inference.pipeline.networks_for_tests import write_network


def test_shipped_networks_pass():
    assert checks.networks_are_whole() == []


@pytest.mark.parametrize(
    ("name", "problems"), [("compact", 0), ("watershed", 0), ("htc", 0), ("cellpose", 1), ("", 1)]
)
def test_only_an_engine_of_the_product_can_be_chosen(settings, name, problems):
    settings.SEGMENTATION_ENGINE = name
    found = checks.segmentation_engine_is_known()
    assert len(found) == problems
    assert all("compact, watershed" in error.msg for error in found)


def test_an_engine_without_weights_is_told_at_the_start(settings):
    settings.SEGMENTATION_ENGINE = "htc"
    (error,) = checks.networks_are_whole()
    assert "segmentation_htc" in error.msg


@pytest.mark.parametrize("name", ["", "mobilenetv3_lstm", str(registry.WEIGHTS)])
def test_a_staging_network_that_is_shipped_can_be_chosen(settings, name):
    settings.STAGING_NETWORK = name
    assert checks.staging_network_is_whole() == []


def test_a_staging_network_without_its_own_weights_is_told_at_the_start(settings, tmp_path):
    """Another card's weights, no weights, no folder."""
    shipped = registry.WEIGHTS / "mobilenetv3_lstm"
    for folder, weights in (("other", registry.WEIGHTS), ("none", None)):
        (tmp_path / folder).mkdir()
        shutil.copy(shipped / "staging.json", tmp_path / folder)
        if weights:
            shutil.copy(weights / "staging.safetensors", tmp_path / folder)
    said = {"other": "not those its card describes", "none": "are missing", "nowhere": "is missing"}
    for folder, words in said.items():
        settings.STAGING_NETWORK = str(tmp_path / folder)
        (error,) = checks.staging_network_is_whole()
        assert (
            error.is_serious() and folder in error.msg and words in error.msg and "staging.json" in error.hint
        )


def test_the_chosen_staging_network_is_the_one_that_stages(settings):
    settings.STAGING_NETWORK = "mobilenetv3_lstm"
    folder = tasks._config().staging_folder
    assert registry.read_card("staging", folder).architecture == "mobilenetv3_lstm"
    settings.STAGING_NETWORK = ""
    assert tasks._config().staging_folder == registry.WEIGHTS


def test_missing_weights_are_an_error_with_a_hint(tmp_path, monkeypatch):
    write_network(tmp_path)
    (tmp_path / "wbc.safetensors").unlink()
    broken = registry.card("wbc", tmp_path)
    monkeypatch.setattr(registry, "card", lambda name: broken)
    errors = checks.networks_are_whole()
    assert errors
    for error in errors:
        assert error.is_serious() and error.hint and "wbc.safetensors" in error.msg
