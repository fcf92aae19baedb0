"""``manage.py export_labels``: the confirmed cells of a laboratory as a training set."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import audit
from accounts.selectors import lab_by_slug
from inference.confirmed import confirmed
from inference.management.label_export import About, NotAnExport, write_export
from inference.pipeline.findings import Kind

STREAMS = {"white": Kind.WBC, "red": Kind.RBC}


class Command(BaseCommand):
    help = (
        "Exports the white or red cells that people of a laboratory confirmed, as crops with an index,"
        " without anything of a patient. The training of white cells reads it (python -m inference.training"
        " wbc --extra DIR)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--laboratory", required=True, metavar="SLUG", help="its short name")
        parser.add_argument("--out", type=Path, required=True, help="a new folder, or an earlier export")
        parser.add_argument(
            "--licence",
            required=True,
            metavar="TEXT",
            help="the laboratory's own statement of how the cells may be used; it stands in every card",
        )
        parser.add_argument("--cells", choices=STREAMS, default="white", help="which cells; white at first")
        parser.add_argument("--since", type=_day, metavar="DATE", help="confirmed on this day or later")
        parser.add_argument("--signed-only", action="store_true", help="only of slides that are signed off")

    def handle(self, *args: Any, **options: Any) -> None:
        lab, licence = lab_by_slug(options["laboratory"]), options["licence"].strip()
        since, signed_only = options["since"], options["signed_only"]
        if lab is None:
            raise CommandError(f"There is no laboratory with the short name {options['laboratory']}.")
        if not licence:
            raise CommandError(
                "--licence is empty; give the laboratory's statement of how the cells may be used."
            )
        stream = STREAMS[options["cells"]]
        chosen = {"since": since.isoformat() if since else None, "signed_only": signed_only}
        about = About(lab.slug, licence, chosen, stream)
        try:
            manifest = write_export(confirmed(lab, since, signed_only, stream), options["out"], about)
        except (NotAnExport, OSError) as error:
            raise CommandError(str(error)) from error
        told = {name: manifest[name] for name in ("cells", "patients", "index_sha256")}
        told["stream"] = options["cells"]
        audit.record(None, "labels.export", lab, actor_name="command line", **told, **chosen)
        self._tell(manifest, options)

    def _tell(self, manifest: dict[str, Any], options: dict[str, Any]) -> None:
        parts = {part: sum(classes.values()) for part, classes in manifest["per_class"].items()}
        self.stdout.write(
            f"{manifest['cells']} {options['cells']} cells of {manifest['patients']} patients in"
            f" {options['out']}: {parts['train']} for training, {parts['val']} for validation."
        )
        if options["cells"] == "red":
            self.stdout.write("No training of this product learns from red cells yet: docs/learning_loop.md.")
        elif not all(parts.values()):
            self.stdout.write("A training needs cells of both parts: confirm cells of more patients.")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"“{text}” is no date; write YYYY-MM-DD.") from error
