"""What a second network's disagreement is worth: how right the first is where both agree, and where not.

python benchmarks/second_network.py ../shared/data [SET…] [--weights FOLDER] [--cells 300]

Cells go the product's way. "Found by" says which share of the first network's wrong calls go to review by its
own doubt (confidence below 0.7 or abstained), by the disagreement, and by either.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.classification import Calibration
from inference.pipeline.config import Config
from inference.pipeline.findings import Call
from inference.pipeline.networks import registry, runtime
from inference.training.evaluate_wbc import ask, cut_squares
from inference.training.labels import Sample
from inference.training.laboratories import to_try_on

SETS = ("pbc", "apl", "raabin", "jiangxi")


def row(cells: Sequence[Sample], networks: list[runtime.Network]) -> str:
    """The line of one set; the squares are those of the first network's card."""
    first, second = (called(cells, network) for network in networks)
    truth = np.array([cell.label for cell in cells])
    right = np.array([call.label for call in first]) == truth
    agree = np.array([a.label == b.label for a, b in zip(first, second, strict=True)])
    least = Config().review_confidence
    doubt = np.array([call.abstained or call.confidence < least for call in first])
    other = np.array([call.label for call in second]) == truth
    found = [share(of[~right]) for of in (doubt, ~agree, doubt | ~agree)]
    parts = [share(right), share(other), share(agree), share(right[agree]), share(right[~agree])]
    return " | ".join([str(len(cells)), *parts, " / ".join(found), share(~agree & ~doubt)])


def called(cells: Sequence[Sample], network: runtime.Network) -> list[Call]:
    squares = cut_squares(cells, network.card)
    return Calibration.of(network.card).calls(ask(squares, network).logits)


def share(of: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> str:
    return f"{100 * of.mean():.1f}" if len(of) else "–"


def main(given: argparse.Namespace) -> None:
    networks = [
        runtime.Network(registry.read_card(name, given.weights))
        for name in (registry.WBC_NETWORK, registry.SECOND_NETWORK)
    ]
    said = "n | first right, % | second right | agree | right where they agree | right where not"
    print(f"| set | {said} | wrong calls found by doubt / disagreement / either | more to review |")
    print("|---|" + "---|" * 8)
    for name in given.sets or SETS:
        cells = to_try_on(name, given.data, given.cells)
        print(f"| {name} | {row(cells, networks)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--weights", type=Path, default=registry.WEIGHTS)
    parser.add_argument("--cells", type=int, default=300, help="about so many of each set")
    main(parser.parse_args())
