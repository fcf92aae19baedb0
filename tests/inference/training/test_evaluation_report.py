import io
import re
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.pipeline.findings import Call
from inference.pipeline.networks import registry
from inference.training.evaluate_wbc import Measured, measure
from inference.training.evaluation_figures import detailed
from inference.training.evaluation_plots import SHEET_COLUMNS
from inference.training.evaluation_report import MISTAKES_SHOWN, About, write_report
from inference.training.evaluation_words import caveats
from inference.training.labels import Listing, Sample, Skipped, samples
from inference.training.overlap import Fingerprints, overlap

RUO = "For Research Use Only. Not for use in diagnostic procedures."
CLASSES = ("neutrophil", "lymphocyte", "blast")
CELL = np.full((224, 224, 3), 200, np.uint8)


def call(label: str, confidence: float, **more) -> Call:
    rest = (1 - confidence) / 2
    return Call(label, confidence, {name: confidence if name == label else rest for name in CLASSES}, **more)


def measured(folder: Path, calls: list[tuple[str, Call]], group: str = "", **more) -> Measured:
    listed = [
        Sample(folder / truth / f"{number}.png", truth, group=f"{group}{number}" if group else "")
        for number, (truth, _) in enumerate(calls)
    ]
    crops = {number: CELL for number, (truth, made) in enumerate(calls) if made.label != truth}
    card = registry.card("wbc")
    return Measured(card, listed, [made for _, made in calls], [True] * len(calls), crops=crops, **more)


def about(folder: Path, **more) -> About:
    return About(
        folder, "python manage.py evaluate wbc cells", datetime(2026, 3, 4, 5, 6, tzinfo=UTC), **more
    )


def words_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.split("<body>")[1]))


def figures_and_page(tmp_path, made: Measured, **more) -> tuple[dict, str]:
    figures = detailed(made)
    page = write_report(tmp_path / "report", made, figures | more, about(tmp_path))
    return figures, page.read_text(encoding="utf-8")


def test_real_cells_become_a_report_whose_facts_are_those_of_the_figures(wbc_data, tmp_path):
    listed = samples(wbc_data / "wbc_apl", "val")
    blasts = [sample for sample in listed if sample.label == "blast"][:8]
    listing = Listing(wbc_data / "wbc_apl", [*blasts, *listed[::40]], [])
    made = measure(listing)
    figures = detailed(made)
    training, tested = Fingerprints.of([blasts[0].path]), Fingerprints.of([s.path for s in listing.samples])
    compared = overlap(tested, training, (listing.folder, listing.folder), {"split": "train"})
    page = write_report(tmp_path, made, figures | {"overlap": [compared]}, about(listing.folder)).read_text()
    said = words_of(page)
    assert RUO in said
    assert registry.card("wbc").sha256 in said
    assert "2026-03-04 05:06 UTC (UTC+00:00)" in said
    assert f"{100 * figures['accuracy']:.1f} %" in said
    low, high = figures["intervals_95"]["accuracy"]
    assert f"95 % interval {100 * low:.1f}–{100 * high:.1f} %, n = {figures['n']}" in said
    assert figures["intervals_95"]["resampled"].endswith("patients or smears")
    wrong = figures["n"] - np.trace(figures["confusion"])
    assert page.count("<li><img") == min(wrong, MISTAKES_SHOWN) == min(len(made.crops), MISTAKES_SHOWN)
    assert "Blasts: what a threshold would give" in said
    assert "wbc_apl, split=train" in said
    assert compared["same_file"] == 1 and f"Also in wbc_apl: 1 of {figures['n']}" in said
    for name in ("confusion", "roc", "reliability", "coverage_accuracy"):
        assert min(Image.open(tmp_path / f"{name}.png").size) > 300


