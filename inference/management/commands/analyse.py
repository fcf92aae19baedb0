"""``manage.py analyse IMAGE... --out DIR``: findings as JSON and the annotated image, without a database."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference.pipeline.config import Augmentation, Config, SegmentationEngine
from inference.pipeline.networks.registry import staging_folder

OVERLAY_SIDE = 4096
"""Longer side in px of the annotated picture of a slide; a smaller image keeps its own."""


class Command(BaseCommand):
    help = "Analyse smear images and write a JSON payload and an overlay PNG for each."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("images", nargs="+", type=Path)
        parser.add_argument(
            "--out", type=Path, required=True, help="folder for NAME.json and NAME.overlay.png"
        )
        parser.add_argument("--pixel-um", type=float, help="micrometres per pixel; estimated when not given")
        parser.add_argument(
            "--engine", choices=[*SegmentationEngine], help="finds the cells; by default that of the settings"
        )
        parser.add_argument("--classes", help="the classes that can occur, separated by commas")
        parser.add_argument(
            "--augmentation",
            choices=[*Augmentation],
            help="how often the network sees each white cell; by default as its card says",
        )
        parser.add_argument(
            "--no-stain-normalisation", action="store_true", help="white cells in their own colours only"
        )
        parser.add_argument(
            "--adapt-batch-statistics",
            action="store_true",
            help="move the network's batch statistics towards the slide's, from 64 white cells on",
        )
        parser.add_argument("--staging", action="store_true", help="stage the fields of the smear as well")
        parser.add_argument(
            "--call-again",
            action="store_true",
            help="call white cells in doubt again, in other stains and cut out tighter",
        )
        parser.add_argument(
            "--review-contradicted",
            action="store_true",
            help="white cells whose words contradict their call need review",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from inference.pipeline.errors import PipelineError

        options["out"].mkdir(parents=True, exist_ok=True)
        config, refused = _config(options), []
        for path in options["images"]:
            try:
                self._analyse(path, options["out"], config)
            except PipelineError as error:
                refused.append(path)
                self.stderr.write(f"{path.name}: {error.text}")
        if refused:
            raise CommandError(f"{len(refused)} of {len(options['images'])} images could not be analysed.")

    def _analyse(self, path: Path, out: Path, config: Config) -> None:
        from PIL import Image

        from inference.pipeline.analyse import analyse
        from inference.pipeline.overlay import overlay
        from inference.pipeline.payload import payload
        from inference.pipeline.slide import Slide

        findings = analyse(path, config, lambda stage, share: None)
        document = payload(findings, path.name, datetime.now(UTC))
        (out / f"{path.stem}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        with Slide.open(path) as slide:
            picture = slide.overview(OVERLAY_SIDE)
        drawn = overlay(picture, findings.cells, picture.shape[1] / findings.width)
        Image.fromarray(drawn).save(out / f"{path.stem}.overlay.png")
        summary = document["summary"]
        self.stdout.write(
            f"{path.name}: {summary['wbc_count']} white cells, {summary['rbc_count']} red cells,"
            f" {summary['platelet_count']} platelets; {len(document['uncertain_cases'])} need review."
        )


def _config(options: dict[str, Any]) -> Config:
    return Config(
        pixel_um=options["pixel_um"],
        engine=SegmentationEngine(options["engine"] or settings.SEGMENTATION_ENGINE),
        normalise_stain=not options["no_stain_normalisation"],
        declared_classes=tuple(options["classes"].split(",")) if options["classes"] else None,
        augmentation=Augmentation(options["augmentation"]) if options["augmentation"] else None,
        adapt_batch_statistics=options["adapt_batch_statistics"],
        staging=options["staging"],
        staging_folder=staging_folder(settings.STAGING_NETWORK),
        remediate=options["call_again"],
        review_contradicted=options["review_contradicted"],
    )
