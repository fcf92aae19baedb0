"""Pages and the API ask the database as often for forty cases and hundreds of cells as for two and twenty."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role, User
from accounts.notifications import Event, Kind, notify
from accounts.services import create_token
from cases.questions import answer, ask
from cases.services import create_case, create_patient
from inference import review, runs, selectors
from inference.models import Cell, CellReview, CellSkip, ManualCount, RehearsedCase, SecondReview
from inference.pipeline.config import DIFFERENTIAL_CLASSES
from reports import services as reports
from tests import readings
from tests.conftest import PASSWORD, field_image, person

CELLS_AT_ONCE = 400


class Laboratory:
    """A laboratory at work that can grow: cases of one patient and of others, smears, cells, reviews."""

    def __init__(self, people, findings, field_file, rf) -> None:
        self.clinician, self.pathologist, self.administrator = people
        self.findings, self.field_file, self.rf = findings, field_file, rf
        self.made = 0
        self.patient = create_patient(self.clinician, mrn="MRN-1", family_name="Ames")
        self.case = self.open_case(self.patient)
        self.run = self.analyse(self.case)
        review.claim_slide(self.pathologist, self.run)
        self.reported = self.report(self.patient)
        self.rehearsal = readings.chosen_network(self.administrator, self.reported.case_id)
        self.amended = self.report(create_patient(self.clinician, mrn="MRN-2", family_name="Brook"))
        reports.amend(self.pathologist, self.amended, "Cells were called otherwise")

    def number(self) -> int:
        self.made += 1
        return self.made

    def open_case(self, patient):
        n = self.number()
        collected = self.patient.created_at - timedelta(days=400 - n)
        return create_case(self.clinician, patient, accession=f"H{n}", collected_at=collected, pixel_um=0.1)

    def analyse(self, case):
        """A finished run of a new smear."""
        n = self.number()
        run = runs.submit(self.clinician, case, self.field_file(f"{n}.png", seed=n, size=(320, 240)))
        runs.save(run.pk, runs.QUEUE.claim(run.pk), self.findings, np.asarray(field_image(n, (320, 240))))
        return selectors.run_for(self.pathologist, run.pk)

    def report(self, patient):
        """A case with a signed report."""
        case = self.open_case(patient)
        run = self.analyse(case)
        for cell in selectors.open_cells(run):
            review.decide(self.pathologist, cell, cell.label)
        review.sign_off(self.pathologist, run)
        draft = reports.draft(self.pathologist, case.pk)
        signing = reports.Signing(self.rf.post("/"), PASSWORD, "Approved", draft.content_sha256)
        return reports.sign(self.pathologist, draft, signing)

    def add(self, cases: int, smears: int, cells: int) -> None:
        """So many more cases of other patients, a quarter as many of the patient, half of them reported, and
        smears of the case and cells of the run that is looked at."""
        for n in range(cases):
            other = create_patient(self.clinician, mrn=f"MRN-{self.number()}", family_name="Other")
            patient = self.patient if n % 4 == 0 else other
            if n % 8 == 0:
                case = self.report(patient).case
                self.rehearse(case)
            else:
                case = self.open_case(patient)
                self.analyse(case)
            self.talk(case)
            self.hire()
        for _ in range(smears):
            self.read_by_two(self.analyse(self.case))
            self.talk(self.case)
            self.count_by_hand()
        self.amend(smears, calls=smears // 2)
        self.find(cells)

    def rehearse(self, case) -> None:
        """One more signed case that the candidate has called anew."""
        known = self.rehearsal.cases.get(place=1).result
        RehearsedCase.objects.create(rehearsal=self.rehearsal, place=self.number(), case=case, result=known)

    def amend(self, smears: int, calls: int) -> None:
        """The report that is being amended gains images, and so many of its cells are another class."""
        case = self.amended.case
        review.reopen(self.pathologist, case.pk)
        for _ in range(smears):
            self.analyse(case)
        slides = [selectors.run_for(self.pathologist, run.pk) for run in selectors.current_runs(case.pk)]
        reported = min(slides, key=lambda run: run.queued_at)
        uncalled = reported.cells.filter(label__in=DIFFERENTIAL_CLASSES, reviews=None).order_by("number")
        for cell in uncalled[:calls]:
            review.decide(self.pathologist, cell, "basophil")
        for run in slides:
            for cell in selectors.open_cells(run):
                review.decide(self.pathologist, cell, cell.label)
            review.sign_off(self.pathologist, run)

    def talk(self, case) -> None:
        asked = ask(self.clinician, case, "Are these blasts?")
        if self.number() % 2:
            answer(self.pathologist, asked, "No.")
        for one in (self.clinician, self.pathologist, self.administrator):
            create_token(one)
            notify([one], Event(Kind.RUN_FAILED, case, f"event-{self.number()}"))

    def hire(self) -> None:
        n, status = self.number(), [User.Status.PENDING, User.Status.ACTIVE][self.made % 2]
        person = {"full_name": f"Person {n}", "lab": self.clinician.lab, "role": Role.CLINICIAN}
        User.objects.create_user(f"person{n}@north.example", **person, status=status)

    def read_by_two(self, run) -> None:
        """A reader who is new skips one cell and calls the other; another one differs."""
        reader = person(self.clinician.lab, Role.PATHOLOGIST, f"Paula Peer{self.number()}")
        skipped, called = selectors.open_cells(run)[:2]
        first = CellReview.objects.create(cell=called, reviewer=reader, label="monocyte")
        SecondReview.objects.create(
            cell=called, first=first, reviewer=self.pathologist, label="blast", informed=False
        )
        CellSkip.objects.create(cell=skipped, reader=reader, reason=CellSkip.Reason.COLLEAGUE)
        Cell.objects.filter(pk=called.pk).update(double_reading=Cell.DoubleReading.DIFFERS)

    def count_by_hand(self) -> None:
        ManualCount.objects.create(
            lab=self.run.lab,
            smear=self.run.smear,
            reader=self.pathologist,
            target=100,
            counts={"neutrophil": 100},
        )

    def find(self, count: int) -> None:
        """More cells of the run, like those it has; every other open one has been reviewed."""
        known = list(self.run.cells.order_by("number"))
        first = known[-1].number + 1
        Cell.objects.bulk_create(
            Cell(**{**values(known[n % len(known)]), "number": first + n}) for n in range(count)
        )
        doubted = selectors.open_cells(self.run).filter(number__gte=first, number__lt=first + count)
        CellReview.objects.bulk_create(
            CellReview(cell=cell, reviewer=self.pathologist, label="neutrophil")
            for cell in list(doubted)[::2]
        )

    def pages(self) -> dict[str, str]:
        case, run, amended = [self.case.pk], [self.run.pk], self.amended.case_id
        cell, reported = self.run.cells.filter(needs_review=True).first().number, [self.reported.case_id]
        of_run = ("run", "run-status", "viewer", "viewer-manifest", "viewer-cells", "viewer-coverage")
        return {
            **{name: reverse(f"cases:{name}") for name in ("worklist", "patients", "new-case")},
            **{tab: f"/?tab={tab}" for tab in ("open", "reported")},
            "patient": reverse("cases:patient", args=[self.patient.pk]),
            "case": reverse("cases:case", args=case),
            "case-runs": reverse("inference:case-runs", args=case),
            "case-staging": reverse("inference:case-staging", args=case),
            "questions": reverse("cases:questions", args=case),
            "sign-off": reverse("inference:sign-off-page", args=case),
            "case-report": reverse("reports:case-report", args=reported),
            **{
                name: reverse(f"inference:{name}", args=run) for name in (*of_run, "gallery", "gallery-cells")
            },
            "short count": reverse("inference:run", args=run) + "?count=100",
            "short count alone": reverse("inference:differential", args=run) + "?count=100",
            "outlines": reverse("inference:viewer-outlines", args=[*run, 0, 0]),
            "cell": reverse("inference:cell", args=[*run, cell]),
            "similar": reverse("inference:similar", args=[*run, cell]),
            "queue": reverse("inference:review-queue"),
            "desk": reverse("inference:review-slide", args=run),
            "tally": reverse("inference:tally", args=[self.run.smear_id]),
            "report": reverse("reports:report", args=reported),
            "changes": reverse("reports:changes", args=[amended, 1, 2]),
            **{f"draft as {form}": reverse("reports:download", args=[amended, 2, form]) for form in FORMS},
            "trends": reverse("reports:patient-trends", args=[self.patient.pk]),
            "notifications": reverse("accounts:notifications"),
            "tokens": reverse("accounts:tokens"),
            "API patients": "/api/v1/patients/",
            "API cases": "/api/v1/cases/",
            "API case": f"/api/v1/cases/{self.case.pk}/",
            "API smears": f"/api/v1/cases/{self.case.pk}/smears/",
            "API run": f"/api/v1/runs/{self.run.pk}/",
            "API result": f"/api/v1/runs/{self.run.pk}/result/",
            "API queue": "/api/v1/review/",
            "API sign-off": f"/api/v1/cases/{self.case.pk}/sign-off/",
            "API changes": f"/api/v1/cases/{amended}/report/changes/1/2/",
            **{f"API {form}": f"/api/v1/cases/{amended}/report.{form}?version=2" for form in FORMS},
            **{f"API signed {form}": f"/api/v1/cases/{amended}/report.{form}" for form in FORMS},
        }


FORMS = ("json", "fhir.json", "hl7")
OFFICES = {
    **{name: f"accounts:{name}" for name in ("people", "ranges", "red_cells", "sign_off", "review", "audit")},
    **{name: f"inference:{name}" for name in ("networks", "agreement", "api-agreement")},
}


def values(cell) -> dict[str, object]:
    fields = [field.attname for field in Cell._meta.concrete_fields if not field.primary_key]
    return {name: getattr(cell, name) for name in fields}


@pytest.fixture
def laboratory(clinician, pathologist, administrator, red_findings, field_file, rf, monkeypatch):
    monkeypatch.setattr("celery.current_app.send_task", lambda *_, **__: None)
    monkeypatch.setattr("reports.pdf.write", lambda *_: b"%PDF-1.7")
    # No file per cell, and no page set: what is counted here are questions to the database.
    cells = tuple(replace(cell, crop=None, explanation=None) for cell in red_findings.cells)
    few = replace(red_findings, cells=cells[:20] + cells[-20:])
    return Laboratory((clinician, pathologist, administrator), few, field_file, rf)


def asked(client, address) -> Counter[str]:
    """The questions to the database by their text, on the second look, when all that is kept is kept."""
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200, address
    return Counter(query["sql"].split(" WHERE ")[0] for query in captured.captured_queries)


def test_no_page_asks_more_often_the_more_there_is(laboratory, client_for):
    laboratory.add(cases=8, smears=2, cells=20)
    looks = {name: (client_for(laboratory.pathologist), url) for name, url in laboratory.pages().items()}
    office = client_for(laboratory.administrator)
    looks |= {name: (office, reverse(address)) for name, address in OFFICES.items()}
    reader = reverse("inference:reader-agreement", args=[laboratory.pathologist.pk])
    looks["reader's agreement"] = (office, reader)
    looks["rehearsal"] = (office, reverse("inference:rehearsal", args=[laboratory.rehearsal.pk]))
    few = {name: asked(*look) for name, look in looks.items()}
    laboratory.add(cases=32, smears=8, cells=CELLS_AT_ONCE)
    assert grown(few, {name: asked(*look) for name, look in looks.items()}) == {}


def grown(few, many) -> dict[str, list[str]]:
    """By page what was asked more often, how often before and after."""
    found = {}
    for name, before in few.items():
        more = many[name] - before
        if more.total() and many[name].total() > before.total():
            found[name] = [f"{before[sql]} → {many[name][sql]}: {sql[:400]}" for sql in more]
    return found
