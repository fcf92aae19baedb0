"""Train a network without Django: ``python -m inference.training NETWORK --data DIR --out DIR``."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from inference.pipeline.config import SegmentationEngine
from inference.pipeline.errors import PipelineError
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.rbc import ARCHITECTURES as RED_ARCHITECTURES
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.staging import ARCHITECTURES as STAGING_ARCHITECTURES
from inference.pipeline.networks.staging import STAINS
from inference.pipeline.networks.wbc import ARCHITECTURES
from inference.pipeline.seen_colours import AS_IS
from inference.training import rbc_run, wbc_card, wbc_run
from inference.training.exports import read_exports
from inference.training.laboratories import LABORATORIES
from inference.training.proposed_cells import ORIGINS, propose, read_proposed
from inference.training.rbc_cells import FOLDERS as RED_FOLDERS
from inference.training.shipped import started
from inference.training.wbc import Recipe

_TRAININGS: dict[SegmentationEngine, tuple[str, dict[str, Any]]] = {
    SegmentationEngine.COMPACT: ("segmentation_run", {}),
    SegmentationEngine.MASKRCNN_SWIN: ("segmentation_rcnn_run", {"architecture": "maskrcnn_swin"}),
    SegmentationEngine.HTC: ("segmentation_rcnn_run", {"architecture": "htc_resnet50"}),
    SegmentationEngine.YOLO11_SEG: ("segmentation_yolo", {}),
}
"""The module that trains an engine's network, with `Recipe` and `make`, and what its recipe has to say."""

_NO_RECIPE = {"network", "engine", "data", "out", "start", "workers", "stop_after", "extra", "proposed"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference.training", description=__doc__)
    networks = parser.add_subparsers(dest="network", required=True)
    _add_wbc(networks.add_parser("wbc", help="the network that names white cells"))
    _add_proposed(networks.add_parser("proposed", help="labels for white cells that nobody named one by one"))
    _add_rbc(networks.add_parser("rbc", help="the network that names the shapes of red cells"))
    _add_segmentation(networks.add_parser("segmentation", help="the network that finds cells"))
    _add_staging(networks.add_parser("staging", help="the networks that stage fields"))
    return parser


def _add_wbc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets of white cells")
    add = _add_cells(parser, ARCHITECTURES)
    add("--name", choices=list(wbc_card.INTENDED_USE), help="the network it is trained as")
    add("--held-out", nargs="+", choices=list(LABORATORIES), help="laboratories not to learn from")
    parser.add_argument(
        "--extra",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="exports of confirmed cells (manage.py export_labels) to learn from as well",
    )
    parser.add_argument(
        "--proposed", type=Path, metavar="DIR", help="what the command proposed wrote, to learn from as well"
    )


def _add_proposed(parser: argparse.ArgumentParser) -> None:
    folders = ", ".join(sorted({origin.folder for origin in ORIGINS.values()}))
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {folders}")
    parser.add_argument("--out", type=Path, required=True, help="folder for one index of each origin")
    parser.set_defaults(start=None)


def _add_rbc(parser: argparse.ArgumentParser) -> None:
    folders = ", ".join(RED_FOLDERS)
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {folders}")
    _add_cells(parser, RED_ARCHITECTURES)


def _add_cells(parser: argparse.ArgumentParser, architectures: Iterable[str]) -> Callable[..., Any]:
    """Add what every network that names cells is trained with; return how to add more of the recipe."""
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for crops, checkpoint, weights and card"
    )
    parser.add_argument("--start", type=Path, help="folder with card and weights to start from")
    parser.add_argument("--workers", type=int, default=1, help="processes that augment")
    recipe = parser.add_argument_group("recipe")
    add = partial(recipe.add_argument, default=argparse.SUPPRESS)
    add("--architecture", "--arch", help=f"{', '.join(architectures)}, or the name of any timm classifier")
    add("--init", choices=("scratch", "imagenet"), help="what the backbone starts from")
    add("--epochs", type=int)
    add("--draws", type=int, help="crops in an epoch")
    add("--batch", type=int)
    add("--learning-rate", type=float)
    add("--side", type=int, help="side of the network's input in px")
    add("--first-side", type=int, help="the same at the beginning")
    add("--warmup", type=float, help="share of the training in which the learning rate rises")
    add("--weak-share", type=float, help="share of the training that augments weakly, at its beginning")
    add("--colour", type=float, help="how many times as far as usual stain and light stray")
    add("--degrading", type=float, help="how many times as often as usual crops are blurred or coarsened")
    add("--background", type=float, help="chance that something else is put around a cell, 0-1")
    add("--balance", type=float, help="power of its number of cells by which a class is drawn, 0-1")
    add("--focal", type=float, help="share of the focal loss, 0-1; the rest is smoothed cross entropy")
    add("--views", nargs="+", choices=("as_is", "levels", "stretched"), help="how crops are seen")
    add("--shown", nargs="+", choices=("as_is", "levels", "stretched"), help="of --views, those in use")
    add("--upright", dest="half_turn", action="store_false", help="not turned by 180° as well in use")
    add("--seed", type=int)
    return add


