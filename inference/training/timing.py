"""Times a part of the product beside its plain reference, in turns, in one process."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage and its plain reference, both without arguments."""

    name: str
    product: Callable[[], object]
    plain: Callable[[], object]
    reference: str


def compared(stage: Stage) -> dict[str, Any]:
    """Measure a stage and its plain reference.

    Returns for both the median milliseconds of ROUNDS warm runs, taken in turns so that what else the
    machine does falls on both alike, and the memory in MiB that a run needs at most beyond what the process
    held before, None where the system keeps no account; and how many times faster the product is.
    """
    actions = (stage.product, stage.plain)
    peaks = [_peak_mib(action) for action in actions]
    rounds = [[_seconds(action) for action in actions] for _ in range(ROUNDS)]
    product, plain = (1000 * statistics.median(took) for took in zip(*rounds, strict=True))
    return {
        "stage": stage.name,
        "product": {"ms": round(product, 2), "peak_mib": peaks[0]},
        "plain": {"ms": round(plain, 2), "peak_mib": peaks[1], "what": stage.reference},
        "times_faster": round(plain / product, 2),
    }


def measured(action: Callable[[], object]) -> dict[str, Any]:
    """Measure one action as `compared` does, without a reference."""
    peak = _peak_mib(action)
    took = statistics.median(_seconds(action) for _ in range(ROUNDS))
    return {"ms": round(1000 * took, 2), "peak_mib": peak}


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _peak_mib(action: Callable[[], object]) -> float | None:
    """The memory that a second run needs at most; the first one loads and compiles."""
    action()
    before = _memory("VmRSS")
    _forget_peak()
    action()
    peak = _memory("VmHWM")
    return None if peak is None or before is None else round(max(0.0, peak - before), 1)


def _memory(entry: str) -> float | None:
    """Return an entry of the kernel's account of this process in MiB, None where there is no such account."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith(entry))
    return int(line.split()[1]) / 1024


def _forget_peak() -> None:
    """Let the kernel's peak start from the present size (Linux: proc(5), clear_refs)."""
    peak = Path("/proc/self/clear_refs")
    if peak.exists():
        peak.write_text("5")
