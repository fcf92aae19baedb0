"""How far the words about a cell can be believed.

python benchmarks/words.py ../shared/data [--weights FOLDER] [--cells 100000]

Cells of two laboratories' validation part and of one that no network has learnt from go the product's way:
cut out, called, measured and described. Prints three markdown tables: how well the nucleus masks agree with
those drawn in wbc_ood_jiangxi, by class; how far the network is right about each attribute, as
`criteria.json` has it; and how many of the right and of the wrong calls the words contradict, with the
lift, the second share over the first. Examples of the words follow.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.cell_words import Description, Morphology
from inference.pipeline.cells import crop_box
from inference.pipeline.classification import Calibration
from inference.pipeline.config import Config
from inference.pipeline.criteria import table
from inference.pipeline.description import describe
from inference.pipeline.findings import Call
from inference.pipeline.levels import mask_of
from inference.pipeline.morphology import measure
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import Network
from inference.pipeline.nucleus import nucleus_mask
from inference.pipeline.segmentation import segment
from inference.pipeline.single_cell import Square, square_of
from inference.pipeline.told import told
from inference.training.boxed_cells import labelled_crop
from inference.training.cell_images import read_cell_image
from inference.training.evaluate_wbc import ask
from inference.training.labels import Sample, samples

SETS = {"wbc_pbc": ("val", 0.1), "wbc_apl": ("val", 0.1), "wbc_ood_jiangxi": ("ood_dev", None)}
AT_ONCE = 128
NUCLEUS = 200
"""In a drawn mask the nucleus is 255 and the cytoplasm 128."""


@dataclass(frozen=True, slots=True)
class Described:
    truth: str
    call: Call
    cell: Morphology
    words: Description
    overlap: float | None


def described(folder: Path, count: int, network: Network) -> list[Described]:
    split, pixel_um = SETS[folder.name]
    listed = samples(folder, split)
    places = np.linspace(0, len(listed) - 1, min(count, len(listed))).round().astype(int)
    kept = [listed[place] for place in places]
    parts = (kept[start : start + AT_ONCE] for start in range(0, len(kept), AT_ONCE))
    return [one for part in parts for one in _described(part, pixel_um, network)]


def _described(part: Sequence[Sample], pixel_um: float | None, network: Network) -> Iterator[Described]:
    cut = [(sample, *_cut(sample, pixel_um, network.card)) for sample in part]
    found = [one for one in cut if one[1].found]
    said = ask([square for _, square, _ in found], network)
    calls = Calibration.of(network.card).calls(said.logits)
    for (sample, square, box), call, attributes in zip(found, calls, said.attributes, strict=True):
        mask = mask_of(square.outline, len(square.crop))
        nucleus = nucleus_mask(square.crop, mask)
        scale = (box[2] - box[0]) / len(square.crop)
        cell = measure(square.crop, mask, nucleus, pixel_um and pixel_um * scale)
        words = describe(call.label, cell, told(attributes, network.card))
        yield Described(sample.label, call, cell, words, _overlap(sample, nucleus, box))


def _cut(sample: Sample, pixel_um: float | None, card: Card) -> tuple[Square, tuple[int, int, int, int]]:
    image, config = read_cell_image(sample.path), Config(pixel_um=pixel_um)
    cut = labelled_crop(image, segment(image, pixel_um), sample.box, config.cells)
    box = crop_box(cut[1], config.cells.padding) if cut[1] else (0, 0, 1, 1)
    return square_of(image, "cell", cut, (card, config)), box


def _overlap(sample: Sample, nucleus: np.ndarray, box: tuple[int, int, int, int]) -> float | None:
    """Intersection over union with the drawn nucleus, where there is one."""
    drawn = sample.path.parents[1] / "masks" / f"{sample.path.stem}.png"
    if not drawn.is_file():
        return None
    scale = (box[2] - box[0]) / len(nucleus)
    onto = np.array([[scale, 0, box[0]], [0, scale, box[1]]])
    truth = cv2.imread(str(drawn), cv2.IMREAD_GRAYSCALE)
    turned = cv2.warpAffine(truth, onto, nucleus.shape[::-1], flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    here, there = nucleus > 127, turned > NUCLEUS
    return float((here & there).sum() / max(1, (here | there).sum()))


def overlaps(made: Sequence[Described]) -> list[list[str]]:
    rows = []
    for name in (None, *sorted({one.truth for one in made})):
        of = [one.overlap for one in made if one.overlap is not None and name in (None, one.truth)]
        if of:
            low, middle = np.percentile(of, [10, 50])
            rows.append([name or "all", str(len(of)), f"{np.mean(of):.2f}", f"{middle:.2f}", f"{low:.2f}"])
    return rows


def heads() -> list[list[str]]:
    return [
        [name, *(_percent(of[part]) for part in ("right", "sure_from", "checked_right", "checked_share"))]
        for name, of in table()["told"].items()
    ]


def contradictions(name: str, made: Sequence[Described]) -> list[list[str]]:
    rows = []
    for called in (None, *sorted({one.call.label for one in made})):
        of = [one for one in made if called in (None, one.call.label)]
        rows.append([name, called or "all", *_shares(of)])
    return rows


def _shares(made: Sequence[Described]) -> list[str]:
    right = [bool(one.words.contradicts) for one in made if one.call.label == one.truth]
    wrong = [bool(one.words.contradicts) for one in made if one.call.label != one.truth]
    counts = [f"{sum(some)} of {len(some)}" for some in (right, wrong)]
    if not right or not wrong or not any(right):
        return [*counts, "–"]
    return [*counts, f"{np.mean(wrong) / np.mean(right):.1f}"]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def printed(head: str, rows: Sequence[Sequence[str]]) -> None:
    names = head.split(",")
    print("\n".join(f"| {' | '.join(line)} |" for line in (names, ["---"] * len(names), *rows)), end="\n\n")


def main(data: Path, weights: Path, count: int) -> None:
    network = runtime.load(registry.WBC_NETWORK, weights)
    made = {name: described(data / name, count, network) for name in SETS}
    printed("nucleus of,cells,mean IoU,median,worst tenth below", overlaps(made["wbc_ood_jiangxi"]))
    printed("attribute,right,sure from,right where sure,share sure", heads())
    rows = [row for name, some in made.items() for row in contradictions(name, some)]
    printed("cells,called,right calls contradicted,wrong calls contradicted,lift", rows)
    for some in made.values():
        for one in some[:: max(1, len(some) // 6)]:
            print(f"* {one.truth}, called {one.call.label}: {one.words.text}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, default=registry.WEIGHTS)
    parser.add_argument("--cells", type=int, default=100_000)
    given = parser.parse_args()
    main(given.data, given.weights, given.cells)
