"""Milliseconds to look up the confirmed cells most like one cell, among as many as are compared at most.

python benchmarks/similar_cells.py [--cells 20000] [--features 368]

Fills a database of its own, which is removed afterwards, with smears of 100 white cells, all confirmed: half
of them of the laboratory that asks and called by its network, the others called by an older one or of another
laboratory. Embeddings are random; the time does not depend on them. Prints the median time of a lookup and
the processor time, which counts where other work keeps the machine busy.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
ROUNDS, PER_SMEAR = 15, 100
PRESENT, OLDER = ({"name": "wbc", "version": version, "sha256": version * 64} for version in "10")


def fill(actor: Any, network: dict[str, str], cells: int, features: int) -> None:
    """Analyse smears of one case, and confirm every cell."""
    from django.utils import timezone

    from cases.models import Smear
    from cases.services import create_case, create_patient
    from inference.models import AnalysisRun, Cell, CellReview

    mark = f"{actor.pk}-{network['version']}"
    patient = create_patient(actor, mrn=mark, family_name="Ames", given_name="Ruth")
    case = create_case(actor, patient=patient, accession=mark, collected_at=timezone.now())
    for number in range(cells // PER_SMEAR):
        smear = Smear.objects.create(
            lab=actor.lab,
            case=case,
            uploaded_by=actor,
            original_name="field.png",
            sha256=f"{mark}-{number}",
            size_bytes=1,
            width=4000,
            height=3000,
            format="PNG",
        )
        run = AnalysisRun.objects.create(
            lab=actor.lab, smear=smear, submitted_by=actor, status="done", networks=[network]
        )
        made = Cell.objects.bulk_create(rows(run, number, features))
        CellReview.objects.bulk_create(
            [CellReview(cell=one, reviewer=actor, label="monocyte") for one in made]
        )


def rows(run: Any, seed: int, features: int) -> list[Any]:
    """White cells as wide as those of an analysis, which the database has to step over."""
    from inference.models import Cell
    from inference.pipeline.config import WBC_CLASSES

    drawn = np.abs(np.random.default_rng(seed).normal(size=(PER_SMEAR, features)))
    units = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype("<f2")
    return [
        Cell(
            run=run,
            number=number,
            kind="WBC",
            x0=40 * number,
            y0=0,
            x1=40 * number + 30,
            y1=30,
            centroid_x=40.0 * number + 15,
            centroid_y=15.0,
            polygon=[[40 * number + place, place] for place in range(48)],
            area_px=700,
            segmentation_confidence=0.9,
            label="monocyte",
            confidence=0.6,
            probabilities=dict.fromkeys(WBC_CLASSES, 0.1),
            description={"label": "monocyte", "text": "x" * 300, "supports": [], "contradicts": []},
            embedding=unit.tobytes(),
        )
        for number, unit in enumerate(units, 1)
    ]


def measure(count: int, features: int) -> str:
    from django.core.management import call_command

    from accounts.models import User
    from accounts.services import create_lab
    from inference.models import Cell
    from inference.similar import similar

    call_command("migrate", verbosity=0)
    asking, other = (
        User.objects.create_user(
            f"{name}@lab.example", full_name=name, lab=create_lab(name), role="pathologist", status="active"
        )
        for name in ("Northside", "Harbour")
    )
    fill(asking, OLDER, count // 2, features)
    fill(other, PRESENT, count // 2, features)
    fill(asking, PRESENT, count + PER_SMEAR, features)
    cell = Cell.objects.select_related("run__smear").order_by("-pk")[PER_SMEAR // 2]
    compared, taken = similar(asking, cell).compared, list[tuple[float, float]]()
    for _ in range(ROUNDS):
        began = perf_counter(), process_time()
        similar(asking, cell)
        taken.append((1000 * (perf_counter() - began[0]), 1000 * (process_time() - began[1])))
    wall, processor = (median(one) for one in zip(*taken, strict=True))
    return f"{compared} cells compared: {wall:.0f} ms, {processor:.0f} ms of processor time"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=368, help="numbers of an embedding")
    given = parser.parse_args()
    state = tempfile.mkdtemp(prefix="wbc-similar-")
    os.environ |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "WBC_STATE": state}
    import django

    django.setup()
    try:
        print(measure(given.cells, given.features))
    finally:
        shutil.rmtree(state)
