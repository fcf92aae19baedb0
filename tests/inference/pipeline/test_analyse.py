import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.pipeline.analyse import STAGES, analyse
from inference.pipeline.config import DIFFERENTIAL_CLASSES, Config, SegmentationEngine
from inference.pipeline.errors import PipelineError, UnusableSmear
from inference.pipeline.findings import Call, Kind
from inference.pipeline.payload import payload
from inference.pipeline.second_look import review_reasons

SAMPLE = Path(__file__).parents[3] / "samples" / "synthetic_field.png"


@pytest.fixture(scope="module")
def analysed():
    reported = []
    findings = analyse(SAMPLE, Config(), lambda stage, share: reported.append((stage, share)))
    return findings, reported


def test_the_sample_is_analysed_whole(analysed):
    findings, _ = analysed
    assert (findings.width, findings.height) == Image.open(SAMPLE).size
    whites = [cell for cell in findings.cells if cell.instance.kind is Kind.WBC]
    assert len(whites) >= 5
    assert findings.aggregate.rbc_count >= 50
    assert [cell.cell_id for cell in findings.cells] == list(range(1, len(findings.cells) + 1))
    assert findings.networks[0].name == "wbc" and len(findings.networks[0].sha256) == 64


def test_the_engine_without_a_network_analyses_and_names_no_network_of_its_own(analysed):
    by_watershed = analyse(SAMPLE, Config(engine=SegmentationEngine.WATERSHED), lambda stage, share: None)
    with_network, _ = analysed
    assert [used.name for used in by_watershed.networks] == ["wbc", "wbc_second"]
    assert [used.name for used in with_network.networks] == ["wbc", "wbc_second", "segmentation"]
    assert by_watershed.aggregate.rbc_count == pytest.approx(with_network.aggregate.rbc_count, rel=0.2)


def test_white_cells_and_only_they_are_called(analysed):
    findings, _ = analysed
    for cell in findings.cells:
        is_white = cell.instance.kind is Kind.WBC
        assert (cell.call is not None) == is_white
        assert (cell.crop is not None) == is_white
        if cell.call:
            assert sum(cell.call.probabilities.values()) == pytest.approx(1.0)
            assert cell.crop.shape == (224, 224, 3)


def test_cells_for_review_are_explained_and_the_others_are_not(analysed):
    findings, _ = analysed
    for cell in findings.cells:
        assert (cell.explanation is not None) == bool(cell.review_reasons)
        if cell.explanation:
            assert cell.explanation.heatmap.shape == (224, 224)
            assert 0 <= cell.explanation.focus_ratio <= 1


def test_progress_names_every_stage_and_never_falls(analysed):
    findings, reported = analysed
    assert list(dict.fromkeys(stage for stage, _ in reported)) == list(STAGES)
    shares = [share for _, share in reported]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert list(findings.seconds) == list(STAGES)


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
    assert {cell.call.label for cell in findings.cells if cell.call} <= {"lymphocyte", "blast"}


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
    config = Config()
    assert review_reasons(Call("neutrophil", 0.95, {}), config) == ()
    assert review_reasons(Call("neutrophil", 0.69, {}), config) == ("low_confidence",)
    assert review_reasons(Call("platelet", 0.3, {}, abstained=True), config) == (
        "low_confidence",
        "abstained",
    )
    assert review_reasons(Call("blast", 0.99, {}), config) == ("blast",)


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
