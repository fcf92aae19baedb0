import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.pipeline.analyse import STAGES, analyse
from inference.pipeline.cell_words import Description
from inference.pipeline.config import DIFFERENTIAL_CLASSES, Config, SegmentationEngine
from inference.pipeline.errors import NetworkUnavailable, PipelineError, UnusableSmear
from inference.pipeline.findings import Call, Kind, SecondCall
from inference.pipeline.haematology import NUCLEUS_SURE
from inference.pipeline.payload import payload
from inference.pipeline.reasons import Circumstances, review_reasons
from tests.stagings import staging

SAMPLE = Path(__file__).parents[3] / "samples" / "synthetic_field.png"


@pytest.fixture(scope="module")
def analysed():
    reported = []
    findings = analyse(SAMPLE, Config(), lambda stage, share: reported.append((stage, share)))
    return findings, reported


def whites(findings):
    return [cell for cell in findings.cells if cell.instance.kind is Kind.WBC]


def test_the_sample_is_analysed_whole(analysed):
    findings, _ = analysed
    assert (findings.width, findings.height) == Image.open(SAMPLE).size
    assert len(whites(findings)) >= 5
    assert findings.aggregate.rbc_count >= 50
    assert [cell.cell_id for cell in findings.cells] == list(range(1, len(findings.cells) + 1))
    assert findings.networks[0].name == "wbc" and len(findings.networks[0].sha256) == 64


def test_the_engine_without_a_network_analyses_and_names_no_network_of_its_own(analysed):
    by_watershed = analyse(SAMPLE, Config(engine=SegmentationEngine.WATERSHED), lambda stage, share: None)
    with_network, _ = analysed
    assert [used.name for used in by_watershed.networks] == ["wbc", "wbc_second", "rbc"]
    assert [used.name for used in with_network.networks] == ["wbc", "wbc_second", "rbc", "segmentation"]
    assert by_watershed.aggregate.rbc_count == pytest.approx(with_network.aggregate.rbc_count, rel=0.2)


def test_all_white_cells_and_the_measured_red_ones_are_called(analysed):
    findings, _ = analysed
    for cell in findings.cells:
        is_called = cell.instance.kind is Kind.WBC or cell.measures is not None
        assert (cell.call is not None) == is_called
        assert (cell.crop is not None) == is_called
        if cell.call:
            assert sum(cell.call.probabilities.values()) == pytest.approx(1.0)
            side = 224 if cell.instance.kind is Kind.WBC else 64
            assert np.asarray(cell.crop).shape == (side, side, 3)


def test_cells_for_review_are_explained_and_the_others_are_not(analysed):
    findings, _ = analysed
    for cell in whites(findings):
        assert (cell.explanation is not None) == bool(cell.review_reasons)
        assert (cell.description is not None) == bool(cell.review_reasons)
        if cell.explanation:
            assert cell.explanation.heatmap.shape == (224, 224)
            assert 0 <= cell.explanation.focus_ratio <= 1
            assert cell.description.label == cell.call.label
            assert f"{100 * cell.explanation.focus_ratio:.0f} % of the evidence" in cell.description.text


def test_where_the_nucleus_is_told_apart_the_shares_add_up(analysed):
    told = [cell for cell in analysed[0].cells if cell.explanation and cell.call.label in NUCLEUS_SURE]
    assert told
    for cell in told:
        of = cell.explanation
        assert of.nucleus_ratio + of.cytoplasm_ratio + of.background_ratio == pytest.approx(1.0, abs=1e-5)


def test_progress_names_every_stage_and_never_falls(analysed):
    findings, reported = analysed
    unasked = [stage for stage in STAGES if stage != "staging"]
    assert list(dict.fromkeys(stage for stage, _ in reported)) == unasked
    shares = [share for _, share in reported]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert list(findings.seconds) == unasked


def test_a_smear_that_cannot_be_staged_is_analysed_all_the_same(monkeypatch):
    def gone(*_):
        raise NetworkUnavailable("The weights of the network “staging” are missing.")

    monkeypatch.setattr("inference.pipeline.analyse.stage", gone)
    findings = analyse(SAMPLE, Config(staging=True), lambda stage, share: None)
    assert findings.staging is None and findings.cells
    assert "weights of the network “staging” are missing" in findings.notices[-1].text


def test_staging_runs_where_it_was_asked_for_by_the_cells_that_were_called(monkeypatch):
    given, reported = [], []

    def stage(slide, whites, pixel_um, folder):
        given.append((slide.width, [white.call.label for white in whites], pixel_um))
        return staging("pro_b", "leukemia")

    monkeypatch.setattr("inference.pipeline.analyse.stage", stage)
    findings = analyse(SAMPLE, Config(staging=True), lambda stage, share: reported.append((stage, share)))
    called = [cell.call.label for cell in whites(findings)]
    assert given == [(findings.width, called, findings.pixel_um)]
    assert list(dict.fromkeys(stage for stage, _ in reported)) == list(STAGES)
    document = payload(findings, "sample", datetime.now(UTC))
    assert document["staging"]["label"] == "pro_b"
    assert document["networks"][-1]["name"] == "staging"


