"""`manage.py make_demo`: the demo laboratory, its three people, and one synthetic case to analyse.

Can be run again: what exists stays as it is.
"""

from argparse import ArgumentParser
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management.base import BaseCommand
from django.utils import timezone

from accounts import selectors as people
from accounts import services as accounts
from accounts.context import RUO
from accounts.types import Lab, Role, User
from cases import services as cases
from cases.selectors import cases_for, smears_for
from inference import runs

LAB_NAME = "Demo Laboratory"
PEOPLE = {
    Role.CLINICIAN: ("clinician@demo.example", "Demo Clinician"),
    Role.PATHOLOGIST: ("pathologist@demo.example", "Demo Pathologist"),
    Role.ADMINISTRATOR: ("administrator@demo.example", "Demo Administrator"),
}
ACCESSION = "DEMO-0001"
SAMPLE = Path("samples") / "synthetic_field.png"


class Command(BaseCommand):
    help = "Makes the demo laboratory with three accounts and one synthetic case."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--address", default=settings.SITE_URL, help="where the portal is reached")

    def handle(self, *args: Any, **options: Any) -> None:
        lab = people.find_lab(LAB_NAME) or accounts.create_lab(LAB_NAME, address="Demonstration only")
        persons = {role: self._person(lab, role) for role in PEOPLE}
        self._case(persons[Role.CLINICIAN])
        self._say(options["address"])

    def _person(self, lab: Lab, role: Role) -> User:
        email, name = PEOPLE[role]
        if person := people.find_person(email):
            return person
        password = accounts.new_password()
        person = accounts.create_person(lab, role, email, name, password)
        self._note(email, f"{role.label:<26} {email:<28} {password}")
        return person

    def _note(self, email: str, line: str) -> None:
        """Keeps the first password where only the owner of the installation can read it."""
        file = self._accounts_file
        file.touch(mode=0o600)
        others = [kept for kept in file.read_text().splitlines() if email not in kept]
        file.write_text("\n".join([*others, line]) + "\n")

    @property
    def _accounts_file(self) -> Path:
        return Path(settings.STATE_DIR) / "demo_accounts.txt"

    def _case(self, clinician: User) -> None:
        case = cases_for(clinician).filter(accession=ACCESSION).first() or cases.create_case_for_new_patient(
            clinician,
            {
                "mrn": "DEMO-PATIENT",
                "family_name": "Synthetic",
                "given_name": "Sample",
                "birth_date": date(1970, 1, 1),
                "sex": "unknown",
            },
            {
                "accession": ACCESSION,
                "indication": "Demonstration: a drawn field, not a patient's blood",
                "collected_at": timezone.now() - timedelta(hours=1),
                "stain": "drawn",
                "scanner": "samples/draw_field.py",
            },
        )
        if not smears_for(clinician).filter(case_id=case.pk).exists():
            image = (settings.BASE_DIR / SAMPLE).read_bytes()
            runs.submit(clinician, case, SimpleUploadedFile(SAMPLE.name, image, "image/png"))

    def _say(self, address: str) -> None:
        first = self._accounts_file.read_text() if self._accounts_file.exists() else ""
        self.stdout.write(f"\nWBC Portal answers at {address}\n")
        self.stdout.write(f"Demo accounts, with the passwords they were made with:\n\n{first}")
        self.stdout.write(f"\n{RUO}\nCtrl-C ends everything.\n")
