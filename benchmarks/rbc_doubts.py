"""Whether the evidence beside a red cell, or measures that contradict its shape, tell wrong calls from right
ones, and how often what supports a shape holds in its cells and in others.

python benchmarks/rbc_doubts.py ../shared/data

Labelled cells of every other field of rbc_chula val and of every fourth photograph of rbc_sickle_uganda val
go the product's way: cut out, called, measured and explained as called. A call is in doubt already where its
confidence is low, where the network abstains, or where the cell is out of distribution.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import cells
from inference.pipeline.classification import Calibration, answers
from inference.pipeline.config import Config, shape_of
from inference.pipeline.criteria import Verdict
from inference.pipeline.explanation import explain, outline_in_square
from inference.pipeline.findings import Call
from inference.pipeline.levels import mask_of, shown
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.reasons import Circumstances, review_reasons
from inference.pipeline.red_cell_calls import NORMAL
from inference.pipeline.red_cell_findings import RedCellMeasures
from inference.pipeline.red_cell_haematology import MEASURED, disagrees
from inference.pipeline.red_cell_measures import diameter_px, measure
from inference.pipeline.segmentation import segment
from inference.training.cell_images import read_cell_image
from inference.training.laboratories import VAL
from inference.training.rbc_cells import PIXEL_UM, RED_LABORATORIES, RedField, owners_of, red_cells

EVERY = {"chula": 2, "uganda": 4}
CONFIG = Config()


@dataclass(frozen=True, slots=True)
class Doubted:
    """A labelled cell: its shape, its call, what was measured, and whether its evidence lies beside it."""

    shape: str
    call: Call
    measures: RedCellMeasures
    off_cell: bool

    @property
    def right(self) -> bool:
        return self.call.label == self.shape

    @property
    def sure(self) -> bool:
        return self.call.label != NORMAL and not review_reasons(self.call, Circumstances(), CONFIG)


def of_field(field: RedField, network: Network) -> Iterator[Doubted]:
    image, settings = read_cell_image(field.path), CONFIG.cells
    found = red_cells(segment(image, PIXEL_UM.get(field.laboratory)))
    owners = owners_of(field.points, found)
    points = Counter(owners)
    named = [
        (found[owner], point.label)
        for owner, point in zip(owners, field.points, strict=True)
        if owner is not None and points[owner] == 1
    ]
    if not named:
        return
    side, median = settings.rbc_side, float(np.median([diameter_px(one) for one in found]))
    crops = [cells.crop(image, one, settings, side) for one, _ in named]
    boxes = [cells.crop_box(one, settings.padding) for one, _ in named]
    outlines = [outline_in_square(one, box, side) for (one, _), box in zip(named, boxes, strict=True)]
    cut = list(zip(crops, (mask_of(outline, side) for outline in outlines), strict=True))
    views = {name: [shown(name, *one) for one in cut] for name in network.card.input.views}
    calls = Calibration.of(network.card).calls(answers(views, network).logits)
    made = explain(crops, [call.label for call in calls], outlines, (network.module, network.card))
    for (one, label), seen, call, explanation in zip(
        named, zip(crops, outlines, strict=True), calls, made, strict=True
    ):
        off = explanation.focus_ratio < network.card.focus_below
        yield Doubted(shape_of(label), call, measure(one, seen, None, median), off)


def state(told: str, some: Sequence[Doubted], holds: Callable[[Doubted], bool]) -> None:
    def share(right: bool) -> str:
        of = [holds(one) for one in some if one.right is right]
        return f"{sum(of)} of {len(of)} ({100 * np.mean(of):.1f} %)" if of else "none"

    print(f"{told}: right calls {share(True)}, wrong calls {share(False)}")


def supports(found: Sequence[Doubted]) -> None:
    for shape, criteria in MEASURED.items():
        for one in (one for one in criteria if one.supports):
            own, others = (
                np.mean(
                    [
                        one.verdict(cell.measures, {}) is Verdict.SUPPORTS
                        for cell in found
                        if (cell.shape == shape) is of
                    ]
                )
                for of in (True, False)
            )
            print(f"{shape}, {one.part} {one.supports}: {own:.2f} of its cells, {others:.2f} of others")


def main(data: Path) -> None:
    network = runtime.load(registry.RBC_NETWORK)
    fields = [
        field
        for laboratory, every in EVERY.items()
        for field in [one for one in RED_LABORATORIES[laboratory](data, VAL) if one.points][::every]
    ]
    found = [cell for field in fields for cell in of_field(field, network)]
    sure = [cell for cell in found if cell.sure]
    sickle = [cell for cell in found if cell.call.label == "sickle"]
    for told, some in (("all", found), ("abnormal, in no doubt", sure), ("called sickle", sickle)):
        print(f"{told}, {len(some)} cells")
        state("  evidence off the cell", some, lambda one: one.off_cell)
        state("  measures contradict the shape", some, lambda one: disagrees(one.call.label, one.measures))
    supports(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
