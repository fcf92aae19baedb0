"""An export of confirmed cells as `manage.py export_labels` writes it, made without a database."""

import csv
import hashlib
import io
import json

import numpy as np
from PIL import Image

from inference.training.exports import EXPORT_FORMAT
from tests.inference.pipeline.test_single_cell import cell_image

ROWS = [("neutrophil", f"p{number}") for number in range(6)]


def write_export(folder, rows=ROWS, laboratory="northside", **changes):
    """Write cells of (label, patient); those of the last two patients are for validation. `changes` maps the
    number of a row to columns that are otherwise; return the folder."""
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    patients = sorted({patient for _, patient in rows})
    index = io.StringIO()
    columns = ["file", "label", "split", "patient", "box_x0_y0_x1_y1", "pixel_um", "sha1"]
    writer = csv.DictWriter(index, columns, lineterminator="\n")
    writer.writeheader()
    for number, (label, patient) in enumerate(rows):
        file = f"cells/{number}.png"
        cell = cell_image(radius=45 + number).astype(int) + np.random.default_rng(number).integers(-6, 7, 3)
        Image.fromarray(cell.clip(0, 255).astype(np.uint8)).save(folder / file)
        sha1 = hashlib.sha1((folder / file).read_bytes(), usedforsecurity=False).hexdigest()
        middle, radius = len(cell) / 2, 1.4 * (45 + number)
        box = f"{middle - radius} {middle - radius} {middle + radius} {middle + radius}"
        split = "val" if patient in patients[-2:] else "train"
        row = dict(zip(columns, (file, label, split, patient, box, 0.1, sha1), strict=True))
        writer.writerow(row | changes.get(f"row{number}", {}))
    (folder / "index.csv").write_text(index.getvalue())
    manifest = {
        "format": EXPORT_FORMAT,
        "laboratory": laboratory,
        "licence": "For the tests.",
        "cells": len(rows),
        "per_class": {},
        "index_sha256": hashlib.sha256(index.getvalue().encode()).hexdigest(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
