"""`manage.py create_laboratory NAME --admin-email … --admin-name …`: a tenant and its first administrator."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import services
from accounts.models import Role


class Command(BaseCommand):
    help = "Creates a laboratory and its first administrator, and prints a password for them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--admin-email", required=True)
        parser.add_argument("--admin-name", required=True)
        parser.add_argument("--address", default="", help="as it is printed on reports")

    def handle(self, *args: Any, **options: Any) -> None:
        email, full_name = options["admin_email"], options["admin_name"]
        try:
            with transaction.atomic():
                lab = services.create_lab(options["name"], address=options["address"])
                password = services.new_password()
                services.create_person(lab, Role.ADMINISTRATOR, email, full_name, password)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"{lab.name}: {email} signs in with {password}")
        self.stdout.write("The password is shown this once; change it after signing in.")
