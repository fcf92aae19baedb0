"""Time every stage on one image, each beside its plain reference in the same run."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.pipeline import cells, explanation, quality, segmentation, stain
from inference.pipeline.aggregation import share
from inference.pipeline.analyse import analyse
from inference.pipeline.config import Config
from inference.pipeline.findings import Kind
from inference.pipeline.networks import registry, runtime
from inference.pipeline.slide import Slide
from inference.training import plain

CELLS = 32
ROUNDS = 5
COUNTS = (58, 28, 7, 3, 1, 2, 1)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage and its plain reference, both without arguments."""

    name: str
    product: Callable[[], object]
    plain: Callable[[], object]
    reference: str


def benchmark(path: Path) -> dict[str, Any]:
    """Measure all stages on an image.

    Returns per stage the median milliseconds of five warm runs and the memory in MiB that a run needs at
    most beyond what the process held before, for the product and its plain reference; and the same for
    the whole analysis, which has none.
    """
    measured = {stage.name: _compared(stage) for stage in _stages(path)}
    whole = _measured(lambda: analyse(path, Config(), lambda stage, share: None))
    slide = Slide.open(path)
    return {"image": path.name, "size": [slide.width, slide.height], "stages": measured, "analysis": whole}


def _stages(path: Path) -> list[Stage]:
    slide = Slide.open(path)
    image = slide.read((0, 0, slide.width, slide.height))
    network, config = runtime.load(registry.WBC_NETWORK), Config()
    reference = stain.fit(image)
    target = (np.array(reference.mean), np.array(reference.std))
    instances = segmentation.segment(image)
    whites = [instance for instance in instances if instance.kind is Kind.WBC] or instances
    chosen = [whites[number % len(whites)] for number in range(CELLS)]
    squares = [cells.cut(image, cells.crop_box(instance, config.cells.padding)) for instance in chosen]
    crops = [cells.resized(square, config.cells.wbc_side) for square in squares]
    batch = runtime.prepare(crops, network.card.input)
    labels = [network.card.labels[0]] * CELLS
    frame = [(0, 0), (223, 0), (223, 223), (0, 223)]
    how = (network.module, network.card)
    return [
        Stage(
            "quality",
            lambda: quality.assess(image, slide.width, slide.height),
            lambda: plain.focus(image),
            "the focus measure alone, scikit-image",
        ),
        Stage(
            "stain",
            lambda: stain.normalise(image, stain.fit(image), reference),
            lambda: plain.reinhard(image, target),
            "Reinhard, scikit-image",
        ),
        Stage(
            "segmentation",
            lambda: segmentation.segment(image),
            lambda: plain.segment(image),
            "Otsu and watershed of one kind of cell at full size, scikit-image",
        ),
        Stage(
            f"{CELLS} crops",
            lambda: [cells.resized(square, config.cells.wbc_side) for square in squares],
            lambda: plain.resize(squares, config.cells.wbc_side),
            "anti-aliased resize, scikit-image",
        ),
        Stage(
            f"classification of {CELLS} cells",
            lambda: network.predict(batch),
            lambda: plain.classify(network.module, batch),
            "eager torch, one cell at a time",
        ),
        Stage(
            f"explanation of {CELLS} cells",
            lambda: explanation.explain(crops, labels, [frame] * CELLS, how),
            lambda: [explanation.explain([crop], labels[:1], [frame], how) for crop in crops],
            "one cell at a time",
        ),
        Stage(
            "intervals",
            lambda: [share(count, sum(COUNTS)) for count in COUNTS],
            lambda: plain.intervals(COUNTS),
            "scipy's binomial test",
        ),
    ]


def _compared(stage: Stage) -> dict[str, Any]:
    product, reference = _measured(stage.product), _measured(stage.plain)
    return {
        "product": product,
        "plain": {**reference, "what": stage.reference},
        "times_faster": round(reference["ms"] / product["ms"], 2) if product["ms"] else None,
    }


def _measured(action: Callable[[], object]) -> dict[str, Any]:
    action()
    before = _memory("VmRSS")
    _forget_peak()
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        took.append(time.perf_counter() - began)
    peak = _memory("VmHWM")
    extra = None if peak is None or before is None else round(max(0.0, peak - before), 1)
    return {"ms": round(1000 * statistics.median(took), 2), "peak_mib": extra}


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
