"""Train a network without Django: ``python -m inference.training wbc --data DIR --out DIR``."""

import argparse
import logging
import sys
from pathlib import Path

from inference.training.wbc import Recipe


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference.training", description=__doc__)
    networks = parser.add_subparsers(dest="network", required=True)
    wbc = networks.add_parser("wbc", help="the network that names white cells")
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


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen training to its end."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
