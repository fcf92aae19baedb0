"""Train a network without Django: ``python -m inference.training NETWORK --data DIR --out DIR``."""

import argparse
import logging
import sys
from dataclasses import fields
from pathlib import Path

from inference.training import segmentation
from inference.training.wbc import Recipe


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
    default = segmentation.Recipe()
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder that holds fields_txl, rbc_chula, wbc_pbc and wbc_apl",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, weights and card")
    parser.add_argument("--architecture", default=default.architecture, help="star_ and a width, as star_48")
    parser.add_argument("--epochs", type=int, default=default.epochs)
    parser.add_argument("--batch", type=int, default=default.batch)
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate)
    parser.add_argument("--side", type=int, default=default.side, help="side of the training windows in px")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--workers", type=int, default=1, help="processes that compose windows")


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen training to its end."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    (_train_segmentation if given.network == "segmentation" else _train_wbc)(given)
    return 0


def _train_segmentation(given: argparse.Namespace) -> None:
    from inference.training.segmentation_run import make

    chosen = {
        field.name: getattr(given, field.name) for field in fields(segmentation.Recipe) if field.name in given
    }
    make(segmentation.Recipe(**chosen), given.data, given.out, given.workers)


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
