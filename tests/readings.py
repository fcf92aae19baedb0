"""A case that several pathologists read, a report amended, and a network of the laboratory's own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from django.urls import reverse

from accounts.models import DoubleReading, Lab, Role
from accounts.services import save_review_settings
from cases.services import create_case, create_patient
from inference import rehearsals, review, runs, selectors
from inference.models import CandidateNetwork, NetworkChoice, Rehearsal, RehearsedCase
from inference.pipeline.findings import Call
from inference.rehearsal_figures import Anew, compared
from reports import services as reports
from tests.conftest import field_image, person

SKIPPED, DIFFERING, CALLED_ONCE = 7, 8, 1
"""Cells of the case: one that a reader skipped, one on which two differ, one that waits for a second."""


@dataclass(frozen=True)
class People:
    clinician: Any
    pathologist: Any
    administrator: Any
    first: Any
    second: Any

    @classmethod
    def of(cls, clinician, pathologist, administrator) -> "People":
        lab = administrator.lab
        colleagues = (person(lab, Role.PATHOLOGIST, name) for name in ("Petra Peer", "Theo Third"))
        return cls(clinician, pathologist, administrator, *colleagues)


def read_by_two(people: People, findings, field_file):
    """A finished slide that two pathologists have begun to read; every cell in review is called blind by the
    next one. The laboratory asks again for all that it asks at first."""
    patient = create_patient(people.clinician, mrn="MRN-003", family_name="Brook", given_name="Ida")
    case = create_case(
        people.clinician, patient, accession="H26-0003", collected_at=patient.created_at, pixel_um=0.1
    )
    run = runs.submit(people.clinician, case, field_file("read by two.png", seed=8))
    runs.save(run.pk, runs.QUEUE.claim(run.pk), findings, np.asarray(field_image(8)))
    save_review_settings(people.administrator, DoubleReading.ALL, 0)
    cells = {cell.number: cell for cell in run.cells.all()}
    review.decide(people.first, cells[DIFFERING], "eosinophil", "orange granules")
    review.decide(people.first, cells[CALLED_ONCE], "monocyte")
    review.skip(people.first, cells[SKIPPED], "colleague", "Auer rod?")
    free(run, people.first)
    review.decide(people.second, cells[DIFFERING], "neutrophil")
    free(run, people.second)
    save_review_settings(people.administrator, DoubleReading.ALL, 100)
    asks_for_all(people.administrator.lab)
    return run


def free(run, holder) -> None:
    review.release_slide(holder, selectors.run_for(holder, run.pk))


def asks_for_all(lab) -> None:
    columns = ("unseen_percent", "least_wbc", "least_rbc", "least_rbc_for_platelets")
    first = {column: Lab._meta.get_field(column).default for column in columns}
    Lab.objects.filter(pk=lab.pk).update(**first, not_critical=[])


def amended(pathologist, report) -> None:
    """The report's second version is drafted, in which one cell counts as another class."""
    reports.amend(pathologist, report, "The blast is a lymphocyte")
    run = selectors.run_for(pathologist, selectors.current_runs(report.case_id).get().pk)
    review.decide(pathologist, run.cells.get(number=7), "lymphocyte", "no nucleolus")
    review.sign_off(pathologist, run)


def chosen_network(administrator, case_id) -> Rehearsal:
    """A rehearsal of a candidate that calls every cell of a signed case a monocyte; it was activated, and the
    laboratory went back. Written as the worker does, who needs longer."""
    lab = {"lab": administrator.lab}
    told = {"data": [{"name": "cells of this laboratory", "cells": 1204, "manifest_sha256": "c" * 64}]}
    network = CandidateNetwork.objects.create(
        **lab, version="1.1.0+northside", sha256="a" * 64, card_sha256="b" * 64, told=told
    )
    rehearsal = Rehearsal.objects.create(
        **lab, candidate=network, requested_by=administrator, cases_wanted=20, status=Rehearsal.Status.DONE
    )
    call = Call("monocyte", 0.66, {"monocyte": 0.66})
    found = compared([Anew(cell, call, ("low_confidence",)) for cell in rehearsals.signed_cells(case_id)], 1)
    RehearsedCase.objects.create(rehearsal=rehearsal, place=1, case_id=case_id, result=found)
    by = {**lab, "chosen_by": administrator}
    known = {"candidate": network, "version": network.version, "sha256": network.sha256}
    reason = "Better on our stain"
    choose = NetworkChoice.objects.create
    choose(**by, **known, number=1, kind="activated", rehearsal=rehearsal, reason=reason)
    choose(**by, number=2, kind="rolled_back", version="1.0.0", sha256="d" * 64, reason="Too many blasts")
    return rehearsal


def addresses(people: People, run, report, rehearsal) -> dict[str, str]:
    """The pages on which that is seen, by name."""
    case_id, desk = run.smear.case_id, reverse("inference:review-slide", args=[run.pk])
    return {
        "sign-off settings": reverse("accounts:sign_off"),
        "sign-off": reverse("inference:sign-off-page", args=[case_id]),
        "open checks": reverse("cases:case", args=[case_id]),
        "networks": reverse("inference:networks"),
        "rehearsal": reverse("inference:rehearsal", args=[rehearsal.pk]),
        "review settings": reverse("accounts:review"),
        "agreement": reverse("inference:agreement"),
        "reader's agreement": reverse("inference:reader-agreement", args=[people.first.pk]),
        "mixed queue": reverse("inference:review-queue"),
        "blind desk": f"{desk}?cell={SKIPPED}",
        "second reading": f"{desk}?cell={CALLED_ONCE}",
        "two differ": f"{desk}?cell={DIFFERING}",
        "blind gallery": reverse("inference:gallery", args=[run.pk]) + f"?cell={SKIPPED}",
        "changes": reverse("reports:changes", args=[report.case_id, 1, 2]),
    }
