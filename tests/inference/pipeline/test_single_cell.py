import numpy as np
import pytest
from PIL import Image

from inference.pipeline import single_cell
from inference.pipeline.config import Config
from inference.pipeline.explanation import explain
from inference.pipeline.networks import registry, runtime
from inference.pipeline.seen_colours import NOT_NORMALISED, SWITCHED_OFF, SeenColours
from inference.pipeline.single_cell import WHOLE_FRAME, cut_out, predict
from tests.inference.pipeline.networks_for_tests import reinhard_card, write_network

OUTLINE = ((10, 10), (50, 10), (50, 50), (10, 50))


def cell_image(side: int = 256, radius: int = 45) -> np.ndarray:
    """A dark nucleus in pale cytoplasm on a bright background."""
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[:side, :side]
    distance = np.hypot(rows - side / 2, columns - side / 2)
    image = np.full((side, side, 3), (245, 225, 205), float)
    image[distance < radius * 1.4] = (190, 175, 205)
    image[distance < radius] = (95, 50, 140)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def test_the_cell_is_found_and_fills_its_square():
    square = cut_out(cell_image(), registry.card("wbc"), Config())
    assert square.found
    xs = [x for x, _ in square.outline]
    assert 0.6 * 224 < max(xs) - min(xs) < 224
    assert all(view[0].shape == (224, 224, 3) for view in square.views.values())


def test_prediction_of_one_cell(tmp_path):
    Image.fromarray(cell_image()).save(tmp_path / "cell.png")
    prediction = predict(tmp_path / "cell.png", Config())
    assert prediction.call.label in registry.card("wbc").labels
    assert sum(prediction.call.probabilities.values()) == pytest.approx(1.0)
    assert prediction.explanation.heatmap.shape == prediction.crop.shape[:2]
    assert WHOLE_FRAME not in prediction.notices


def test_the_crop_as_it_is_is_explained_wherever_its_view_stands(tmp_path, monkeypatch):
    seen = {"side": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "preprocessing": "crop", "half_turn": False}
    views = {"levels": 1, "as_is": 1}
    network = runtime.load("wbc", write_network(tmp_path, input={**seen, "views": views}))
    monkeypatch.setattr(single_cell, "white_cell_networks", lambda first: [network])
    Image.fromarray(cell_image()).save(tmp_path / "cell.png")
    prediction = predict(tmp_path / "cell.png", Config())
    outline = cut_out(cell_image(), network.card, Config()).outline
    by = network.module, network.card
    (expected,) = explain([prediction.crop], [prediction.call.label], [outline], by)
    np.testing.assert_allclose(prediction.explanation.heatmap, expected.heatmap, atol=1e-5)


def test_without_a_cell_the_whole_frame_is_classified_and_said_so(tmp_path):
    rng = np.random.default_rng(0)
    empty = np.clip(rng.normal(225, 2, (200, 200, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(empty).save(tmp_path / "empty.png")
    prediction = predict(tmp_path / "empty.png", Config())
    assert WHOLE_FRAME in prediction.notices


def test_both_colours_are_seen_unless_switched_off():
    card, image = reinhard_card(), cell_image()
    seen = SeenColours.of(image, "cell", card, Config()).views([image], [OUTLINE])
    assert list(seen) == list(card.input.views)
    assert (seen["as_is"][0] == image).all()
    off = SeenColours.of(image, "cell", card, Config(normalise_stain=False))
    assert list(off.views([image], [OUTLINE])) == ["as_is"] and off.notices == (SWITCHED_OFF,)


def test_every_view_of_the_shipped_card_is_shown():
    card, image = registry.card("wbc"), cell_image()
    seen = SeenColours.of(image, "cell", card, Config()).views([image], [OUTLINE])
    assert list(seen) == list(card.input.views)
    assert len({view[0].tobytes() for view in seen.values()}) == len(seen)


def test_a_flat_image_is_not_normalised_and_that_is_noted():
    flat = np.full((64, 64, 3), 200, np.uint8)
    seen = SeenColours.of(flat, "field", reinhard_card(), Config())
    assert seen.notices == (NOT_NORMALISED,)
    assert list(seen.views([flat], [OUTLINE])) == ["as_is"]
