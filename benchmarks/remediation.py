"""What calling doubted cells again changes: accuracy before and after, cells mended and made worse, and time.

python benchmarks/remediation.py ../shared/data [--weights FOLDER] [--cells 300] [--focus-below SHARE] [SET…]

A cell is called again when its focus is off the cell, or when the stain of its image lies beyond those of the
training. Every image goes the way of one that is handed in alone. `mended` and `made worse` count the calls
that became right and wrong; `doubt removed` those that the network had abstained from and stands by now,
`doubt added` the others. The time is that of the doubted cells: plain (views, call, heat map) and with the
remedies, in one run.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.classification import classify
from inference.pipeline.config import Config
from inference.pipeline.explanation import explain
from inference.pipeline.findings import Call, Shown
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.remediation import Doubted, Remedies, doubts, remediate
from inference.pipeline.seen_colours import AS_IS, BEYOND, SeenColours
from inference.pipeline.seen_filter import SeenFilter
from inference.training.boxed_cells import cut_labelled
from inference.training.cell_images import read_cell_image
from inference.training.labels import Sample
from inference.training.laboratories import pixel_um, to_try_on

SETS = ("jiangxi", "bcisc", "chula", "raabin", "apl", "pbc")


@dataclass(slots=True)
class Tally:
    """What came of the cells of one set."""

    cells: int = 0
    doubted: int = 0
    right_before: int = 0
    right_after: int = 0
    mended: int = 0
    worse: int = 0
    doubt_removed: int = 0
    doubt_added: int = 0
    remedies: dict[str, int] = field(default_factory=dict)
    plain_s: float = 0.0
    again_s: float = 0.0

    def add(self, truth: str, before: Call, after: Call) -> None:
        self.cells += 1
        self.right_before += before.label == truth
        self.right_after += after.label == truth
        self.mended += before.label != truth == after.label
        self.worse += before.label == truth != after.label
        self.doubt_removed += before.abstained and not after.abstained
        self.doubt_added += after.abstained and not before.abstained


def one(sample: Sample, network: Network, tally: Tally) -> None:
    image, config, card = read_cell_image(sample.path), Config(pixel_um=pixel_um(sample)), network.card
    shown: Shown = "field" if sample.box else "cell"
    square = cut_labelled(image, sample.box, card, config)
    began = time.perf_counter()
    (call,) = classify(square.views, network)
    (where,) = explain(square.views[AS_IS], [call.label], [square.outline], (network.module, card))
    plain = time.perf_counter() - began
    triggers = doubts(where.focus_ratio, BEYOND in square.notices, card)
    if not triggers:
        return tally.add(sample.label, call, call)
    colours, through = SeenColours.of(image, shown, card, config), SeenFilter.of(image, shown, card)
    remedies = Remedies.of(image, shown, card)
    began = time.perf_counter()
    doubted = Doubted(square.crop, square.outline, call, where.focus_ratio, triggers)
    ((after, kept),) = remediate(
        [doubted], remedies, lambda *seen: through.views(colours.views(*seen)), network, config
    )
    tally.again_s += time.perf_counter() - began
    tally.plain_s += plain
    tally.doubted += 1
    stands = kept.stands.value if kept.stands else "abstained"
    tally.remedies[stands] = tally.remedies.get(stands, 0) + 1
    return tally.add(sample.label, call, after)


def measure(cells: Sequence[Sample], network: Network) -> str:
    tally = Tally()
    for sample in cells:
        one(sample, network, tally)
    stood = ", ".join(f"{name} {count}" for name, count in sorted(tally.remedies.items()))
    ratio = f"{(tally.plain_s + tally.again_s) / tally.plain_s:.1f}" if tally.doubted else "–"
    shares = [f"{100 * right / tally.cells:.1f}" for right in (tally.right_before, tally.right_after)]
    counts = [tally.mended, tally.worse, tally.doubt_removed, tally.doubt_added]
    return " | ".join(map(str, [tally.cells, tally.doubted, *shares, *counts, stood, ratio]))


def main(given: argparse.Namespace) -> None:
    card = registry.read_card(registry.WBC_NETWORK, given.weights)
    if given.focus_below is not None:
        thresholds = card.text["thresholds"] | {"focus_below": given.focus_below}
        card = replace(card, text={**card.text, "thresholds": thresholds})
    network = runtime.Network(card)
    columns = "n | doubted | % right before | after | mended | made worse | doubt removed | doubt added"
    print(f"| set | {columns} | what stands | time |\n|{'---|' * 11}")
    for name in given.sets or SETS:
        cells = to_try_on(name, given.data, given.cells)
        print(f"| {name} | {measure(cells, network)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--weights", type=Path, default=registry.WEIGHTS)
    parser.add_argument("--cells", type=int, default=300, help="about so many of each set")
    parser.add_argument("--focus-below", type=float, help="instead of the card's")
    main(parser.parse_args())
