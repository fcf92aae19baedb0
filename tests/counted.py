"""Analysed smears with so many cells of each class, for everything that compares counts."""

from dataclasses import replace
from datetime import timedelta

import numpy as np

from cases.services import create_case
from inference import review, runs, selectors
from inference.pipeline.aggregation import aggregate
from inference.pipeline.findings import Call, Cell, Instance, Kind
from inference.pipeline.red_cell_findings import RedCellMeasures
from tests.conftest import field_image

HEALTHY = {"neutrophil": 120, "lymphocyte": 60, "monocyte": 14, "eosinophil": 5, "basophil": 1}
INFECTED = {"neutrophil": 176, "lymphocyte": 14, "monocyte": 8, "immature_granulocyte": 2}
CLL = {"neutrophil": 20, "lymphocyte": 176, "monocyte": 4}
BLASTS = {"neutrophil": 40, "lymphocyte": 20, "blast": 140}


def cells(counts):
    """Sure calls without a crop, none of which needs review."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    box = Instance(Kind.WBC, (10, 10, 60, 60), ((10, 10), (60, 10), (60, 60)), (35.0, 35.0), 1800, 0.9)
    return tuple(
        Cell(number, box, Call(label, 0.95, {label: 0.95})) for number, label in enumerate(labels, 1)
    )


def case_after(first, days):
    """Another case of the same patient, collected so many days later."""
    return create_case(
        first.created_by,
        patient=first.patient,
        accession=f"{first.accession}-{days}",
        indication="Control",
        priority="routine",
        collected_at=first.collected_at + timedelta(days=days),
        stain="May-Grünwald-Giemsa",
        scanner="Field microscope",
        pixel_um=0.1,
    )


def red_cells(counts):
    """Sure calls of red cells, all of one size."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    box = Instance(Kind.RBC, (10, 10, 80, 80), ((10, 10), (80, 10), (80, 80)), (45.0, 45.0), 4072, 0.9)
    measures = RedCellMeasures(7.2, 40.7, 1.0, 0.95, 1.05, 0.7)
    return tuple(Cell(0, box, Call(label, 0.95, {label: 0.95}), measures=measures) for label in labels)


def analysed(case, file, findings, counts, reds=None):
    """A finished run of a new smear of a case, with red cells where some are given; `findings` lend all that
    is not cells."""
    run = runs.submit(case.created_by, case, file)
    both = (*cells(counts), *red_cells(reds or {}))
    found = tuple(replace(cell, cell_id=number) for number, cell in enumerate(both, 1))
    whole = replace(findings, cells=found, aggregate=aggregate(found))
    runs.save(run.pk, runs.QUEUE.claim(run.pk), whole, np.asarray(field_image()))
    return selectors.run_for(case.created_by, run.pk)


def signed_off(pathologist, run):
    review.sign_off(pathologist, run)
    return run
