"""Milliseconds per field of the five hybrid staging networks: the runtime beside eager torch, in turns.

python benchmarks/staging_speed.py [SIDE] [THREADS]
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.config import STAGES_OF_LEUKEMIA
from inference.pipeline.networks.registry import InputContract
from inference.pipeline.networks.runtime import FromPixels, compile_openvino
from inference.pipeline.networks.staging import ARCHITECTURES, build

ROUNDS, BATCHES = 15, (1, 16)


def milliseconds(action: Callable[[], object], fields: int) -> float:
    """Time one run, in ms per field."""
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began) / fields


def compared(module: FromPixels, side: int, fields: int) -> tuple[float, float]:
    """Return the median ms per field of the runtime and of eager torch, for so many fields at once."""
    run, batch = compile_openvino(module, side), np.zeros((fields, side, side, 3), np.uint8)
    batch[:] = np.random.default_rng(0).integers(0, 256, batch.shape, np.uint8)

    @torch.inference_mode()
    def eager() -> object:
        return module(torch.from_numpy(batch))

    actions = (lambda: run(batch), eager)
    for action in actions:
        action()
    rounds = [[milliseconds(action, fields) for action in actions] for _ in range(ROUNDS)]
    runtime, plain = (statistics.median(times) for times in zip(*rounds, strict=True))
    return runtime, plain


def main(side: int = 224, threads: int = 2) -> None:
    """Print a row for each network; its weights are random, on which the time does not depend."""
    torch.set_num_threads(threads)
    print(f"side {side} px, {threads} threads, median of {ROUNDS} runs in turns")
    print("| network | parameters, million | fields at once | runtime, ms | eager torch, ms | times faster |")
    print("|---|---|---|---|---|---|")
    for name in ARCHITECTURES:
        network = build(name, len(STAGES_OF_LEUKEMIA))
        size = sum(part.numel() for part in network.parameters()) / 1e6
        module = FromPixels(network, InputContract(side, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "")).eval()
        for fields in BATCHES:
            ours, plain = compared(module, side, fields)
            print(f"| {name} | {size:.1f} | {fields} | {ours:.1f} | {plain:.1f} | {plain / ours:.1f} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
