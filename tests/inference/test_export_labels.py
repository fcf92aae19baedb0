"""Confirmed cells as a training set: what is in it, what is not, and that it is read as it was meant."""

import csv
import hashlib
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import AuditEvent
from cases.services import create_case, create_patient
from inference import pictures, review, runs, selectors, tasks
from inference.models import CellReview
from inference.pipeline.config import RBC_CLASSES
from inference.pseudonyms import TRAIN, VAL, part_of, pseudonym
from inference.training.crops import SIDE, cut
from inference.training.exports import UnusableExport, read_exports
from inference.training.labels import samples
from tests.inference.learning import analysed, signed

SAMPLE = Path(__file__).parents[2] / "samples" / "synthetic_field.png"
LICENCE = "Of this laboratory; for its own networks only."


@pytest.fixture
def confirmed_run(queued_run, findings, pathologist):
    """Cell 1 was called a neutrophil and corrected, 5, 7 and 8 were confirmed; signed off."""
    run = analysed(queued_run, findings)
    return signed(pathologist, run, n1="monocyte", n5="lymphocyte")


def export(lab, out, **options) -> list[dict[str, str]]:
    call_command("export_labels", laboratory=lab.slug, out=out, licence=LICENCE, stdout=StringIO(), **options)
    with (out / "index.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def files(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def test_every_confirmed_cell_is_there_with_where_it_comes_from(lab, confirmed_run, pathologist, tmp_path):
    rows = export(lab, tmp_path / "out")
    said = {row["file"].rpartition("_")[2]: (row["machine_label"], row["label"]) for row in rows}
    assert said == {
        "1.png": ("neutrophil", "monocyte"),
        "5.png": ("lymphocyte", "lymphocyte"),
        "7.png": ("blast", "blast"),
        "8.png": ("eosinophil", "eosinophil"),
    }
    first = next(row for row in rows if row["file"].endswith("_1.png"))
    cell, data = confirmed_run.cells.get(number=1), (tmp_path / "out" / first["file"]).read_bytes()
    with cell.crop.open() as stored:
        assert stored.read() == data
    assert first["sha1"] == hashlib.sha1(data, usedforsecurity=False).hexdigest()
    assert (first["network"], first["version"], first["sha256"]) == ("wbc-test", "1.0.0", "ab" * 32)
    assert first["machine_confidence"] == "0.9500" and first["signed_off"] == "yes"
    assert first["reader"] == pseudonym("reader", pathologist.pk)
    assert first["confirmed_on"] == timezone.localdate().isoformat()
    # A box of 90 px in a square of 112 px, shown as 224 px; 0.1 µm per pixel of the smear.
    x0, y0, x1, y1 = map(float, first["box_x0_y0_x1_y1"].split())
    assert x1 - x0 == pytest.approx(y1 - y0) == pytest.approx(180, abs=2) and x0 == pytest.approx(22, abs=2)
    assert float(first["pixel_um"]) == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize("state", [*selectors.PENDING])
def test_what_two_pathologists_have_not_agreed_on_is_not_confirmed(lab, confirmed_run, tmp_path, state):
    confirmed_run.cells.filter(number=7).update(double_reading=state)
    assert {row["label"] for row in export(lab, tmp_path / "out")} == {"monocyte", "lymphocyte", "eosinophil"}


def test_the_manifest_tells_of_the_cells_and_their_terms(lab, confirmed_run, tmp_path):
    rows = export(lab, tmp_path / "out", signed_only=True)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["licence"] == LICENCE and manifest["laboratory"] == lab.slug
    assert (manifest["cells"], manifest["corrected"], manifest["patients"]) == (4, 1, 1)
    part = rows[0]["split"]
    expected = {"eosinophil": 1, "lymphocyte": 1, "monocyte": 1, "blast": 1}
    assert manifest["per_class"] == {TRAIN: {}, VAL: {}, part: expected}
    assert manifest["networks"] == [{"name": "wbc-test", "version": "1.0.0", "sha256": "ab" * 32, "cells": 4}]
    index = (tmp_path / "out" / "index.csv").read_bytes()
    assert manifest["index_sha256"] == hashlib.sha256(index).hexdigest()
    assert list(rows[0]) == list(manifest["columns"])
    line = AuditEvent.objects.get(verb="labels.export")
    assert line.lab == lab and line.detail["cells"] == 4


def test_nothing_of_a_patient_or_person_leaves(lab, confirmed_run, pathologist, clinician, tmp_path):
    export(lab, tmp_path / "out")
    everything = b"\n".join(name.encode() + data for name, data in files(tmp_path / "out").items())
    smear = confirmed_run.smear
    secrets = [
        "MRN-001", "Ames", "Ruth", "1961-04-02", "H26-0001", "Leukocytosis", "field.png", smear.sha256,
        pathologist.full_name, pathologist.email, clinician.email, *map(str, (smear.pk, smear.case_id,
        smear.case.patient_id, confirmed_run.pk, pathologist.pk)),
    ]  # fmt: skip
    assert [secret for secret in secrets if secret.encode() in everything] == []


def test_no_patient_is_in_both_parts_and_each_stays_where_it_is(
    lab, clinician, pathologist, findings, field_file, tmp_path
):
    for number in range(12):
        patient = create_patient(clinician, mrn=f"M{number}", family_name="A", birth_date=None, sex="unknown")
        for again in range(2):
            case = create_case(clinician, patient=patient, accession=f"S{number}-{again}",
                               collected_at=datetime(2026, 11, 20, tzinfo=UTC))  # fmt: skip
            run = runs.submit(clinician, case, field_file(seed=10 * number + again))
            run = analysed(run, findings)
            # Every picture differs, as those of different smears do.
            cell = run.cells.get(number=1)
            picture = np.random.default_rng((number, again)).integers(0, 255, (224, 224, 3), np.uint8)
            cell.crop.save("picture.png", SimpleUploadedFile("x.png", pictures.png(picture)))
            review.decide(pathologist, cell, "neutrophil")
    rows = export(lab, tmp_path / "out")
    parts = {}
    for row in rows:
        parts.setdefault(row["patient"], set()).add(row["split"])
    assert len(rows) == 24 and len(parts) == 12 and all(len(of) == 1 for of in parts.values())
    assert all(part_of(patient) in of for patient, of in parts.items())
    some = [part_of(f"{number:016x}") for number in range(1000)]
    assert some.count(VAL) == 200


def test_an_export_is_brought_up_to_date_and_is_the_same_when_nothing_changed(
    lab, confirmed_run, pathologist, tmp_path
):
    out = tmp_path / "out"
    export(lab, out)
    before = files(out)
    export(lab, out)
    assert files(out) == before
    CellReview.objects.filter(cell__number=1).update(undone_at=timezone.now())
    (out / "cells" / "notes.png").write_bytes(b"kept: not ours")
    rows = export(lab, out)
    gone = {name for name in before if name.endswith("_1.png")}
    assert len(rows) == 3 and set(files(out)) == {*before, "cells/notes.png"} - gone


def test_an_export_that_was_cut_off_is_finished_by_the_next(lab, confirmed_run, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def cut_off(rows):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("inference.management.label_export._csv", cut_off)
        with pytest.raises(CommandError, match="no space left"):
            export(lab, out)
    assert len(export(lab, out)) == 4


def test_another_folder_is_left_alone(lab, other_lab, confirmed_run, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("the only copy")
    with pytest.raises(CommandError, match="holds no earlier export of northside"):
        export(lab, full)
    assert set(files(full)) == {"thesis.txt"}
    export(other_lab, tmp_path / "theirs")
    with pytest.raises(CommandError, match="holds no earlier export"):
        export(lab, tmp_path / "theirs")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"licence": "  "}, "--licence is empty"),
        ({"laboratory": "nowhere"}, "no laboratory with the short name nowhere"),
    ],
)
def test_what_cannot_be_exported_is_said(lab, tmp_path, options, said):
    usual = {"laboratory": lab.slug, "out": tmp_path / "out", "licence": LICENCE}
    with pytest.raises(CommandError, match=said):
        call_command("export_labels", **usual | options)
    with pytest.raises(CommandError, match="--licence"):
        call_command("export_labels", "--laboratory", lab.slug, "--out", str(tmp_path / "out"))


