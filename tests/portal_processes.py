"""A portal of its own for tests: broker, web, worker and scheduler as the processes of `deploy/`."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[1]
SETTINGS = "tests.worker_settings"
PASSWORD = "correct horse battery"
PEOPLE = f"""
import json, django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.utils import timezone
from knox.models import AuthToken
from accounts.models import Role, User
from accounts.services import create_lab
from cases.services import create_case, create_patient
lab = create_lab("Northside Hospital Laboratory", address="1 North Road")
def person(email, name, role):
    return User.objects.create_user(
        email, "{PASSWORD}", full_name=name, lab=lab, role=role, status="active"
    )
person("paul@northside.example", "Paul Path", Role.PATHOLOGIST)
clinician = person("clara@northside.example", "Clara Clinic", Role.CLINICIAN)
patient = create_patient(clinician, mrn="MRN-001", family_name="Ames", given_name="Ruth")
case = create_case(clinician, patient=patient, accession="H26-0001", collected_at=timezone.now())
token = AuthToken.objects.create(clinician)[1]
print(json.dumps({{"token": token, "case": str(case.pk), "patient": str(patient.pk)}}))
"""
AUDIT = """
import json, sys, django
django.setup()
from accounts.models import AuditEvent
lines = AuditEvent.objects.filter(object_id=sys.argv[1]).order_by("id")
print(json.dumps(list(lines.values_list("verb", flat=True))))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, happened: Callable[[], Any], seconds: float = 120) -> Any:
    """The first true answer of `happened`; it fails with `what` when none comes in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := happened():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {seconds} s")


@contextmanager
def running(*programs: str) -> "Iterator[Portal]":
    """A portal whose programs run. The path of a socket is short by law, so its folder is not pytest's."""
    state = Path(tempfile.mkdtemp(prefix="wbc-"))
    portal = Portal(state)
    try:
        for program in programs:
            portal.start(program)
        wait_for("the first page", portal.answers)
        yield portal
    finally:
        portal.end_all()
        shutil.rmtree(state)


class Portal:
    """Starts, freezes and kills its processes by name, and speaks to its API as a clinician."""

    def __init__(self, state: Path) -> None:
        self.state, self.port = state, free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "WBC_STATE": str(state),
            "PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        made = self.run(PEOPLE)
        self.case, self.patient = made["case"], made["patient"]
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Token {made['token']}"

    def run(self, script: str, *arguments: str) -> Any:
        """The JSON that a script prints, run with this portal's settings."""
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def start(self, program: str, name: str = "") -> None:
        name = name or program
        with (self.state / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [ROOT / "deploy" / program],
                cwd=ROOT,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def send(self, name: str, sent: signal.Signals) -> None:
        """To the program and all its children."""
        os.killpg(self.processes[name].pid, sent)

    def end(self, name: str, sent: signal.Signals = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        if process.poll() is None:
            os.killpg(process.pid, sent)
        process.wait(30)

    def end_all(self) -> None:
        for name in list(self.processes):
            self.end(name)

    def log(self, name: str) -> str:
        return (self.state / f"{name}.log").read_text(errors="replace")

    # --- the API ----------------------------------------------------------------------------------
    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def answers(self) -> bool:
        try:
            return self.session.get(self.url("/api/v1/cases/"), timeout=30).status_code == 200
        except requests.ConnectionError:
            return False

    def new_case(self) -> tuple[str, str]:
        """The id and the accession number of a case of its own."""
        accession = f"H26-{time.time_ns()}"
        fields = {"patient": self.patient, "accession": accession, "collected_at": "2026-11-20T08:30:00Z"}
        made = self.session.post(self.url("/api/v1/cases/"), json=fields, timeout=30)
        assert made.status_code == 201, made.text
        return str(made.json()["id"]), accession

    def report(self, case: str, form: str) -> requests.Response:
        answer = self.session.get(self.url(f"/api/v1/cases/{case}/{form}"), timeout=60)
        assert answer.status_code == 200, answer.text
        return answer

    def submit(self, image: bytes, case: str = "") -> str:
        """Hand a smear in; the id of its run."""
        address = self.url(f"/api/v1/cases/{case or self.case}/smears/")
        name = "field.jpg" if image.startswith(b"\xff\xd8") else "field.png"
        made = self.session.post(address, files={"file": (name, image)}, timeout=30)
        assert made.status_code == 201, made.text
        return str(made.json()["run"]["id"])

    def status(self, run: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.session.get(self.url(f"/api/v1/runs/{run}/"), timeout=30).json()
        return answer

    def wait_for_status(self, run: str, *wanted: str, seconds: float = 120) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            now = self.status(run)
            return now if now["status"] in wanted else None

        found: dict[str, Any] = wait_for(f"status {wanted} of run {run}", reached, seconds)
        return found

    def finished(self, run: str) -> dict[str, Any]:
        """The run once it is done; a failed one shows what the workers logged."""
        now = self.wait_for_status(run, "done", "failed")
        assert now["status"] == "done", f"{now}\n{self.log('worker')}"
        return now

    def verbs(self, run: str) -> list[str]:
        """The audit trail of a run."""
        trail: list[str] = self.run(AUDIT, run)
        return trail
