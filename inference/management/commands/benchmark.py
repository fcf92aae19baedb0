"""``manage.py benchmark [--json FILE]``: milliseconds and memory of each stage beside its plain reference."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

FIELD = Path("fields_txl/images/0642b0fa-dcdb-5c4f-945b-05ecd058c4d1.jpg")
SAMPLE = Path("samples/synthetic_field.png")


class Command(BaseCommand):
    help = "Time every stage of the analysis, each beside its plain reference in the same run."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", type=Path, help="where the figures are written")
        parser.add_argument(
            "--image", type=Path, help="the field to time on; a real one from WBC_DATA if present"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from inference.training.speed import benchmark

        figures = benchmark(options["image"] or _field())
        if options["json"]:
            options["json"].write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        self.stdout.write(f"{figures['image']}, {figures['size'][0]} x {figures['size'][1]} px")
        self.stdout.write(f"{'':36}{'product':>22}{'reference':>24}{'ratio':>9}")
        for stage in figures["stages"]:
            product, plain = stage["product"], stage["plain"]
            ratio, what = f"{stage['times_faster']:.2f}", plain["what"]
            self.stdout.write(f"{stage['stage']:36}{_cell(product):>22}{_cell(plain):>24}{ratio:>9}  {what}")
        for row in figures["imaging_core"]:
            name = f"imaging core, {row['megapixels']} megapixels"
            self.stdout.write(f"{name:36}{_cell(row):>22}{row['ms_per_megapixel']:>18.2f} ms per megapixel")
        self.stdout.write(f"{'whole analysis':36}{_cell(figures['analysis']):>22}")


def _field() -> Path:
    real = settings.WBC_DATA / FIELD
    return real if real.is_file() else settings.BASE_DIR / SAMPLE


def _cell(measured: dict[str, Any]) -> str:
    memory = "" if measured["peak_mib"] is None else f" {measured['peak_mib']:6.1f} MiB"
    return f"{measured['ms']:9.2f} ms{memory}"
