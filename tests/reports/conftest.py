"""Report contents built by hand, so that every format can be held against known figures."""

import base64
import io
import os
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image, ImageDraw
from scipy.stats import binomtest

from inference.pipeline.findings import Aggregate, NetworkUsed, Notice, Share
from reports import content as parts
from reports.sign_off import CaseSignOff
from reports.staging import CaseStaging

COUNTS = {"neutrophil": 70, "lymphocyte": 30, "monocyte": 9, "eosinophil": 2, "basophil": 3, "blast": 6}
RANGES = {
    "neutrophil": (50.0, 70.0),
    "lymphocyte": (20.0, 40.0),
    "monocyte": (2.0, 10.0),
    "eosinophil": (1.0, 4.0),
    "basophil": (0.0, 1.0),
}
SIGNED_AT = datetime(2026, 11, 21, 9, 15, 30, tzinfo=UTC)
HOSTILE = "O'Br|en^&~\\F\\<script>alert(1)</script> Żółć 李"


def data_uri(width: int, height: int) -> str:
    image = Image.new("RGB", (width, height), (236, 228, 232))
    draw = ImageDraw.Draw(image)
    for x in range(30, width, 70):
        for y in range(30, height, 70):
            draw.ellipse((x - 24, y - 24, x + 24, y + 24), (212, 150, 160))
    draw.ellipse((width // 2 - 30, height // 2 - 30, width // 2 + 30, height // 2 + 30), (90, 60, 140))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def share(count: int, total: int) -> Share:
    interval = binomtest(count, total).proportion_ci(method="exact")
    return Share(count, 100 * count / total, 100 * interval.low, 100 * interval.high)


def figures() -> Aggregate:
    total = sum(COUNTS.values())
    return Aggregate(
        total_cells=total + 3 + 840 + 41,
        rbc_count=840,
        wbc_count=total,
        platelet_count=41,
        artifact_count=2,
        erythroblast_count=3,
        differential={key: share(count, total) for key, count in COUNTS.items()},
        rbc_wbc_ratio=840 / total,
        erythroblasts_per_100_wbc=100 * 3 / total,
        left_shift_index=0.0,
        myeloid_erythroid_ratio=None,
        uncertain_share=0.05,
        mean_confidence=0.93,
        flags=(Notice("blast_detected", "Blasts were called: 6 of 120 leukocytes."),),
    )


def line(key: str, of: Share) -> parts.Line:
    outside = key in RANGES and not RANGES[key][0] <= of.percent <= RANGES[key][1]
    name = key.replace("_", " ").capitalize()
    return parts.Line(key, name, of.count, of.percent, of.low, of.high, RANGES.get(key), outside)


def image(number: int, total: Aggregate) -> parts.SmearImage:
    return parts.SmearImage(
        id=str(UUID(int=40 + number)),
        name=f"field {number}.png",
        sha256=f"{number:x}" * 64,
        uploaded_at=datetime(2026, 11, 20, 10, 0, tzinfo=UTC),
        width=640,
        height=480,
        pixel_um=0.1,
        pixel_um_source="declared",
        run_id=str(UUID(int=50 + number)),
        analysed_at=datetime(2026, 11, 20, 10, 1, tzinfo=UTC),
        signed_off_by="Paul Path",
        signed_off_at=datetime(2026, 11, 20, 11, 0, tzinfo=UTC),
        wbc_count=total.wbc_count,
        rbc_count=total.rbc_count,
        platelet_count=total.platelet_count,
        cells_reviewed=7,
        cells_corrected=2,
        quality={"score": 0.86, "focus": 0.9, "stain": 0.8, "exposure": 0.95, "coverage": 0.4},
        notices=(Notice("small_field", "The field is smaller than 1000 × 1000 px."),),
        networks=(NetworkUsed("wbc", "1.0.0", "ab" * 32),),
        annotated=data_uri(640, 480),
        payload={"image_id": f"field-{number}", "ruo": True},
    )


def shown(number: int) -> parts.ShownCell:
    return parts.ShownCell(
        1, number, "blast", "Blast", "Lymphocyte", 0.61, "Paul Path", "nucleoli seen", data_uri(120, 120)
    )


@pytest.fixture(scope="session")
def draft() -> parts.ReportContent:
    total = figures()
    return parts.ReportContent(
        schema=parts.SCHEMA_VERSION,
        report_id=str(UUID(int=7)),
        version=1,
        software="WBC Portal",
        software_version="0.1.0",
        written_at=datetime(2026, 11, 21, 9, 0, tzinfo=UTC),
        lab=parts.Laboratory(str(UUID(int=1)), "Northside Hospital Laboratory", "1 North Road"),
        patient=parts.Patient(str(UUID(int=2)), "MRN-001", "Ames", "Ruth", date(1961, 4, 2), "female"),
        order=parts.Order(
            str(UUID(int=3)),
            "H26-0001",
            "Leukocytosis",
            "stat",
            datetime(2026, 11, 20, 8, 30, tzinfo=UTC),
            "May-Grünwald-Giemsa",
            "Field microscope",
        ),
        summary="120 leukocytes were counted in 1 image. Outside the reference range: none.",
        aggregate=total,
        lines=tuple(line(key, of) for key, of in total.differential.items()),
        images=(image(1, total),),
        shown=tuple(shown(number) for number in range(1, 7)),
        shown_of=6,
        not_analysed=("rbc_morphology",),
        staging=CaseStaging(),
        comment="Blasts confirmed by eye.\nFlow cytometry advised.",
    )


@pytest.fixture(scope="session")
def signed(draft) -> parts.ReportContent:
    signature = parts.Signature(
        str(UUID(int=9)), "Paul Path", "Pathologist", SIGNED_AT, "Reviewed and approved"
    )
    return replace(draft, signature=signature)


@pytest.fixture(scope="session")
def staged(signed) -> parts.ReportContent:
    """Two images whose staging was requested: one with a stage, one that is not stageable."""
    from tests.reports.staged import AGREED, NOT_STAGEABLE, with_staging

    return with_staging(signed, AGREED, NOT_STAGEABLE)


@pytest.fixture(scope="session")
def told(signed) -> parts.ReportContent:
    """Somebody was told of the blasts, and a person answered for the platelets."""
    from tests.reports.told import ANSWER, CALL

    return replace(signed, sign_off=CaseSignOff((CALL,), (ANSWER,)))


@pytest.fixture(scope="session")
def amended(signed) -> parts.ReportContent:
    amends = parts.Amendment(1, SIGNED_AT, "Paul Path", "Basophils were counted twice")
    return replace(signed, report_id=str(UUID(int=8)), version=2, amends=amends)


@pytest.fixture(scope="session")
def hostile(signed) -> parts.ReportContent:
    """What people may type, typed everywhere people may type."""
    return replace(
        signed,
        lab=replace(signed.lab, name=HOSTILE),
        patient=replace(signed.patient, mrn=HOSTILE, family_name=HOSTILE, given_name=HOSTILE),
        order=replace(signed.order, accession=HOSTILE, indication=HOSTILE, stain=HOSTILE),
        comment=f"{HOSTILE}\r\nMSH|^~\\&|second line",
    )


@pytest.fixture(scope="session")
def fhir_packages() -> list[str]:
    """R4 and US Core definitions; absent, the test is skipped, or fails under CI."""
    folder = Path(os.environ.get("WBC_FHIR", Path(__file__).parents[3] / "shared" / "fhir"))
    found = [folder / name for name in ("r4core-4.0.1.tgz", "us-core-6.1.0.tgz")]
    if all(path.is_file() for path in found):
        return [str(path) for path in found]
    reason = f"no FHIR packages at {folder}; set WBC_FHIR"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def reviewed(done_run, pathologist):
    """The analysed smear with its open cells confirmed; not signed off."""
    from inference import review, selectors

    run = selectors.run_for(pathologist, done_run.pk)
    for cell in selectors.open_cells(run):
        review.decide(pathologist, cell, cell.label)
    return run


@pytest.fixture
def ready(reviewed, pathologist):
    """The case of that smear, its slide signed off."""
    from inference import review

    review.sign_off(pathologist, reviewed)
    return reviewed.smear.case


@pytest.fixture
def drafted(ready, pathologist):
    from reports import services

    return services.draft(pathologist, ready.pk)


@pytest.fixture
def sign(rf):
    """Signs as a page does: with the person's password and the content they had before them."""
    from reports import selectors, services
    from reports.content import digest
    from tests.conftest import PASSWORD

    def do(who, report, password=PASSWORD, seen=None):
        shown = seen or digest(selectors.content_of(report))
        return services.sign(who, report, services.Signing(rf.post("/"), password, "Approved", shown))

    return do
