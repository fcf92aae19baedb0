"""How well white cells are named in a laboratory that the network has not learnt from.

python benchmarks/wbc_held_out.py ../shared/data OUT --start FOLDER [--laboratory chula …] [--epochs 6]

For each laboratory in turn a network is trained on the others, shortly, from the weights in FOLDER, which
must not have seen it, and tried on all cells of that laboratory. Prints the accuracy over all classes of the
taxonomy and over the five that the laboratory has, the mean recall of these, and n. Crops are the product's
own; they are seen in all views of the recipe, upright.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.config import DIFFERENTIAL_CLASSES
from inference.pipeline.networks import registry, runtime
from inference.training.crops import Crops
from inference.training.laboratories import LABORATORIES, TRAIN, VAL
from inference.training.wbc import Recipe, logits, train
from inference.training.wbc_run import load_crops

LEFT_OUT = ["chula", "bcisc", "raabin"]
FIVE = len(DIFFERENTIAL_CLASSES[:5])


def figures(module: runtime.FromPixels, crops: Crops, recipe: Recipe) -> str:
    found = logits(module, crops, recipe.contract)
    free, declared = found.argmax(axis=1), found[:, :FIVE].argmax(axis=1)
    recalls = [(declared[crops.labels == label] == label).mean() for label in np.unique(crops.labels)]
    right = (free == crops.labels).mean(), (declared == crops.labels).mean(), np.mean(recalls)
    return " ".join(f"{100 * share:6.1f}" for share in right) + f" {len(crops.labels):6d}"


def main(given: argparse.Namespace) -> None:
    given.out.mkdir(parents=True, exist_ok=True)
    parts = {part: load_crops(given.data, part, given.out) for part in (TRAIN, VAL)}
    card = registry.read_card(registry.WBC_NETWORK, given.start)
    print("laboratory   all   five  recall      n")
    for name in given.laboratory:
        recipe = Recipe(
            architecture=card.architecture,
            epochs=given.epochs,
            draws=5120,
            learning_rate=1e-3,
            ema_decay=0.99,
            held_out=(name,),
            start=card.sha256,
        )
        kept = parts[TRAIN], parts[VAL].without((name,))
        module = train(recipe, kept, given.out / name, 1, runtime.torch_module(card))
        others = [other for other in LABORATORIES if other != name]
        unseen = Crops.joined([part.without(others) for part in parts.values()])
        print(f"{name:10}", figures(module, unseen, recipe), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--laboratory", nargs="+", choices=list(LABORATORIES), default=LEFT_OUT)
    parser.add_argument("--epochs", type=int, default=6)
    main(parser.parse_args())