def test_the_page_needs_no_other_file_and_no_script(tmp_path):
    _, page = figures_and_page(tmp_path, measured(tmp_path, [("blast", call("neutrophil", 0.9))] * 3))
    assert "<script" not in page and "http" not in page
    sources = re.findall(r'src="([^"]+)"', page)
    assert sources and all(source.startswith("data:image/") for source in sources)
    crop = Image.open(io.BytesIO(b64decode(re.search(r'data:image/jpeg;base64,([^"]+)"', page)[1])))
    assert np.abs(np.asarray(crop).astype(int) - CELL).max() < 3


def test_the_surest_mistakes_come_first_and_their_number_is_capped_and_stated(tmp_path):
    calls = [("blast", call("lymphocyte", 0.5 + 0.004 * number)) for number in range(100)]
    _, page = figures_and_page(tmp_path, measured(tmp_path, [*calls, ("blast", call("blast", 0.9))]))
    shown = [int(found) for found in re.findall(r"</strong>, (\d+) %", page)]
    assert len(shown) == MISTAKES_SHOWN and shown == sorted(shown, reverse=True) and shown[0] == 90
    assert "100 of 101 cells were called something else" in words_of(page)
    assert f"the first {MISTAKES_SHOWN} are shown" in words_of(page)
    assert Image.open(tmp_path / "report" / "misclassified.png").width > 100 * SHEET_COLUMNS


def test_all_right_has_no_contact_sheet_and_still_an_interval(tmp_path):
    figures, page = figures_and_page(tmp_path, measured(tmp_path, [("blast", call("blast", 0.9))] * 4))
    assert "All 4 calls agree with the labels." in words_of(page)
    assert not (tmp_path / "report" / "misclassified.png").exists()
    assert figures["intervals_95"]["accuracy"][0] == pytest.approx(0.025 ** (1 / 4), abs=1e-5)
    assert "Not compared." in words_of(page)


def test_what_was_left_out_and_foreign_text_are_shown_as_they_are(tmp_path):
    skipped = [Skipped("blast/<b>.png", "The file is damaged & cut off.")]
    made = measured(tmp_path, [("blast", call("blast", 0.9))] * 2, skipped=skipped)
    figures, page = figures_and_page(tmp_path, made)
    assert figures["skipped"] == [{"file": "blast/<b>.png", "reason": "The file is damaged & cut off."}]
    assert "blast/&lt;b&gt;.png" in page and "damaged &amp; cut off" in page


def test_prediction_sets_and_cells_unlike_the_training_are_counted(tmp_path):
    made = measured(
        tmp_path,
        [
            ("blast", call("blast", 0.9, sets={95: ("blast",)}, ood_score=-9.0)),
            ("blast", call("lymphocyte", 0.6, sets={95: ("lymphocyte", "blast")}, ood_score=-8.0)),
            ("blast", call("lymphocyte", 0.9, sets={95: ("lymphocyte",)}, ood_score=-1.0,
                           out_of_distribution=True)),
        ],
    )  # fmt: skip
    figures, page = figures_and_page(tmp_path, made)
    sets = figures["prediction_sets"]["95"]
    assert (sets["coverage"], sets["mean_size"]) == (pytest.approx(2 / 3), pytest.approx(4 / 3))
    assert sets["sizes"] == {"1": 2, "2": 1}
    assert figures["out_of_distribution"]["count"] == 1
    assert "Unlike the cells the network was trained on: 1 of 3 cells" in words_of(page)


def test_the_limits_of_the_figures_follow_from_what_was_measured(tmp_path):
    few = detailed(measured(tmp_path, [("blast", call("blast", 0.9))] * 5))
    said = " ".join(caveats(few))
    assert "Few cells: blast (5)" in said and "not known which cells come from the same patient" in said
    grouped = detailed(measured(tmp_path, [("blast", call("blast", 0.9))] * 40, group="p"))
    said = " ".join(caveats(grouped, "blur", ["blast", "immature_granulocyte"]))
    assert "whole patients or smears (40 of them)" in said and "Few cells" not in said
    assert "blur added" in said and "Only blast, immature granulocyte could be called" in said
