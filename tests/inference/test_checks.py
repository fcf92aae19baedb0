import pytest

from inference import checks
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


def test_missing_weights_are_an_error_with_a_hint(tmp_path, monkeypatch):
    write_network(tmp_path)
    (tmp_path / "wbc.safetensors").unlink()
    broken = registry.card("wbc", tmp_path)
    monkeypatch.setattr(registry, "card", lambda name: broken)
    errors = checks.networks_are_whole()
    assert errors
    for error in errors:
        assert error.is_serious() and error.hint and "wbc.safetensors" in error.msg