def _add_segmentation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        type=SegmentationEngine,
        choices=list(_TRAININGS),
        default=SegmentationEngine.COMPACT,
        help="whose network it is",
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder that holds the sets of fields and of single white cells",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, weights and card")
    parser.add_argument("--start", type=Path, help="folder with card and weights to start from")
    parser.add_argument("--workers", type=int, default=1, help="processes that compose windows")
    recipe = parser.add_argument_group("recipe", "what is not given is as the engine's recipe has it")
    add = partial(recipe.add_argument, default=argparse.SUPPRESS)
    add("--architecture", help="star_ and a width, as star_48; maskrcnn_ or htc_ and a backbone, as htc_swin")
    add("--init", choices=("scratch", "imagenet"), help="what the backbone starts from")
    add("--epochs", type=int)
    add("--batch", type=int)
    add("--learning-rate", type=float)
    add("--side", type=int, help="side of the training windows in px")
    add("--steps", type=int, help="batches in an epoch")
    add("--boxed-epochs", type=int, help="before the network labels further fields")
    add("--seed", type=int)


def _add_staging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder that holds the set of fields and those that lend their stain",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, weights and card")
    parser.add_argument("--workers", type=int, default=1, help="processes that augment")
    parser.add_argument("--start", type=Path, help="folder with card and weights to start from")
    parser.add_argument("--stop-after", type=int, help="epoch after which to stop before the recipe's end")
    recipe = parser.add_argument_group("recipe")
    add = partial(recipe.add_argument, default=argparse.SUPPRESS)
    add("--architecture", "--arch", choices=list(STAGING_ARCHITECTURES), help="the hybrid network")
    add("--init", choices=("scratch", "imagenet"), help="what the backbone starts from")
    add(
        "--stain",
        choices=list(STAINS),
        help="seen of a field: each channel, their sum without colour, or both",
    )
    add("--epochs", type=int)
    add("--draws", type=int, help="fields in an epoch")
    add("--batch", type=int)
    add("--learning-rate", type=float)
    add("--side", type=int, help="side of the network's input in px")
    add("--first-side", type=int, help="the same at the beginning")
    add("--warmup", type=float, help="share of the training in which the learning rate rises")
    add("--seed", type=int)


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen training to its end."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        _TRAIN[given.network](given)
    except PipelineError as error:
        raise SystemExit(error.text) from error
    return 0


def _check_folders(given: argparse.Namespace, needed: Sequence[str]) -> None:
    if missing := [name for name in needed if not (given.data / name).is_dir()]:
        raise SystemExit(
            f"There is no folder {given.data / missing[0]}. --data takes the folder that holds"
            f" {', '.join(needed)}."
        )
    if given.start and not given.start.is_dir():
        raise SystemExit(
            f"There is no folder {given.start}. --start takes the folder that holds the card and the weights"
            " of the network to start from."
        )


