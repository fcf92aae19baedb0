"""Stagings with known figures, as the pipeline hands them over, and what becomes of a slide that has one."""

from dataclasses import replace

import numpy as np

from inference import review, runs, selectors
from inference.models import AnalysisRun
from inference.pipeline.config import STAGES_OF_LEUKEMIA
from inference.pipeline.findings import FieldState, NetworkUsed, Notice, Severity, StagedField, Staging
from tests.conftest import field_image

NETWORK = NetworkUsed("staging", "1.0.0", "ef" * 32)
NO_PATIENT_TEST = Notice(
    "no_patient_disjoint_test", "No test by patients exists for the stage.", Severity.WARN
)


def shares(label: str, share: float) -> dict[str, float]:
    rest = (1 - share) / 3
    return {stage: share if stage == label else rest for stage in STAGES_OF_LEUKEMIA}


def field(number: int, state: FieldState = FieldState.STAGED, label: str = "pre_b") -> StagedField:
    """A field of 160 by 120 px; four of them lie in a row."""
    x, y = 160 * (number % 4), 120 * (number // 4)
    box = (x, y, x + 160, y + 120)
    if state is not FieldState.STAGED:
        return StagedField(box, state, None, {}, 1, None)
    return StagedField(box, state, label, shares(label, 0.91), 6, 0.5)


def staging(label: str = "pre_b", *reasons: str) -> Staging:
    """Six staged fields of nine, and two kinds of reasons why the others were left out."""
    left_out = [FieldState.FEW_CELLS, FieldState.FEW_CELLS, FieldState.COLOURS]
    fields = [field(number, label=label) for number in range(6)]
    fields += [field(number, state) for number, state in enumerate(left_out, 6)]
    intervals = {stage: (max(0.0, p - 0.06), min(1.0, p + 0.06)) for stage, p in shares(label, 0.91).items()}
    return Staging(label, shares(label, 0.91), intervals, tuple(fields), NETWORK, reasons, (NO_PATIENT_TEST,))


def abstained() -> Staging:
    """The same fields, no stage of which is probable enough."""
    flat = dict.fromkeys(STAGES_OF_LEUKEMIA, 0.25)
    intervals = dict.fromkeys(STAGES_OF_LEUKEMIA, (0.2, 0.3))
    return replace(
        staging(), label=None, probabilities=flat, intervals_95=intervals, reasons=("low_confidence",)
    )


def not_stageable() -> Staging:
    fields = tuple(field(number, FieldState.FEW_CELLS) for number in range(4))
    return Staging(None, {}, {}, fields, NETWORK, ("not_stageable",), (NO_PATIENT_TEST,))


# --- the slides they belong to --------------------------------------------------------------------
def finish(run, findings):
    runs.save(run.pk, runs.QUEUE.claim(run.pk), findings, np.asarray(field_image()))
    return AnalysisRun.objects.get(pk=run.pk)


def fresh(run, person):
    return selectors.run_for(person, run.pk)


def signed_off(run, person):
    for cell in selectors.open_cells(run):
        review.decide(person, cell, cell.label)
    review.sign_off(person, run)
    return fresh(run, person)