def test_without_it_the_payload_says_that_nobody_asked(analysed):
    part = payload(analysed[0], "sample", datetime.now(UTC))["staging"]
    assert part == {"status": "not_requested", "label": None, "probabilities": {}}


def test_the_payload_is_json_and_adds_up(analysed):
    findings, _ = analysed
    document = json.loads(json.dumps(payload(findings, "sample", datetime.now(UTC))))
    counts = document["wbc_differential"]["distribution"]
    assert sum(counts.values()) == document["summary"]["wbc_count"]
    assert set(counts) == set(DIFFERENTIAL_CLASSES)
    assert len(document["cell_detections"]) == len(findings.cells)


def test_the_same_image_gives_the_same_findings(analysed):
    again = analyse(SAMPLE, Config(), lambda stage, share: None)
    first = [(c.instance.box, c.call.label if c.call else None) for c in analysed[0].cells]
    assert first == [(c.instance.box, c.call.label if c.call else None) for c in again.cells]


def test_declared_classes_bind_the_calls():
    config = Config(declared_classes=("lymphocyte", "blast"))
    findings = analyse(SAMPLE, config, lambda stage, share: None)
    assert {cell.call.label for cell in whites(findings)} <= {"lymphocyte", "blast"}


def test_an_image_without_cells_is_refused_with_what_to_do(tmp_path):
    for grey in (0, 230):
        Image.fromarray(np.full((400, 400, 3), grey, np.uint8)).save(tmp_path / "plain.png")
        with pytest.raises(UnusableSmear):
            analyse(tmp_path / "plain.png", Config(), lambda stage, share: None)


def test_an_image_of_several_tiles_counts_each_cell_once(tmp_path, analysed):
    field = np.asarray(Image.open(SAMPLE).convert("RGB"))
    Image.fromarray(np.concatenate([field, field], axis=1)).save(tmp_path / "two.png")
    twice = analyse(tmp_path / "two.png", Config(pixel_um=analysed[0].pixel_um), lambda stage, share: None)
    single = analysed[0].aggregate
    assert twice.aggregate.total_cells == pytest.approx(2 * single.total_cells, rel=0.1)


def test_reasons_for_review():
    config, known = Config(), Circumstances()
    assert review_reasons(Call("neutrophil", 0.95, {}), known, config) == ()
    assert review_reasons(Call("neutrophil", 0.69, {}), known, config) == ("low_confidence",)
    assert review_reasons(Call("platelet", 0.3, {}, abstained=True), known, config) == (
        "low_confidence",
        "abstained",
    )
    assert review_reasons(Call("blast", 0.99, {}), known, config) == ("blast",)


def test_contradicting_words_are_a_reason_only_where_that_was_chosen():
    call, chosen = Call("neutrophil", 0.95, {}), Config(review_contradicted=True)
    against = Circumstances(words=Description("neutrophil", "", (), ("granules coarse",)))
    assert review_reasons(call, against, Config()) == ()
    assert review_reasons(call, against, chosen) == ("contradicted",)
    assert review_reasons(call, Circumstances(words=Description("neutrophil", "")), chosen) == ()


def test_a_second_network_of_another_opinion_is_a_reason():
    call = Call("neutrophil", 0.95, {})
    for label, reasons in (("neutrophil", ()), ("monocyte", ("networks_disagree",))):
        known = Circumstances(SecondCall(label, 0.9, "wbc_second", "1.0.0"))
        assert review_reasons(call, known, Config()) == reasons


def test_with_the_choice_every_contradicted_cell_goes_to_review():
    findings = analyse(SAMPLE, Config(review_contradicted=True), lambda stage, share: None)
    for cell in findings.cells:
        if cell.description:
            assert ("contradicted" in cell.review_reasons) == bool(cell.description.contradicts)


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not an image")
    with pytest.raises(PipelineError):
        analyse(tmp_path / "a.png", Config(), lambda stage, share: None)


def test_real_field_has_its_white_cell(wbc_data):
    path = wbc_data / "fields_txl" / "images" / "0642b0fa-dcdb-5c4f-945b-05ecd058c4d1.jpg"
    findings = analyse(path, Config(), lambda stage, share: None)
    assert sum(cell.instance.kind is Kind.WBC for cell in findings.cells) == 1
    assert findings.pixel_um_source == "estimated"
    assert 0.05 < findings.pixel_um < 0.2