def _train_segmentation(given: argparse.Namespace) -> None:
    # What trains an engine is imported when that is chosen.
    from inference.training.segmentation_run import FOLDERS

    module, usual = _TRAININGS[given.engine]
    training = import_module(f"inference.training.{module}")
    known = {part.name for part in fields(training.Recipe)} - {"start"}
    chosen = {name: value for name, value in vars(given).items() if name not in _NO_RECIPE}
    if foreign := sorted(chosen.keys() - known):
        raise SystemExit(f"The engine {given.engine} has no {', '.join(foreign)} in its recipe.")
    _check_folders(given, FOLDERS)
    training.make(training.Recipe(**usual | chosen), given.data, given.out, given.workers, given.start)


def _train_wbc(given: argparse.Namespace) -> None:
    recipe = _chosen(given, Recipe())
    _check_folders(given, wbc_run.folders_needed(recipe.held_out))
    exports, proposed = read_exports(given.extra), read_proposed(given.proposed)
    more = replace(
        recipe,
        extra=tuple(export.sha256 for export in exports),
        proposed=tuple(one.sha256 for one in proposed),
    )
    recipe, start = _checked(given, more)
    wbc_run.make(recipe, given.data, given.out, given.workers, start, (exports, proposed))


def _propose(given: argparse.Namespace) -> None:
    _check_folders(given, [origin.folder for origin in ORIGINS.values()])
    names = (registry.WBC_NETWORK, registry.SECOND_NETWORK)
    propose(given.data, given.out, [runtime.load(name) for name in names])


def _train_rbc(given: argparse.Namespace) -> None:
    recipe = _chosen(given, rbc_run.USUAL)
    _check_folders(given, RED_FOLDERS)
    recipe, start = _checked(given, recipe)
    rbc_run.make(recipe, given.data, given.out, given.workers, start)


def _chosen(given: argparse.Namespace, usual: Recipe) -> Recipe:
    """Return a recipe with what was chosen for it."""
    chosen = {name: value for name, value in vars(given).items() if name not in _NO_RECIPE}
    lists = {name: tuple(value) for name, value in chosen.items() if isinstance(value, list)}
    return replace(usual, **chosen | lists)


def _checked(given: argparse.Namespace, recipe: Recipe) -> tuple[Recipe, Card | None]:
    """Return a recipe with what follows from the rest, checked, and the card of the network to start from."""
    start = started(recipe.name, given.start, recipe.architecture) if given.start else None
    recipe = replace(
        recipe, first_side=min(recipe.first_side, recipe.side), start=start.sha256 if start else ""
    )
    _check(recipe)
    return recipe, start


def _train_staging(given: argparse.Namespace) -> None:
    from inference.training import staging_run
    from inference.training.staging import Recipe as StagingRecipe
    from inference.training.staging import Run

    chosen = {name: value for name, value in vars(given).items() if name not in _NO_RECIPE}
    _check_folders(given, staging_run.FOLDERS)
    recipe = StagingRecipe(**chosen)
    start = started(registry.STAGING_NETWORK, given.start, recipe.architecture) if given.start else None
    if start and start.stain != recipe.stain:
        raise SystemExit(f"{given.start} sees fields through {start.stain}; choose that by --stain.")
    recipe = replace(
        recipe,
        first_side=min(recipe.first_side, recipe.side),
        start=start.sha256 if start else "",
    )
    this = Run(given.out, given.workers, given.stop_after, start)
    staging_run.make(recipe, given.data, this)


def _check(recipe: Recipe) -> None:
    """Find out now what would otherwise stop the training when the crops have been cut."""
    if AS_IS not in recipe.views:
        raise SystemExit(f"--views {' '.join(recipe.views)} lacks {AS_IS}, which has to be one of the views.")
    if recipe.shown and not {AS_IS} <= {*recipe.shown} <= {*recipe.views}:
        raise SystemExit(
            f"--shown {' '.join(recipe.shown)} has to hold {AS_IS}, and no view that is not learnt from"
            f" ({', '.join(recipe.views)})."
        )
    try:
        recipe.built()
    except ValueError as error:
        raise SystemExit(str(error)) from error


_TRAIN = {
    "wbc": _train_wbc,
    "proposed": _propose,
    "rbc": _train_rbc,
    "segmentation": _train_segmentation,
    "staging": _train_staging,
}

if __name__ == "__main__":
    sys.exit(main())
