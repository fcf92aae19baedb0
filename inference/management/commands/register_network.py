"""``manage.py register_network DIR --laboratory SLUG``: keep a white-cell network for a laboratory."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.selectors import lab_by_slug
from inference import candidates
from inference.management.network_files import checked_files


class Command(BaseCommand):
    help = (
        "Registers the white-cell network in a folder as a candidate of one laboratory. It calls no cell"
        " before an administrator has rehearsed and activated it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help=f"holds {candidates.CARD} and {candidates.WEIGHTS}")
        parser.add_argument(
            "--laboratory", required=True, metavar="SLUG", help="short name of the laboratory"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from inference.pipeline.errors import PipelineError

        lab = lab_by_slug(options["laboratory"])
        if lab is None:
            raise CommandError(f"There is no laboratory with the short name {options['laboratory']}.")
        try:
            candidate = candidates.register(lab, *checked_files(options["folder"]))
        except (PipelineError, candidates.NetworkConflict) as error:
            raise CommandError(error.text) from error
        self.stdout.write(
            f"{lab.name}: network {candidate.version}, sha256 {candidate.sha256}, is registered."
        )
        self.stdout.write("Rehearse and activate it on the page Laboratory › Networks.")
