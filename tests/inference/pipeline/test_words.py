"""Nucleus, morphology, what the network tells, and the words made of them, on drawn cells."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from inference.pipeline.cell_words import Morphology
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.criteria import Verdict, table
from inference.pipeline.description import ATTRIBUTES, describe
from inference.pipeline.findings import Call, Explanation
from inference.pipeline.haematology import CRITERIA, MEASURED, NAMED, NUCLEUS_SURE, criteria_of
from inference.pipeline.morphology import measure
from inference.pipeline.networks import registry
from inference.pipeline.nucleus import nucleus_mask
from inference.pipeline.told import Told, told
from inference.pipeline.words import Cut, in_words

GLASS, PLASM, CHROMATIN = (250, 235, 225), (215, 190, 215), (95, 55, 130)
ROUND = [((80, 80), 32)]
THREE = [((52, 80), 15), ((88, 56), 15), ((100, 100), 15)]


def drawn(lobes, lamp=(1.0, 1.0, 1.0)):
    """A cell of radius 60 whose lobes are discs, the crop under a lamp, its mask and its nucleus."""
    crop = np.full((160, 160, 3), GLASS, np.uint8)
    mask, nucleus = np.zeros((160, 160), np.uint8), np.zeros((160, 160), np.uint8)
    cv2.circle(mask, (80, 80), 60, 255, -1)
    for centre, radius in lobes:
        cv2.circle(nucleus, centre, radius, 255, -1)
    crop[mask > 0], crop[nucleus > 0] = PLASM, CHROMATIN
    noise = np.random.default_rng(0).normal(0, 4, crop.shape)
    lit = np.clip((crop + noise) * lamp, 0, 255).astype(np.uint8)
    return cv2.GaussianBlur(lit, (0, 0), 1.0), mask, nucleus


def overlap(one, other):
    return ((one > 127) & (other > 127)).sum() / ((one > 127) | (other > 127)).sum()


def a_neutrophil():
    crop, mask, _ = drawn(THREE)
    return measure(crop, mask, nucleus_mask(crop, mask), 0.12)


@pytest.mark.parametrize("lobes", [ROUND, THREE])
@pytest.mark.parametrize("lamp", [(1.0, 1.0, 1.0), (0.8, 0.9, 1.0)])
def test_the_nucleus_is_found_under_any_lamp(lobes, lamp):
    crop, mask, nucleus = drawn(lobes, lamp)
    assert overlap(nucleus_mask(crop, mask), nucleus) > 0.9


def test_the_nucleus_lies_within_the_cell_and_an_empty_mask_has_none():
    crop, mask, _ = drawn(ROUND)
    crop[:20] = CHROMATIN
    assert not nucleus_mask(crop, mask)[mask == 0].any()
    assert not nucleus_mask(crop, np.zeros_like(mask)).any()


def test_areas_lobes_and_size_are_those_drawn():
    crop, mask, nucleus = drawn(THREE)
    cell = measure(crop, mask, nucleus, 0.12)
    assert cell.nucleus_lobes == 3
    assert cell.nc_ratio == pytest.approx((nucleus > 0).sum() / (mask > 0).sum(), abs=1e-4)
    assert cell.cell_diameter_um == pytest.approx(121 * 0.12, rel=0.02)
    assert measure(crop, mask, nucleus).cell_diameter_um is None


def test_a_round_nucleus_is_one_solid_lobe_and_a_band_is_one_bent_lobe():
    crop, mask, nucleus = drawn(ROUND)
    whole = measure(crop, mask, nucleus)
    band = np.zeros_like(nucleus)
    cv2.ellipse(band, (80, 80), (34, 34), 0, 0, 220, 255, 16)
    bent = measure(crop, mask, band)
    assert (whole.nucleus_lobes, bent.nucleus_lobes) == (1, 1)
    assert whole.nucleus_solidity > 0.95 > 0.8 > bent.nucleus_solidity


def test_without_a_cell_nothing_is_measured():
    crop, mask, _ = drawn(ROUND)
    none = np.zeros_like(mask)
    assert measure(crop, none, none, 0.1) == Morphology(None, 0, None, None, None, None, None, None, None)


def test_more_granules_are_more_granularity():
    crop, mask, nucleus = drawn(ROUND)
    before = measure(crop, mask, nucleus).granularity
    for x, y in np.random.default_rng(1).uniform(30, 130, (60, 2)).astype(int):
        cv2.circle(crop, (int(x), int(y)), 2, (150, 70, 120), -1)
    assert measure(crop, mask, nucleus).granularity > 1.5 * before


def test_the_call_decides_what_supports_and_what_contradicts():
    cell = replace(a_neutrophil(), nucleus_lobes=4)
    assert any("of 4 lobes" in words for words in describe("neutrophil", cell).supports)
    assert any("of 4 lobes" in words for words in describe("lymphocyte", cell).contradicts)
    described = describe("lymphocyte", cell)
    assert described.label == "lymphocyte" and described.machine_text
    assert all(words in described.text for words in described.contradicts)


@pytest.mark.parametrize("label", WBC_CLASSES)
def test_every_class_has_two_or_three_sentences(label):
    focus = Explanation(np.zeros((4, 4), np.float32), 0.72, 1.0, nucleus_ratio=0.51)
    words = describe(label, a_neutrophil(), (), focus)
    assert words.text.endswith("72 % of the evidence lies on the cell, 51 % on the nucleus.")
    assert words.text.count(". ") == 2
    assert words == describe(label, a_neutrophil(), (), focus)
    without = describe(label, replace(a_neutrophil(), cell_diameter_um=None))
    assert without.text.count(". ") == (label in NUCLEUS_SURE)


@pytest.mark.parametrize("label", ["blast", "immature_granulocyte"])
@pytest.mark.parametrize("change", [{"nc_ratio": 0.05}, {"nucleus_lobes": 7}, {"nucleus_solidity": 0.2}])
def test_a_nucleus_that_may_be_cut_speaks_neither_for_nor_against(label, change):
    cell = a_neutrophil()
    assert describe(label, replace(cell, **change)) == describe(label, cell)


def test_only_what_is_sure_counts_and_only_in_the_mature_classes():
    sure, cell = Told("granule_type", "coarse", 0.99, sure=True), a_neutrophil()
    words = describe("neutrophil", cell, [sure])
    assert "granules coarse" in words.contradicts
    assert "granules coarse as the network tells" in words.text
    unsure = replace(sure, sure=False)
    assert describe("neutrophil", cell, [unsure]) == describe("neutrophil", cell)
    assert describe("blast", cell, [sure]) == describe("blast", cell)


def test_what_the_network_tells_is_said_to_be_told_and_where_it_was_learnt():
    told_of = [Told("granule_type", "small", 0.99, True), Told("granule_colour", "pink", 0.99, True)]
    words = describe("neutrophil", a_neutrophil(), told_of)
    assert "learnt it on mature cells of one laboratory: granules small and pink" in words.text
    assert "granules small and pink" in words.supports
    assert words.text.count("granules small") == 1 and "what the network tells" in words.text


def test_the_shape_of_the_nucleus_is_told_of_nowhere():
    every = [Told("nucleus_shape", value, 0.99, sure=True) for value in ("segmented-bilobed", "irregular")]
    for label in WBC_CLASSES:
        assert describe(label, a_neutrophil(), every) == describe(label, a_neutrophil())


@pytest.mark.parametrize("label", WBC_CLASSES)
def test_no_part_is_named_twice_in_a_list(label):
    everything = [Told(name, value, 1, True) for name, (_, of) in ATTRIBUTES.items() for value in of]
    for told_of in ((), everything):
        words = describe(label, a_neutrophil(), told_of)
        for part in ("nucleus", "chromatin", "cytoplasm", "granules"):
            for_it = words.text.partition("For ")[2].partition("; against it")[0]
            assert for_it.count(f"{part} ") <= 1


def test_every_class_has_criteria_with_a_source_for_a_second_reader():
    assert set(CRITERIA) == set(WBC_CLASSES)
    for label in WBC_CLASSES:
        assert criteria_of(label) and all(one.source for one in CRITERIA[label])
        assert all(one.source for one in (*MEASURED[label], *NAMED.get(label, ())))


def test_from_the_crop_to_words_with_the_evidence_on_the_nucleus():
    crop, mask, nucleus = drawn(ROUND)
    heat = np.float32(nucleus > 0)
    outline = [(float(x), float(y)) for x, y in cv2.findContours(mask, 0, 1)[0][0][:, 0]]
    card = registry.read_card(registry.WBC_NETWORK)
    seen = Cut(crop, outline, 0.12), Call("lymphocyte", 0.9, {}), card, Explanation(heat, 1.0, 1.0)
    told_apart, words = in_words(*seen)
    assert told_apart.nucleus_ratio > 0.9
    assert told_apart.nucleus_ratio + told_apart.cytoplasm_ratio == pytest.approx(1.0)
    assert words.text.startswith("Seen: nucleus over 27 % of the cell's area, about 14 µm across.")


@pytest.mark.parametrize("label", ["platelet", "artifact", "blast"])
def test_where_no_nucleus_can_be_told_apart_none_is(label):
    crop, mask, nucleus = drawn(ROUND)
    outline = [(float(x), float(y)) for x, y in cv2.findContours(mask, 0, 1)[0][0][:, 0]]
    card = registry.read_card(registry.WBC_NETWORK)
    before = Explanation(np.float32(nucleus > 0), 1.0, 1.0)
    after, words = in_words(Cut(crop, outline), Call(label, 0.9, {}), card, before)
    assert after.nucleus_ratio is None and "nucleus" not in words.text


def test_an_empty_map_tells_of_no_share():
    empty = Explanation(np.zeros((4, 4), np.float32), 0.0, 0.0)
    text = describe("basophil", a_neutrophil(), (), empty).text
    assert text.endswith("The heat map is empty: it shows no place that speaks for the call.")
    assert "% of the evidence" not in text


def test_logits_become_values_and_another_network_is_never_sure():
    card = registry.read_card(registry.WBC_NETWORK)
    measured = replace(card, sha256=table()["provenance"]["network"]["sha256"])
    logits = np.zeros(sum(map(len, card.attributes.values())), np.float32)
    logits[-1] = 9
    last = told(logits, measured)[-1]
    assert (last.attribute, last.value, last.sure) == ("granularity", "yes", True)
    assert not any(one.sure for one in told(logits, replace(card, sha256="another")))
    assert told(None, card) == ()


def test_every_criterion_has_its_limits_or_its_attribute():
    card = registry.read_card(registry.WBC_NETWORK)
    for label, criteria in MEASURED.items():
        for one in criteria:
            assert one.feature == "cell_diameter_um" or one.feature in table()["limits"][label]
    for criteria in NAMED.values():
        for one in criteria:
            assert {*one.fits, *one.against} <= set(card.attributes[one.attribute])


def test_the_limits_split_supports_from_contradicts():
    (wanted,) = [one for one in MEASURED["lymphocyte"] if one.feature == "nc_ratio"]
    limits = {"p2": 0.3, "p25": 0.5, "p75": 0.7, "p98": 0.8, "usual": 0.55}
    cells = [replace(a_neutrophil(), nc_ratio=value) for value in (0.2, 0.4, 0.52, 0.6)]
    expected = [Verdict.CONTRADICTS, Verdict.NOT_KNOWN, Verdict.NOT_KNOWN, Verdict.SUPPORTS]
    assert [wanted.verdict(cell, limits) for cell in cells] == expected
