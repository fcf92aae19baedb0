"""A laboratory's own tiny networks, and signed cases to rehearse them on."""

from dataclasses import replace

import numpy as np
from django.core.management import call_command

from inference import rehearsals, review, runs, selectors, tasks
from inference.models import CandidateNetwork
from inference.pipeline.config import WBC_CLASSES
from inference.runs import AnalysisRun
from tests.inference.pipeline.networks_for_tests import write_network


def network_folder(folder, seed=0, **changes):
    """Card and weights of an untaught network of all classes of white cells, of a version of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"version": f"1.1.0+{seed}", "labels": list(WBC_CLASSES), **changes}
    return write_network(folder, seed=seed, **told)


def registered(lab, folder, seed=0, **changes) -> CandidateNetwork:
    call_command("register_network", str(network_folder(folder, seed, **changes)), laboratory=lab.slug)
    return CandidateNetwork.objects.get(lab=lab, version=f"1.1.0+{seed}")


def rehearsed(administrator, candidate, cases=20):
    """A rehearsal that a worker has finished, or failed."""
    rehearsal = rehearsals.request(administrator, candidate, cases)
    tasks.rehearse_network(str(rehearsal.pk))
    rehearsal.refresh_from_db()
    return rehearsal


def with_pictures(findings):
    """The same findings, the crops of whose cells differ from each other."""
    rng = np.random.default_rng(7)
    cells = [
        replace(cell, crop=rng.integers(60, 220, (224, 224, 3), np.uint8)) if cell.call else cell
        for cell in findings.cells
    ]
    return replace(findings, cells=tuple(cells))


def analysed(run, findings) -> AnalysisRun:
    runs.save(run.pk, runs.QUEUE.claim(run.pk), with_pictures(findings))
    run.refresh_from_db()
    return run


def signed(pathologist, run, **words) -> AnalysisRun:
    """The slide reviewed and signed off: open cells confirmed, and of the cells of the given numbers, n1=…,
    the given words."""
    for number, label in words.items():
        review.decide(pathologist, run.cells.get(number=int(number[1:])), label)
    seen = selectors.run_for(pathologist, run.pk)
    for cell in selectors.open_cells(seen):
        review.decide(pathologist, cell, cell.label)
    review.sign_off(pathologist, seen)
    return seen
