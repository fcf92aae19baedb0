"""Time every stage on one image, each beside its plain reference in the same run."""

from pathlib import Path
from typing import Any

import numpy as np

from inference.pipeline import cells, explanation, segmentation
from inference.pipeline.aggregation import share
from inference.pipeline.analyse import analyse
from inference.pipeline.config import Config
from inference.pipeline.findings import Image, Kind
from inference.pipeline.networks import registry, runtime
from inference.pipeline.slide import Slide
from inference.training import plain, speed_enhance, speed_quality, speed_stain
from inference.training.speed_scale import growing
from inference.training.timing import Stage, compared, measured

CELLS = 32
TILE = 1024
COUNTS = (58, 28, 7, 3, 1, 2, 1)


def benchmark(path: Path) -> dict[str, Any]:
    """Measure all stages on an image.

    Returns per stage what `timing.compared` gives, a list because one thing may have several references; what
    the imaging core costs as a slide grows; and the time and memory of the whole analysis.
    """
    slide = Slide.open(path)
    image = slide.read((0, 0, slide.width, slide.height))
    tile = _tile(image)
    of_a_tile = [*speed_quality.stages(tile), *speed_stain.comparisons(tile)]
    return {
        "image": path.name,
        "size": [slide.width, slide.height],
        "stages": [compared(stage) for stage in (*_stages(image), *of_a_tile)],
        "imaging_core": growing(tile),
        "analysis": measured(lambda: analyse(path, Config(), lambda stage, share: None)),
    }


def _tile(image: Image) -> Image:
    """A tile of the image and its mirror images."""
    height, width = image.shape[:2]
    wide = np.pad(image, ((0, max(0, TILE - height)), (0, max(0, TILE - width)), (0, 0)), "reflect")
    return np.ascontiguousarray(wide[:TILE, :TILE])


def _stages(image: Image) -> list[Stage]:
    network, config = runtime.load(registry.WBC_NETWORK), Config()
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
        *speed_enhance.stages(crops[0]),
    ]
