"""Server time of the pages and the API for a case with 5,000 cells, in a laboratory of forty cases.

    python benchmarks/pages.py [--json FILE] [--cells 5000] [--cases 40] [--times 7]

The product's settings on a database of its own, loaded as its server loads them; the time is that of the
request within the process, with its middleware and template, on the second look and later; beside it the
processor time, which other work on the machine hardly lengthens; queries are counted on the first look.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from math import pi
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
BUDGET_MS = 200
SIDE = 4000
WHITE, PLATELETS, NAMED_RED = 0.10, 0.04, 0.45
PASSWORD = "correct horse battery"
ASKS_FOR_THE_REVIEW = {
    "unseen_percent": 100,
    "least_wbc": 0,
    "least_rbc": 0,
    "least_rbc_for_platelets": 0,
    "not_critical": ["first_blasts", "parasites", "schistocytes"],
}
"""A sign-off that waits for the review alone: nobody looks at these fields or is told of their findings."""


@dataclass
class Laboratory:
    clinician: Any
    pathologist: Any
    administrator: Any


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"WBC_STATE": folder, "LOG_LEVEL": "ERROR", "DEBUG": ""}
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wbcportal.settings")
        import_module("wbcportal.wsgi")
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)
        found = _measured(options)
    for name, row in found.items():
        times = f"{row['ms']:8.0f} ms {row['worst_ms']:8.0f} ms worst {row['cpu_ms']:8.0f} ms of CPU"
        print(f"{name:24}{times} {row['queries']:4} queries {row['kb']:6} kB")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    slow = [name for name, row in found.items() if row["ms"] > BUDGET_MS]
    print(f"above {BUDGET_MS} ms: {', '.join(slow) or 'none'}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cells", type=int, default=5_000)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--times", type=int, default=7)
    return parser.parse_args()


def _measured(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    from inference import review, selectors

    lab = _people()
    patient = _patient(lab, 0)
    for n in range(1, options.cases):
        _analysed(lab, patient if n % 4 == 0 else _patient(lab, n), n, 60)
    run = selectors.run_for(lab.pathologist, _analysed(lab, patient, 0, options.cells).pk)
    run.cells.exclude(label="").update(crop="a cell.png")
    reported = _reported(lab, patient, options)
    review.claim_slide(lab.pathologist, run)
    pages = _pages(run, reported, patient)
    found = {name: _page(lab.pathologist, address, options.times) for name, address in pages.items()}
    offices = ("people", "ranges", "red-cells", "review", "sign-off", "agreement", "networks", "audit")
    for name in offices:
        found[name] = _page(lab.administrator, f"/laboratory/{name}/", options.times)
    return found


# --- the laboratory -----------------------------------------------------------------------------------
def _people() -> Laboratory:
    from accounts.models import Role
    from accounts.services import create_lab, create_person

    lab = create_lab("Benchmark")
    for name, asks_for in ASKS_FOR_THE_REVIEW.items():
        setattr(lab, name, asks_for)
    lab.save()
    return Laboratory(
        *(create_person(lab, role, f"{role}@benchmark.example", str(role.label), PASSWORD) for role in Role)
    )


def _patient(lab: Laboratory, n: int) -> Any:
    from cases.services import create_patient

    return create_patient(lab.clinician, mrn=f"B-{n}", family_name=f"Bench {n}")


def _analysed(lab: Laboratory, patient: Any, n: int, cells: int) -> Any:
    """A finished run of the one smear of a new case."""
    from django.core.files.uploadedfile import SimpleUploadedFile
    from django.utils import timezone
    from PIL import Image

    from cases.services import create_case
    from inference import runs

    case = create_case(lab.clinician, patient, accession=f"B-{n}", collected_at=timezone.now(), pixel_um=0.1)
    side = SIDE if cells > 1000 else 320
    buffer = BytesIO()
    Image.new("RGB", (side, side), (236, 228, 232 - n % 200)).save(buffer, "PNG")
    run = runs.submit(lab.clinician, case, SimpleUploadedFile(f"{n}.png", buffer.getvalue(), "image/png"))
    runs.save(run.pk, runs.QUEUE.claim(run.pk), _findings(cells, side))
    return run


def _reported(lab: Laboratory, patient: Any, options: argparse.Namespace) -> Any:
    """A case with as many cells and a signed report."""
    from django.test import RequestFactory

    from inference import review, selectors
    from reports import services

    run = selectors.run_for(lab.pathologist, _analysed(lab, patient, options.cases, options.cells).pk)
    for cell in selectors.open_cells(run):
        review.decide(lab.pathologist, cell, cell.label)
    review.sign_off(lab.pathologist, run)
    draft = services.draft(lab.pathologist, run.smear.case_id)
    request = RequestFactory().post("/", SERVER_NAME="localhost")
    signing = services.Signing(request, PASSWORD, "Approved", draft.content_sha256)
    return services.sign(lab.pathologist, draft, signing)


def _findings(count: int, side: int) -> Any:
    from inference.pipeline.aggregation import aggregate
    from inference.pipeline.config import Config
    from inference.pipeline.findings import Findings, NetworkUsed, Quality
    from inference.pipeline.red_cell_calls import red_cells

    cells = tuple(_cell(n, count, side) for n in range(count))
    networks = (NetworkUsed("wbc", "1.0.0", "ab" * 32), NetworkUsed("rbc", "1.0.0", "cd" * 32))
    return Findings(
        side,
        side,
        0.1,
        "declared",
        Quality(0.86, 0.9, 0.8, 0.95, 0.4),
        cells,
        aggregate(cells),
        networks,
        (),
        {},
        red=red_cells(cells, Config()),
    )


def _cell(n: int, count: int, side: int) -> Any:
    """A tenth white cells, a twentieth of them unsure; then platelets; of the red ones about half named."""
    from inference.pipeline.config import RBC_SHAPES, WBC_CLASSES
    from inference.pipeline.findings import Call, Cell, Instance, Kind

    share = n / count
    kind = Kind.WBC if share < WHITE else Kind.PLATELET if share < WHITE + PLATELETS else Kind.RBC
    across = int(count**0.5) + 1
    step = side / across
    x, y, radius = (n % across + 0.5) * step, (n // across + 0.5) * step, step / 3
    box = tuple(int(place) for place in (x - radius, y - radius, x + radius, y + radius))
    corners = tuple((box[a], box[b]) for a, b in ((0, 1), (2, 1), (2, 3), (0, 3)))
    found = Instance(kind, box, corners, (x, y), int(3 * radius**2), 0.9)
    classes = WBC_CLASSES[:8] if kind is Kind.WBC else RBC_SHAPES
    if kind is Kind.PLATELET or share > WHITE + PLATELETS + NAMED_RED:
        return Cell(n + 1, found)
    unsure = kind is Kind.WBC and n % 20 == 0
    confidence, label = 0.55 if unsure else 0.95, classes[n % len(classes)]
    rest = (1 - confidence) / (len(classes) - 1)
    call = Call(label, confidence, {name: confidence if name == label else rest for name in classes})
    measured = _measured_red(n) if kind is Kind.RBC else None
    return Cell(n + 1, found, call, ("low_confidence",) if unsure else (), measures=measured)


def _measured_red(n: int) -> Any:
    """Red cells of many sizes and shapes, with as many digits as measured ones have."""
    from inference.pipeline.red_cell_findings import RedCellMeasures

    across = 7.2 + (n % 97 - 48) / 60
    return RedCellMeasures(
        diameter_um=across,
        area_um2=pi * across**2 / 4,
        relative_diameter=across / 7.2,
        circularity=0.97 - n % 31 / 310,
        elongation=1.02 + n % 53 / 97,
        pallor_ratio=0.45 + n % 41 / 83,
    )


# --- the pages ----------------------------------------------------------------------------------------
def _pages(run: Any, reported: Any, patient: Any) -> dict[str, str]:
    case, viewer = f"/cases/{run.smear.case_id}/", f"/runs/{run.pk}/viewer/"
    gallery = f"/runs/{run.pk}/gallery/"
    report = f"/cases/{reported.case_id}/report/"
    api = f"/api/v1/runs/{run.pk}/"
    return {
        "worklist": "/",
        "worklist, all open": "/?tab=open",
        "patients": "/patients/",
        "patient": f"/patients/{patient.pk}/",
        "trends": f"/patients/{patient.pk}/trends/",
        "case": case,
        "case: smears": f"{case}runs/",
        "case: questions": f"{case}questions/",
        "case: report": f"{report}box/",
        "result": f"/runs/{run.pk}/",
        "gallery": gallery,
        "gallery: cells": f"{gallery}cells.json",
        "cell": f"/runs/{run.pk}/cells/1/",
        "similar cells": f"/runs/{run.pk}/cells/1/similar/",
        "viewer": viewer,
        "viewer: manifest": f"{viewer}manifest.json",
        "viewer: coverage": f"{viewer}coverage.json",
        "viewer: seen": f"{viewer}seen.json",
        "viewer: cells": f"{viewer}cells.json",
        "viewer: outlines": f"{viewer}outlines/0/0.json",
        "viewer: tile": f"{viewer}tiles/8/0/0.jpg",
        "queue": "/review/",
        "desk": f"/review/{run.pk}/",
        "sign-off": f"{case}sign-off/",
        "sign-off: box": f"{case}sign-off/box/",
        "tally": f"/smears/{run.smear_id}/count/",
        "report": report,
        "notifications": "/notifications/",
        "report: JSON": f"{report}1/json",
        "report: FHIR": f"{report}1/fhir.json",
        "report: HL7": f"{report}1/hl7",
        "API cases": "/api/v1/cases/",
        "API queue": "/api/v1/review/",
        "API result": f"{api}result/",
    }


def _page(user: Any, address: str, times: int) -> dict[str, Any]:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(SERVER_NAME="localhost")
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    with CaptureQueriesContext(connection) as captured:
        first = client.get(address)
    queries = len(captured)
    assert first.status_code == 200, (address, first.status_code)
    taken, worked = [], []
    for _ in range(times):
        began, idle = time.perf_counter(), time.process_time()
        client.get(address)
        taken.append(1000 * (time.perf_counter() - began))
        worked.append(1000 * (time.process_time() - idle))
    return {
        "ms": round(statistics.median(taken), 1),
        "worst_ms": round(max(taken), 1),
        "cpu_ms": round(statistics.median(worked), 1),
        "queries": queries,
        "kb": round(len(first.content) / 1024),
    }


if __name__ == "__main__":
    main()
