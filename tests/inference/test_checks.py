from inference import checks
from inference.pipeline.networks import registry
from tests.inference.pipeline.networks_for_tests import write_network


def test_shipped_networks_pass():
    assert checks.networks_are_whole() == []


def test_missing_weights_are_an_error_with_a_hint(tmp_path, monkeypatch):
    write_network(tmp_path)
    (tmp_path / "wbc.safetensors").unlink()
    broken = registry.card("wbc", tmp_path)
    monkeypatch.setattr(registry, "card", lambda name: broken)
    errors = checks.networks_are_whole()
    assert errors
    for error in errors:
        assert error.is_serious() and error.hint and "wbc.safetensors" in error.msg
