"""The people and things every test knows: two laboratories, four people, one case, one analysed smear."""

import io
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from accounts.models import DoubleReading, Lab, Role, User
from accounts.sign_off import CRITICAL_FINDINGS

PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def wbc_data() -> Path:
    """The folder of real smear data; absent, the test is skipped, or fails under CI."""
    from django.conf import settings

    if settings.WBC_DATA.is_dir():
        return settings.WBC_DATA
    reason = f"no smear data at {settings.WBC_DATA}; set WBC_DATA"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def fresh_limits():
    """What one test did may not count towards the rate limits of the next."""
    cache.clear()


@pytest.fixture(autouse=True)
def media(settings, tmp_path):
    """Every test has its own folders of files."""
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.UPLOAD_DIR = tmp_path / "uploads"
    settings.TILES_DIR = tmp_path / "tiles"
    settings.NETWORKS_DIR = tmp_path / "networks"


ASKS_FOR_NOTHING = {
    "unseen_percent": 100,
    "least_wbc": 0,
    "least_rbc": 0,
    "least_rbc_for_platelets": 0,
    "not_critical": [*CRITICAL_FINDINGS],
    "double_reading": DoubleReading.OFF,
}
"""A sign-off that waits for the review alone; what else is asked for is tried in tests of its own."""


@pytest.fixture
def lab(db) -> Lab:
    from accounts.services import create_lab

    lab = create_lab("Northside Hospital Laboratory", address="1 North Road")
    Lab.objects.filter(pk=lab.pk).update(**ASKS_FOR_NOTHING)
    return lab


@pytest.fixture
def other_lab(db) -> Lab:
    from accounts.services import create_lab

    return create_lab("Harbour Clinic Laboratory", address="2 Quay Street")


def person(lab: Lab, role: Role, name: str) -> User:
    email = f"{name.split()[-1].lower()}@{lab.slug}.example"
    return User.objects.create_user(
        email, PASSWORD, full_name=name, lab=lab, role=role, status=User.Status.ACTIVE
    )


@pytest.fixture
def clinician(lab):
    return person(lab, Role.CLINICIAN, "Clara Clinic")


@pytest.fixture
def pathologist(lab):
    return person(lab, Role.PATHOLOGIST, "Paul Path")


@pytest.fixture
def administrator(lab):
    return person(lab, Role.ADMINISTRATOR, "Ada Admin")


@pytest.fixture
def stranger(other_lab):
    """Holds every clinical verb, in another laboratory."""
    return person(other_lab, Role.PATHOLOGIST, "Stella Strange")


@pytest.fixture
def client_for():
    from django.test import Client

    def make(user: User | None) -> Client:
        client = Client()
        if user is not None:
            client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    return make


@pytest.fixture
def api_for():
    from rest_framework.test import APIClient

    def make(user: User | None) -> APIClient:
        client = APIClient()
        if user is not None:
            client.force_authenticate(user)
        return client

    return make


@pytest.fixture
def patient(clinician):
    from cases.services import create_patient

    return create_patient(
        clinician, mrn="MRN-001", family_name="Ames", given_name="Ruth", birth_date="1961-04-02", sex="female"
    )


@pytest.fixture
def case(clinician, patient):
    from cases.services import create_case

    return create_case(
        clinician,
        patient=patient,
        accession="H26-0001",
        indication="Leukocytosis",
        priority="routine",
        collected_at=datetime(2026, 11, 20, 8, 30, tzinfo=UTC),
        stain="May-Grünwald-Giemsa",
        scanner="Field microscope",
        pixel_um=0.1,
    )


