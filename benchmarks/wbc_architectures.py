"""Parameters and milliseconds per cell of every white-cell architecture, eager torch beside our runtime.

python benchmarks/wbc_architectures.py [--side 128] [--rounds 7] [NAME…]

The weights are random: how long a network takes does not depend on them, but nothing is said here about how
right it is. Both ways take uint8 pixels and give logits and embedding, with as many threads as they choose,
in turns in one process, so that what else the machine does falls on both alike; medians of warm rounds. In
brackets stands how many times faster the runtime is.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.networks import wbc
from inference.pipeline.networks.registry import InputContract
from inference.pipeline.networks.runtime import FromPixels, compile_openvino

BATCHES = (16, 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="architectures; all when none is named")
    parser.add_argument("--side", type=int, default=128, help="side of the input in px")
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


def in_turns(actions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median milliseconds of every action."""
    for action in actions:
        action()
    took = [[milliseconds(action) for action in actions] for _ in range(rounds)]
    return [statistics.median(times) for times in zip(*took, strict=True)]


def milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began)


@torch.inference_mode()
def row(name: str, side: int, rounds: int) -> str:
    """One line of the table: torch and runtime, ms per cell, at every batch size."""
    torch.manual_seed(0)
    contract = InputContract(side, (0.7, 0.6, 0.7), (0.25, 0.25, 0.25), "")
    module = FromPixels(wbc.build(name, len(WBC_CLASSES), side=side), contract).eval()
    run = compile_openvino(module, side)
    cells = [f"{sum(values.numel() for values in module.parameters()) / 1e6:.2f} M"]
    for count in BATCHES:
        batch = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
        pixels = torch.from_numpy(batch)
        eager, ours = in_turns([lambda p=pixels: module(p), lambda b=batch: run(b)], rounds)
        cells += [f"{eager / count:.2f}", f"{ours / count:.2f} ({eager / ours:.1f}×)"]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    given = arguments()
    said = " | ".join(f"torch, batch {count} | runtime, batch {count}" for count in BATCHES)
    print(f"ms per cell at {given.side} px, {torch.get_num_threads()} threads in torch\n")
    print(f"| architecture | parameters | {said} |\n|{'---|' * (2 + 2 * len(BATCHES))}")
    for name in given.names or wbc.ARCHITECTURES:
        print(row(name, given.side, given.rounds), flush=True)


if __name__ == "__main__":
    main()
