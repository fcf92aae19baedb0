"""From a model card to the pixels its network sees: the filter is the card's, and so are its flags."""

from dataclasses import replace

import numpy as np
import pytest

from inference.pipeline import stain
from inference.pipeline.config import Config
from inference.pipeline.enhance import enhance
from inference.pipeline.networks import registry
from inference.pipeline.networks.registry import Card, PreprocessingVariant
from inference.pipeline.seen_filter import SeenFilter
from inference.pipeline.single_cell import cut_out
from tests.inference.pipeline.images import field, flat

NONE, V1, V2, V3, V4 = PreprocessingVariant


def card(variant: PreprocessingVariant) -> Card:
    shipped = registry.card("wbc")
    references = {
        shown: stain.as_data(stain.fit(field(seed=5), stain.Method.MACENKO)) for shown in ("field", "cell")
    }
    return replace(shipped, input=replace(shipped.input, variant=variant, macenko_references=references))


def test_without_a_filter_the_views_are_as_they_were():
    views = {"as_is": [field(64, 64)], "reinhard": [field(64, 64, seed=2)]}
    seen = SeenFilter.of(field(), "cell", card(NONE)).views(views)
    assert seen == views and seen["reinhard"][0] is views["reinhard"][0]


@pytest.mark.parametrize("variant", [V1, V2, V3])
def test_every_view_passes_through_the_filter(variant):
    views = {
        "as_is": [field(64, 64), field(80, 80)],
        "reinhard": [field(64, 64, seed=2), field(80, 80, seed=2)],
    }
    seen = SeenFilter.of(field(), "field", card(variant)).views(views)
    assert list(seen) == list(views)
    for crops, filtered in zip(views.values(), seen.values(), strict=True):
        for image, result in zip(crops, filtered, strict=True):
            assert (result == enhance(image, variant)).all()


def test_v4_moves_the_stain_of_the_image_to_that_of_the_card():
    image, one = field(), card(V4)
    seen = SeenFilter.of(image, "field", one)
    target = stain.from_data(one.input.macenko_references["field"])
    normaliser = stain.between(stain.fit(image, stain.Method.MACENKO), target)
    ((result,), notices) = seen.crops([image]), seen.notices
    assert (result == enhance(normaliser.apply(image), V3)).all()
    assert notices == ()


def test_v4_of_an_image_without_stain_is_flagged():
    blank = flat(230)
    seen = SeenFilter.of(blank, "cell", card(V4))
    assert [notice.code for notice in seen.notices] == ["stain_not_normalised"]
    assert (seen.crops([blank])[0] == enhance(blank, V3)).all()


def test_a_single_cell_is_seen_through_the_filter_of_the_card():
    image = field(256, 256)
    plain, filtered = (cut_out(image, card(variant), Config()) for variant in (NONE, V2))
    assert (filtered.crop == plain.crop).all()
    for before, after in zip(plain.views.values(), filtered.views.values(), strict=True):
        assert (after[0] == enhance(before[0], V2)).all()


def test_the_flag_of_a_single_cell_reaches_its_notices():
    square = cut_out(np.full((200, 200, 3), 225, np.uint8), card(V4), Config())
    assert "stain_not_normalised" in [notice.code for notice in square.notices]