def field_image(seed: int = 0, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Pink discs on a pale ground and one purple one: enough of a smear to be handed in."""
    rng = np.random.default_rng(seed)
    width, height = size
    array = np.full((height, width, 3), (236, 228, 232), np.uint8)
    yy, xx = np.mgrid[:height, :width]
    for x, y in rng.uniform((40, 40), (width - 40, height - 40), (25, 2)):
        array[(xx - x) ** 2 + (yy - y) ** 2 < 30**2] = (212, 150, 160)
    array[(xx - width / 2) ** 2 + (yy - height / 2) ** 2 < 45**2] = (90, 60, 140)
    return Image.fromarray(array)


@pytest.fixture
def field_file():
    """Makes an upload: `field_file()`; another `seed` is another image."""

    def make(name: str = "field.png", seed: int = 0, size: tuple[int, int] = (640, 480)):
        buffer = io.BytesIO()
        field_image(seed, size).save(buffer, "PNG")
        return SimpleUploadedFile(name, buffer.getvalue(), "image/png")

    return make


@pytest.fixture
def findings():
    """Findings as the pipeline hands them over: eight leukocytes, a blast and an unsure one among them."""
    from inference.pipeline.aggregation import aggregate
    from inference.pipeline.cell_words import Description
    from inference.pipeline.findings import (
        Call,
        Cell,
        Explanation,
        Findings,
        Instance,
        Kind,
        NetworkUsed,
        Quality,
    )

    def instance(kind: Kind, x: int, y: int, radius: int) -> Instance:
        box = (x - radius, y - radius, x + radius, y + radius)
        corners = ((box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3]))
        return Instance(kind, box, corners, (float(x), float(y)), 3 * radius**2, 0.9)

    def white(number: int, label: str, confidence: float, *reasons: str) -> Cell:
        rest = (1 - confidence) / 9
        from inference.pipeline.config import WBC_CLASSES

        probabilities = {name: confidence if name == label else rest for name in WBC_CLASSES}
        heat = Explanation(np.tile(np.linspace(0, 1, 224, dtype=np.float32), (224, 1)), 0.8, 3.5)
        return Cell(
            number,
            instance(Kind.WBC, 60 + 60 * number, 240, 45),
            Call(label, confidence, probabilities),
            reasons,
            np.full((224, 224, 3), (150, 90, 170), np.uint8),
            heat if reasons else None,
            description=Description(label, f"Seen: a {label}.", ("nucleus round",)) if reasons else None,
        )

    calls = ["neutrophil"] * 4 + ["lymphocyte", "monocyte"]
    cells = [white(number, label, 0.95) for number, label in enumerate(calls, 1)]
    cells += [white(7, "blast", 0.91, "blast"), white(8, "eosinophil", 0.55, "low_confidence")]
    cells += [Cell(9 + n, instance(Kind.RBC, 40 + 50 * n, 60, 30)) for n in range(10)]
    cells += [Cell(19, instance(Kind.PLATELET, 600, 440, 12))]
    return Findings(
        640,
        480,
        0.1,
        "declared",
        Quality(0.86, 0.9, 0.8, 0.95, 0.4),
        tuple(cells),
        aggregate(cells),
        (NetworkUsed("wbc-test", "1.0.0", "ab" * 32),),
        (),
        {"segmentation": 0.2, "classification": 0.1},
    )


@pytest.fixture
def red_findings(findings):
    """The same findings on a smear of 210 red cells, 205 of them named: 20 target cells, of which two are
    unsure, 5 sickle cells, and 180 normal ones; five were not in the sample."""
    from dataclasses import replace

    from inference.pipeline.aggregation import aggregate
    from inference.pipeline.cell_words import Description
    from inference.pipeline.config import RBC_SHAPES
    from inference.pipeline.findings import Call, Cell, Explanation, Instance, Kind, NetworkUsed
    from inference.pipeline.red_cell_calls import red_cells
    from inference.pipeline.red_cell_findings import RedCellMeasures

    def red(place: int, label: str, *reasons: str) -> Cell:
        x, y = 20 + 20 * (place % 30), 20 + 20 * (place // 30)
        box = (x - 8, y - 8, x + 8, y + 8)
        corners = ((box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3]))
        found = Instance(Kind.RBC, box, corners, (float(x), float(y)), 4072, 0.9)
        confidence = 0.5 if reasons else 0.9
        rest = (1 - confidence) / (len(RBC_SHAPES) - 1)
        probabilities = {name: confidence if name == label else rest for name in RBC_SHAPES}
        measures = RedCellMeasures(7.2, 40.7, 1.0 + 0.1 * (place % 2), 0.95, 1.05, 0.7)
        crop = np.full((64, 64, 3), (220, 150, 160), np.uint8)
        heat = Explanation(np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1)), 0.7, 0.6)
        return Cell(
            0,
            found,
            Call(label, confidence, probabilities),
            reasons,
            crop,
            heat if reasons else None,
            description=Description(label, f"Seen: a {label}.", ("outline round",)) if reasons else None,
            measures=measures,
        )

    called = ["sickle"] * 5 + ["target"] * 20 + ["normal"] * 180
    reds = [red(n, label, *(["low_confidence"] if n in (5, 6) else [])) for n, label in enumerate(called)]
    reds += [replace(red(205 + n, "normal"), call=None, crop=None, measures=None) for n in range(5)]
    others = [cell for cell in findings.cells if cell.instance.kind is not Kind.RBC]
    cells = tuple(replace(cell, cell_id=number) for number, cell in enumerate([*others, *reds], 1))
    networks = (*findings.networks, NetworkUsed("rbc", "1.0.0", "ef" * 32))
    from inference.pipeline.config import Config

    return replace(
        findings,
        cells=cells,
        aggregate=aggregate(cells),
        networks=networks,
        red=red_cells(cells, Config()),
    )


@pytest.fixture
def red_run(queued_run, red_findings):
    from inference import runs

    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), red_findings, np.asarray(field_image()))
    queued_run.refresh_from_db()
    return queued_run


@pytest.fixture
def queued_run(clinician, case, field_file):
    from inference.runs import submit

    return submit(clinician, case, field_file())


@pytest.fixture
def done_run(queued_run, findings):
    from inference import runs

    token = runs.QUEUE.claim(queued_run.pk)
    runs.save(queued_run.pk, token, findings, np.asarray(field_image()))
    queued_run.refresh_from_db()
    return queued_run


@pytest.fixture
def doubted(findings):
    """The same findings, but cell 8 is unlike the training, two more classes are possible, and a second
    network disagrees."""
    from dataclasses import replace

    from inference.pipeline.findings import NetworkUsed, SecondCall

    cell = findings.cells[7]
    few = ("eosinophil", "neutrophil")
    call = replace(cell.call, sets={95: few, 99: (*few, "blast")}, ood_score=-1.5, out_of_distribution=True)
    doubt = replace(
        cell,
        call=call,
        review_reasons=("low_confidence", "out_of_distribution", "networks_disagree"),
        second=SecondCall("neutrophil", 0.81, "wbc_second", "1.0.0"),
    )
    cells = (*findings.cells[:7], doubt, *findings.cells[8:])
    networks = (*findings.networks, NetworkUsed("wbc_second", "1.0.0", "cd" * 32))
    return replace(findings, cells=cells, networks=networks)


@pytest.fixture
def doubted_run(queued_run, doubted):
    from inference import runs

    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), doubted, np.asarray(field_image()))
    queued_run.refresh_from_db()
    return queued_run


@pytest.fixture
def signed_report(rf, done_run, pathologist):
    from inference import review, selectors
    from reports import services as reports

    run = selectors.run_for(pathologist, done_run.pk)
    for cell in selectors.open_cells(run):
        review.decide(pathologist, cell, cell.label)
    review.sign_off(pathologist, run)
    draft = reports.draft(pathologist, run.smear.case_id)
    signing = reports.Signing(rf.post("/"), PASSWORD, "Approved", draft.content_sha256)
    return reports.sign(pathologist, draft, signing)


@pytest.fixture(scope="session")
def browser_type_launch_args():
    from tests.browser import CHROMIUM, QUIET

    return {"executable_path": CHROMIUM, "args": list(QUIET)}


@pytest.fixture
def quiet_page(page):
    """A page on which nothing may be reported to the console: no script error, no refused content."""
    from tests.browser import PATIENCE_MS

    complaints = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_default_timeout(PATIENCE_MS)
    yield page
    expected = re.compile(r"status of (404|409|413|422|423|429)|ERR_CONNECTION_RESET")
    assert [text for text in complaints if not expected.search(text)] == []
