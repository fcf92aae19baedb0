"""``manage.py evaluate {wbc,segmentation} DIR --json FILE``: the product's figures on labelled images."""

import csv
import json
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.pipeline.config import SegmentationEngine


class Command(BaseCommand):
    help = "Measure the white-cell network or the segmentation on a folder of labelled images."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=("wbc", "segmentation"))
        parser.add_argument(
            "folder",
            type=Path,
            help="wbc: folders of single-cell images per class; segmentation: images/ and labels/ or masks/",
        )
        parser.add_argument("--json", type=Path, required=True, help="where the figures are written")
        parser.add_argument("--split", help="take the rows of DIR/index.csv with this split")
        parser.add_argument("--perturb", choices=("stain", "blur", "scale"), help="on changed images")
        parser.add_argument("--classes", help="wbc: the classes that can occur, separated by commas")
        parser.add_argument(
            "--engine",
            choices=[*SegmentationEngine],
            default=SegmentationEngine.COMPACT,
            help="segmentation: what finds the cells",
        )
        parser.add_argument("--predictions", type=Path, help="wbc: one line per image is written to this CSV")

    def handle(self, *args: Any, **options: Any) -> None:
        from inference.pipeline.errors import PipelineError

        if not options["folder"].is_dir():
            raise CommandError(f"{options['folder']} is not a folder.")
        measure = _wbc if options["what"] == "wbc" else _segmentation
        try:
            figures = measure(options)
        except (PipelineError, ValueError, FileNotFoundError) as error:
            raise CommandError(str(error)) from error
        options["json"].write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        self.stdout.write(f"Figures written to {options['json']}.")


def _wbc(options: dict[str, Any]) -> dict[str, Any]:
    from inference.training.evaluate_wbc import measure
    from inference.training.labels import samples

    listed = samples(options["folder"], options["split"])
    declared = tuple(options["classes"].split(",")) if options["classes"] else None
    clean = measure(listed, declared)
    shown = measure(listed, declared, options["perturb"]) if options["perturb"] else clean
    if options["predictions"]:
        _write_rows(options["predictions"], shown.rows(options["folder"]))
    figures = shown.figures()
    return (
        figures | {"perturbation": options["perturb"], "clean": clean.figures()}
        if shown is not clean
        else figures
    )


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _segmentation(options: dict[str, Any]) -> dict[str, Any]:
    from inference.pipeline.segmentation import engine, segment
    from inference.training.evaluate_segmentation import evaluate
    from inference.training.perturb import perturb

    folder, kind = options["folder"], options["perturb"]
    if options["classes"] or options["predictions"]:
        raise CommandError("--classes and --predictions belong to evaluate wbc.")
    files = _files_of_split(folder, options["split"]) if options["split"] else None
    found = partial(segment, chosen=engine(SegmentationEngine(options["engine"])))
    clean = evaluate(folder, found, files)
    if not kind:
        return clean
    changed = evaluate(folder, found, files, lambda image: perturb(image, kind, 0))
    return {**changed, "perturbation": kind, "clean": clean}


def _files_of_split(folder: Path, split: str) -> list[str]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as lines:
        return [row["file"] for row in csv.DictReader(lines) if row["split"] == split]
