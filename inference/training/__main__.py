"""Train a network without Django: ``python -m inference.training NETWORK --data DIR --out DIR``."""

import argparse
import logging
import sys
from dataclasses import fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from inference.pipeline.config import SegmentationEngine
from inference.training.wbc import Recipe

_TRAININGS: dict[SegmentationEngine, tuple[str, dict[str, Any]]] = {
    SegmentationEngine.COMPACT: ("segmentation_run", {}),
    SegmentationEngine.MASKRCNN_SWIN: ("segmentation_rcnn_run", {"architecture": "maskrcnn_swin"}),
    SegmentationEngine.HTC: ("segmentation_rcnn_run", {"architecture": "htc_resnet50"}),
    SegmentationEngine.YOLO11_SEG: ("segmentation_yolo", {}),
}
"""The module that trains an engine's network, with `Recipe` and `make`, and what its recipe has to say."""

_NO_RECIPE = {"network", "engine", "data", "out", "start", "workers"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference.training", description=__doc__)
    networks = parser.add_subparsers(dest="network", required=True)
    wbc = networks.add_parser("wbc", help="the network that names white cells")
    _add_segmentation(networks.add_parser("segmentation", help="the network that finds cells"))
    default = Recipe()
    wbc.add_argument(
        "--data", type=Path, required=True, help="folder that holds wbc_pbc, wbc_apl and fields_txl"
    )
    wbc.add_argument("--out", type=Path, required=True, help="folder for crops, checkpoint, weights and card")
    wbc.add_argument("--init", choices=("scratch", "imagenet"), default=default.init)
    wbc.add_argument("--architecture", default=default.architecture, help="a timm model name")
    wbc.add_argument("--epochs", type=int, default=default.epochs)
    wbc.add_argument("--batch", type=int, default=default.batch)
    wbc.add_argument("--learning-rate", type=float, default=default.learning_rate)
    wbc.add_argument("--side", type=int, default=default.side, help="side of the network's input in px")
    wbc.add_argument("--seed", type=int, default=default.seed)
    wbc.add_argument("--workers", type=int, default=1, help="processes that augment")
    return parser


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


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen training to its end."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    (_train_segmentation if given.network == "segmentation" else _train_wbc)(given)
    return 0


def _train_segmentation(given: argparse.Namespace) -> None:
    module, usual = _TRAININGS[given.engine]
    training = import_module(f"inference.training.{module}")
    known = {part.name for part in fields(training.Recipe)} - {"start"}
    chosen = {name: value for name, value in vars(given).items() if name not in _NO_RECIPE}
    if foreign := sorted(chosen.keys() - known):
        raise SystemExit(f"The engine {given.engine} has no {', '.join(foreign)} in its recipe.")
    training.make(training.Recipe(**usual | chosen), given.data, given.out, given.workers, given.start)


def _train_wbc(given: argparse.Namespace) -> None:
    recipe = Recipe(
        architecture=given.architecture,
        init=given.init,
        side=given.side,
        first_side=min(Recipe().first_side, given.side),
        epochs=given.epochs,
        batch=given.batch,
        learning_rate=given.learning_rate,
        seed=given.seed,
    )
    from inference.training.wbc_run import make

    make(recipe, given.data, given.out, given.workers)


if __name__ == "__main__":
    sys.exit(main())
