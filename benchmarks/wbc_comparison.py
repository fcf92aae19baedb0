"""How right white cells are named after short trainings that differ in one thing only.

python benchmarks/wbc_comparison.py architectures ../shared/data OUT [NAME…]
python benchmarks/wbc_comparison.py preprocessing ../shared/data OUT [NAME…]

Every training begins with random weights and draws the same crops in the same order. `architectures` trains
the networks of the registry on all laboratories and tries them on the validation cells of wbc_pbc and
wbc_apl. `preprocessing` trains one small network on crops that went through a variant of the Medical Enhanced
Filter, or that are seen in another view, and tries it on the validation cells of wbc_pbc and on all cells of
three laboratories that it has not learnt from, whose five classes are declared. Crops are the product's own,
seen upright. The trainings are far too short for any network to be at its best: rows are to be compared with
one another, not with the shipped network.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import stain
from inference.pipeline.classification import Calibration
from inference.pipeline.config import DIFFERENTIAL_CLASSES, WBC_CLASSES
from inference.pipeline.enhance import enhance_batch
from inference.pipeline.findings import Image
from inference.pipeline.networks.registry import PreprocessingVariant
from inference.pipeline.networks.wbc import ARCHITECTURES
from inference.training.crops import SIDE, Crops, cut_all
from inference.training.evaluate_wbc import evaluate
from inference.training.laboratories import TRAIN, VAL, unseen
from inference.training.wbc import Recipe, logits, train
from inference.training.wbc_run import load_crops

FIVE = DIFFERENTIAL_CLASSES[:5]
HELD_OUT = ("chula", "bcisc")
FILTERED_SIDE = 224
"""Side in px of the crops for which the filter is made."""
REFERENCES = 40

SEEN = {
    "none": (PreprocessingVariant.NONE, "as_is"),
    "stretched": (PreprocessingVariant.NONE, "stretched"),
    "levels": (PreprocessingVariant.NONE, "levels"),
    **{str(variant): (variant, "as_is") for variant in PreprocessingVariant if variant != "none"},
}
"""What is done to the crops, and the view in which they are seen then."""

Table = Mapping[str, tuple[Crops, tuple[str, ...] | None]]
"""By the name of a column: crops to be tried on, and the classes that are declared."""


def short(given: argparse.Namespace, **differing: object) -> Recipe:
    usual = Recipe(
        side=given.side,
        first_side=given.side,
        epochs=given.epochs,
        draws=given.draws,
        weak_share=0.3,
        ema_decay=0.99,
        views=("as_is",),
    )
    return replace(usual, **differing)  # type: ignore[arg-type]


def row(name: str, recipe: Recipe, crops: tuple[Crops, Crops], tried: Table, out: Path) -> str:
    """Train, and write accuracy and macro F1 in % on each of the sets."""
    module = train(recipe, crops, out / name)
    found = [figures(logits(module, of, recipe.contract), of, declared) for of, declared in tried.values()]
    return f"| {name} | {' | '.join(found)} |"


def figures(answers: NDArray[np.float32], crops: Crops, declared: tuple[str, ...] | None) -> str:
    calls = Calibration(WBC_CLASSES, 1.0, 0.0).calls(answers, declared)
    measured = evaluate([WBC_CLASSES[label] for label in crops.labels], calls)
    return f"{100 * measured['accuracy']:.1f} / {100 * measured['macro_f1']:.1f}"


def only(crops: Crops, laboratory: str) -> Crops:
    return crops.without([name for name in np.unique(crops.laboratories) if name != laboratory])


def filtered(crops: Crops, variant: PreprocessingVariant, reference: stain.Fitted) -> Crops:
    """Pass every crop through the filter at the size for which it is made; v4 fits the stain of each."""
    if variant is PreprocessingVariant.NONE:
        return crops
    one = partial(_filtered, variant=variant, reference=reference)
    # The training forks, and a forked child waits for ever on threads that the filter had in its parent.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        images = np.stack([*pool.map(one, crops.images, chunksize=64)])
    return replace(crops, images=images)


def _filtered(crop: Image, variant: PreprocessingVariant, reference: stain.Fitted) -> Image:
    cv2.setNumThreads(1)
    large = np.asarray(cv2.resize(crop, (FILTERED_SIDE,) * 2, interpolation=cv2.INTER_CUBIC), np.uint8)
    moved = None
    if variant is PreprocessingVariant.MEF_V4:
        moved = stain.between(stain.fit(large, stain.Method.MACENKO), reference)
    (clear,) = enhance_batch([large], variant, moved)
    return np.asarray(cv2.resize(clear, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def compare_architectures(given: argparse.Namespace) -> None:
    parts = crops_of(given)
    tried: Table = {f"wbc_{name} val": (only(parts[1], name), None) for name in ("pbc", "apl")}
    head("architecture", tried)
    for name in given.names or ARCHITECTURES:
        recipe = short(given, architecture=name)
        print(row(name, recipe, parts, tried, given.out / "architectures"), flush=True)


def compare_preprocessing(given: argparse.Namespace) -> None:
    parts = crops_of(given)
    everything = Crops.joined(parts)
    others = {name: only(everything, name) for name in HELD_OUT}
    others["jiangxi"] = cut_all(unseen(given.data), given.out / "jiangxi.npz")
    known = parts[0].without(HELD_OUT), parts[1].without(HELD_OUT)
    own = only(known[0], "pbc").images
    reference = stain.fit(list(own[:: len(own) // REFERENCES]), stain.Method.MACENKO)
    for number, name in enumerate(given.names or SEEN):
        variant, view = SEEN[name]
        made = [filtered(of, variant, reference) for of in known]
        tried: Table = {
            "wbc_pbc val": (only(made[1], "pbc"), None),
            **{key: (filtered(of, variant, reference), FIVE) for key, of in others.items()},
        }
        if number == 0:
            head("crops are seen", tried)
        recipe = short(given, views=(view,), held_out=HELD_OUT)
        print(row(name, recipe, (made[0], made[1]), tried, given.out / "preprocessing"), flush=True)


def crops_of(given: argparse.Namespace) -> tuple[Crops, Crops]:
    given.out.mkdir(parents=True, exist_ok=True)
    return load_crops(given.data, TRAIN, given.out), load_crops(given.data, VAL, given.out)


def head(first: str, tried: Table) -> None:
    print("accuracy / macro F1 in %\n")
    print(f"| {' | '.join([first, *tried])} |\n|{'---|' * (1 + len(tried))}")


COMPARISONS = {"architectures": compare_architectures, "preprocessing": compare_preprocessing}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("comparison", choices=list(COMPARISONS))
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows; all when none is named")
    parser.add_argument("--side", type=int, default=64, help="side of the input in px")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--draws", type=int, default=4096, help="crops in an epoch")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    COMPARISONS[chosen.comparison](chosen)
