"""``manage.py evaluate {wbc,rbc,segmentation,staging} DIR --json FILE``: its figures on labelled images."""

import csv
import json
import shlex
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference.pipeline.config import SegmentationEngine
from inference.pipeline.networks.registry import staging_folder

OF_WBC = ("classes", "predictions", "report", "where", "index", "against", "against_where")
"""Options that evaluate segmentation does not have."""
NOT_OF_STAGING = ("classes", "report", "against", "against_where", "engine")
"""Options that evaluate staging does not have."""


class Command(BaseCommand):
    help = "Measure the network of the white or the red cells, the segmentation or the staging."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=("wbc", "rbc", "segmentation", "staging"))
        parser.add_argument(
            "folder",
            type=Path,
            help="wbc, rbc: folders of single-cell images per class; rbc: or, with --split, fields whose"
            " index.csv names files of labelled points (label_file); segmentation: images/ and labels/ or"
            " masks/;"
            " staging: folders of images of fields per stage",
        )
        parser.add_argument("--json", type=Path, required=True, help="where the figures are written")
        parser.add_argument("--split", help="take the rows of DIR/index.csv with this split")
        parser.add_argument("--perturb", choices=("stain", "blur", "scale"), help="on changed images")
        parser.add_argument(
            "--engine",
            choices=[*SegmentationEngine],
            help=f"segmentation: what finds the cells, {SegmentationEngine.COMPACT} where nothing is said",
        )
        _add_wbc(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        from inference.pipeline.errors import PipelineError

        if not options["folder"].is_dir():
            raise CommandError(f"{options['folder']} is not a folder.")
        measure = {"wbc": _wbc, "rbc": _rbc, "segmentation": _segmentation, "staging": _staging}
        try:
            figures = measure[options["what"]](options)
            _write(options["json"], json.dumps(figures, indent=2) + "\n")
        except (PipelineError, ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Figures written to {options['json']}.")
        if skipped := figures.get("skipped"):
            self.stdout.write(f"{len(skipped)} files or folders were left out; “skipped” there says why.")
        if options["report"]:
            self.stdout.write(f"Report written to {options['report'] / 'index.html'}.")


def _add_wbc(parser: ArgumentParser) -> None:
    wbc = parser.add_argument_group("evaluate wbc and rbc (staging: --predictions, --where and --index)")
    condition: dict[str, Any] = {"action": "append", "metavar": "COLUMN=VALUE", "default": []}
    wbc.add_argument("--classes", help="the classes that can occur, separated by commas")
    wbc.add_argument("--predictions", type=Path, help="one line per cell is written to this CSV")
    wbc.add_argument("--report", type=Path, help="folder for the report: index.html and its pictures")
    wbc.add_argument("--where", **condition, help="take the rows of the index with this value; repeatable")
    wbc.add_argument(
        "--index", help="name of the index in DIR, if not index.csv; it may hold boxes in fields"
    )
    wbc.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        help="state which images are also in this folder; repeatable",
    )
    wbc.add_argument(
        "--against-where", **condition, help="compare with the rows of its index.csv with this value"
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _wbc(options: dict[str, Any]) -> dict[str, Any]:
    from inference.training.evaluate_wbc import measure
    from inference.training.labels import listing

    _check_cells(options)
    found = listing(options["folder"], _choice(options))
    overlaps = _overlaps(options, [sample.path for sample in found.samples])
    return _of_cells(options, partial(measure, found), overlaps)


def _rbc(options: dict[str, Any]) -> dict[str, Any]:
    from inference.training.evaluate_rbc import listed, measure

    _check_cells(options)
    found = listed(options["folder"], _choice(options))
    paths = dict.fromkeys(sample.path for sample in found.cells.samples)
    return _of_cells(options, partial(measure, found), _overlaps(options, list(paths)))


def _check_cells(options: dict[str, Any]) -> None:
    if options["engine"]:
        cells = "Red" if options["what"] == "rbc" else "White"
        raise CommandError(
            f"--engine belongs to evaluate segmentation. {cells} cells are cut out by the engine compact, as"
            " the network has learnt them."
        )
    if options["against_where"] and not options["against"]:
        raise CommandError("--against-where chooses rows of the folder that --against names; give that too.")


def _choice(options: dict[str, Any]) -> Any:
    from inference.training.labels import Choice

    return Choice.of(options["split"], options["where"], options["index"])


def _of_cells(
    options: dict[str, Any], measure: Callable[..., Any], overlaps: dict[str, Any]
) -> dict[str, Any]:
    """Measure cells, clean and where asked for perturbed, and write what was asked for beside the figures."""
    from inference.training.evaluation_figures import detailed

    declared = tuple(options["classes"].split(",")) if options["classes"] else None
    clean = measure(declared)
    shown = measure(declared, options["perturb"]) if options["perturb"] else clean
    figures = detailed(shown) | overlaps
    if shown is not clean:
        figures |= {"perturbation": options["perturb"], "clean": detailed(clean)}
    if options["predictions"]:
        _write_rows(options["predictions"], shown.rows(options["folder"]))
    if options["report"]:
        _report(options, shown, figures)
    return figures


def _overlaps(options: dict[str, Any], tested: list[Path]) -> dict[str, Any]:
    """What the images have in common with those of other folders, where that was asked for."""
    from inference.training.labels import INDEX, Choice, rows_of
    from inference.training.overlap import Fingerprints, images_below, overlap

    if missing := [other for other in options["against"] if not other.is_dir()]:
        raise CommandError(f"{missing[0]} is not a folder.")
    if not options["against"]:
        return {}
    where, made = Choice.of(None, options["against_where"]).where, []
    prints = Fingerprints.of(tested)
    for folder in options["against"]:
        named = [folder / row["file"] for row in rows_of(folder / INDEX, where)] if where else None
        others = Fingerprints.of(named or images_below(folder))
        made.append(overlap(prints, others, (options["folder"], folder), where))
    return {"overlap": made}


def _report(options: dict[str, Any], measured: Any, figures: dict[str, Any]) -> None:
    from inference.training.evaluation_report import About, write_report

    declared = options["classes"].split(",") if options["classes"] else []
    now = datetime.now().astimezone()
    about = About(options["folder"], _command(options), now, options["perturb"], declared)
    write_report(options["report"], measured, figures, about)


def _command(options: dict[str, Any]) -> str:
    """Write the command down so that it can be repeated."""
    words = [
        "python",
        "manage.py",
        "evaluate",
        options["what"],
        str(options["folder"]),
        "--json",
        str(options["json"]),
    ]
    for name in ("split", "perturb", *OF_WBC):
        given = options[name] if isinstance(options[name], list) else [options[name]]
        words += [part for value in given if value for part in (f"--{name.replace('_', '-')}", str(value))]
    return shlex.join(words)


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _segmentation(options: dict[str, Any]) -> dict[str, Any]:
    from inference.pipeline.segmentation import engine, segment
    from inference.training.evaluate_segmentation import evaluate
    from inference.training.labels import INDEX, rows_of
    from inference.training.perturb import perturb

    folder, kind = options["folder"], options["perturb"]
    if foreign := [name for name in OF_WBC if options[name]]:
        raise CommandError(f"--{foreign[0].replace('_', '-')} belongs to evaluate wbc.")
    of_split = rows_of(folder / INDEX, {"split": options["split"]}) if options["split"] else None
    files = [row["file"] for row in of_split] if of_split else None
    chosen = SegmentationEngine(options["engine"] or SegmentationEngine.COMPACT)
    found = partial(segment, chosen=engine(chosen))
    clean = evaluate(folder, found, files)
    if not kind:
        return clean
    changed = evaluate(folder, found, files, lambda image: perturb(image, kind, 0))
    return {**changed, "perturbation": kind, "clean": clean}


def _staging(options: dict[str, Any]) -> dict[str, Any]:
    from inference.training.evaluate_staging import listed, measure
    from inference.training.labels import Choice

    if foreign := [name for name in NOT_OF_STAGING if options[name]]:
        owner = "segmentation" if foreign[0] == "engine" else "wbc"
        raise CommandError(f"--{foreign[0].replace('_', '-')} belongs to evaluate {owner}.")
    fields = listed(options["folder"], Choice.of(options["split"], options["where"], options["index"]))
    of_setting = partial(measure, fields, folder=staging_folder(settings.STAGING_NETWORK))
    clean = of_setting()
    shown = of_setting(options["perturb"]) if options["perturb"] else clean
    figures = shown.figures()
    if shown is not clean:
        figures |= {"perturbation": options["perturb"], "clean": clean.figures()}
    if options["predictions"]:
        _write_rows(options["predictions"], shown.rows(options["folder"]))
    return figures