def test_only_cells_confirmed_since_a_day_or_of_signed_slides(lab, confirmed_run, tmp_path):
    CellReview.objects.filter(cell__number=1).update(decided_at=timezone.now() - timedelta(days=9))
    week_ago = timezone.localdate() - timedelta(days=7)
    assert len(export(lab, tmp_path / "since", since=week_ago)) == 3
    type(confirmed_run).objects.update(signed_off_at=None)
    assert export(lab, tmp_path / "signed", signed_only=True) == []
    assert len(export(lab, tmp_path / "all")) == 4


def test_another_laboratorys_cells_and_red_cells_stay(lab, other_lab, confirmed_run, tmp_path):
    assert export(other_lab, tmp_path / "theirs") == []
    confirmed_run.cells.filter(number=5).update(kind="RBC")
    assert len(export(lab, tmp_path / "ours")) == 3


def test_one_picture_called_two_ways_is_left_out_and_one_shown_twice_is_there_once(
    lab, confirmed_run, tmp_path
):
    cells = {cell.number: cell for cell in confirmed_run.cells.filter(number__in=(1, 5, 7, 8))}
    for number, other in ((5, 1), (8, 7)):
        cells[number].crop = cells[other].crop.name
        cells[number].save(update_fields=["crop"])
    CellReview.objects.filter(cell=cells[8]).update(label="blast")
    rows = export(lab, tmp_path / "out")
    assert [row["label"] for row in rows] == ["blast"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["left_out"] == {"contradictory": 2, "shown_twice": 1, "without_picture": 0}


def test_the_training_cuts_an_exported_cell_as_the_product_did(lab, clinician, pathologist, case, tmp_path):
    """A drawn field goes through the real analysis; its cells are exported and cut by the training."""
    run = runs.submit(clinician, case, SimpleUploadedFile("field.png", SAMPLE.read_bytes(), "image/png"))
    tasks.analyse_smear(str(run.pk))
    whites = list(run.cells.exclude(label="").exclude(kind="RBC").order_by("number"))[:6]
    for cell in whites:
        review.decide(pathologist, cell, cell.label)
    rows = export(lab, tmp_path / "out")
    listed = samples(tmp_path / "out", rows[0]["split"])
    assert len(listed) == len(whites) > 3
    found = 0
    for sample in listed:
        crop, _mask, was_found = cut(sample)
        stored = pictures.pixels(sample.path)
        step = stored.shape[0] / SIDE
        places = (np.arange(SIDE) * step + step / 2).astype(int)
        apart = np.abs(stored[places][:, places].astype(int) - crop).mean()
        assert apart < 12, "the same cell in the same frame, within a few pixels"
        found += was_found
    assert found >= len(listed) - 1


def test_an_export_of_one_patient_is_not_learnt_from(lab, confirmed_run, tmp_path):
    export(lab, tmp_path / "out")
    with pytest.raises(Exception, match="has no cells for"):
        read_exports([tmp_path / "out"])


@pytest.fixture
def red_confirmed(red_run, pathologist):
    """Of the red cells one was corrected, one confirmed, one called no cell; a white cell was confirmed."""
    for label, said in (("target", "stomatocyte"), ("sickle", "sickle"), ("normal", "artifact")):
        cell = red_run.cells.filter(kind="RBC", label=label).first()
        # Every picture differs, as those of different cells do.
        picture = np.random.default_rng(cell.number).integers(0, 255, (64, 64, 3), np.uint8)
        cell.crop.save("picture.png", SimpleUploadedFile("x.png", pictures.png(picture)))
        review.decide(pathologist, cell, said)
    review.decide(pathologist, red_run.cells.get(number=5), "lymphocyte")
    return red_run


def test_red_cells_are_exported_apart(lab, red_confirmed, tmp_path):
    rows = export(lab, tmp_path / "red", cells="red")
    said = {(row["machine_label"], row["label"]) for row in rows}
    assert said == {("target", "stomatocyte"), ("sickle", "sickle"), ("normal", "artifact")}
    assert {(row["network"], row["sha256"]) for row in rows} == {("rbc", "ef" * 32)}
    assert {pictures.pixels(tmp_path / "red" / row["file"]).shape for row in rows} == {(64, 64, 3)}
    # A box of 16 px in a square of 20 px, shown as 64 px.
    x0, _, x1, _ = map(float, rows[0]["box_x0_y0_x1_y1"].split())
    assert x1 - x0 == pytest.approx(64 * 16 / 20, abs=4)
    manifest = json.loads((tmp_path / "red" / "manifest.json").read_text())
    assert manifest["classes"] == [*RBC_CLASSES, "artifact"]
    assert manifest["content"].startswith("Red cells")
    counted = manifest["per_class"][rows[0]["split"]]
    assert counted == {"sickle": 1, "stomatocyte": 1, "artifact": 1}
    assert AuditEvent.objects.get(verb="labels.export").detail["stream"] == "red"
    assert [row["label"] for row in export(lab, tmp_path / "white")] == ["lymphocyte"]


def test_red_and_white_cells_share_no_folder_and_no_training(lab, red_confirmed, tmp_path):
    export(lab, tmp_path / "red", cells="red")
    with pytest.raises(CommandError, match="holds no earlier export of .* of these cells"):
        export(lab, tmp_path / "red")
    with pytest.raises(UnusableExport, match="holds an export of red cells"):
        read_exports([tmp_path / "red"])
