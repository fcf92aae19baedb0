"""How far real stains lie from the training stains: the limits of stain.py and wbc_card.py were read off it.

python benchmarks/stain_range.py ../shared/data [--json RANGES.json]

Prints per set the percentiles of the distance of stain_range.py to the nearest training laboratory, the share
beyond the limit, the largest gain that Reinhard's method would need, and the angle between the two stains.
Splits that are for evaluation only are left out. With --json the ranges of the training stains are written as
the model card holds them.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import stain, stain_range
from inference.pipeline.findings import Image
from inference.pipeline.stain import Method
from inference.training.evaluate_segmentation import read_rgb
from inference.training.laboratories import thinned
from inference.training.perturb import perturb
from inference.training.wbc_card import rim, stain_ranges, stain_references

PERCENTILES = (1, 10, 50, 90, 99)
PER_SET = 200
CELLS = (
    ("wbc_pbc", {"split": "train"}),
    ("wbc_pbc", {"split": "val"}),
    ("wbc_apl", {"split": "train"}),
    ("wbc_apl", {"split": "val"}),
    ("wbc_ood_bcisc", {}),
    ("wbc_ood_jiangxi", {}),
    ("wbc_chula", {}),
)
FIELDS = (
    ("fields_txl", {"source": "pbc", "split": "train"}),
    ("fields_txl", {"source": "pbc", "split": "val"}),
    ("fields_txl", {"source": "raabin"}),
    ("fields_txl", {"source": "bccd"}),
    ("fields_bcisc", {}),
    ("rbc_chula", {}),
    ("staging_taleqani", {}),
)
KNOWN = ("wbc_pbc", "wbc_apl", "pbc")

Windows = Image | list[Image]


def listed(folder: Path, wanted: dict[str, str]) -> list[Path]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] != "eval_only"]
    return [folder / row["file"] for row in rows if all(row[name] == value for name, value in wanted.items())]


def images(files: list[Path], change: Callable[[Image, int], Windows]) -> Iterator[Windows]:
    for seed, file in enumerate(thinned(files, PER_SET)):
        yield change(read_rgb(file), seed)


def changes(name: str, wanted: dict[str, str], shown: str) -> dict[str, Callable]:
    """As they are, and images of the training laboratories also perturbed, and their fields' rims."""
    kept = {"as it is": lambda image, seed: image}
    if name in KNOWN or wanted.get("source") in KNOWN:
        kept |= {kind: partial(changed, kind) for kind in ("stain", "blur", "scale")}
        if shown == "field":
            kept["rim"] = lambda image, seed: rim(image)
    return kept


def changed(kind: str, image: Image, seed: int) -> Image:
    return perturb(image, kind, seed)


def gain(source: stain.Reference, target: stain.Reference) -> float:
    return float(np.max(np.divide(target.std, np.maximum(source.std, 1e-3))))


def angle(windows: Windows, method: Method) -> float:
    fitted = stain.fit(windows, method)
    return fitted.pair.angle if fitted.pair else float("nan")


def line(name: str, values: list[float]) -> None:
    print(f"  {name:16}", *(f"{value:9.2f}" for value in np.nanpercentile(values, PERCENTILES)))


def report(windows: list[Windows], ranges: list[stain_range.StainRange], target: stain.Reference) -> None:
    figures = [stain_range.figures(stain.sample(window)) for window in windows]
    distances = [min(within.distance(one) for within in ranges) for one in figures]
    line("distance", distances)
    line("largest gain", [gain(stain.reinhard(window), target) for window in windows])
    for method in (Method.MACENKO, Method.VAHADANE):
        line(f"{method} angle", [angle(window, method) for window in windows])
    limit = ranges[0].limit
    print(f"  beyond {limit}: {100 * np.mean(np.array(distances) > limit):.1f} %")


def main(data: Path, out: Path | None) -> None:
    ranges, references = stain_ranges(data), stain_references(data)
    if out:
        written = {shown: [one.as_data() for one in within] for shown, within in ranges.items()}
        out.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    for shown, sets in (("cell", CELLS), ("field", FIELDS)):
        for name, wanted in sets:
            for how, change in changes(name, wanted, shown).items():
                windows = list(images(listed(data / name, wanted), change))
                which = ", ".join([name, *wanted.values(), how])
                print(f"{which}, as a {shown}, n = {len(windows)}, percentiles {PERCENTILES}", flush=True)
                report(windows, ranges[shown], references[shown])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    main(given.data, given.json)
