"""What staging networks are worth on fold 3 of staging_taleqani, as it is and perturbed.

python benchmarks/staging_networks.py DATA FOLDER…

Every FOLDER holds card and weights of one, as ``python -m inference.training staging`` leaves them.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import stain
from inference.pipeline.config import STAGES_OF_LEUKEMIA
from inference.pipeline.explanation import explain_within
from inference.pipeline.findings import Image, Method
from inference.pipeline.networks import registry, runtime
from inference.pipeline.staging import probabilities
from inference.training.augmentation import HED, UNMIX, density_of
from inference.training.evaluate_segmentation import read_rgb
from inference.training.evaluate_wbc import calibration_error
from inference.training.laboratories import thinned
from inference.training.overlap import images_below
from inference.training.perturb import perturb
from inference.training.staging_cells import white_cell_mask
from inference.training.staging_fields import FOLDER, NAMES, TEST, rows, top_left

STRANGERS = ("fields_bbbc041_eval", "wbc_ood_jiangxi", "wbc_chula", "wbc_ood_bcisc", "slides")
"""Five laboratories whose stains the training does not lend."""
REFERENCE_IMAGES, FOCUS_EVERY = 20, 8
GAIN = 0.2

Change = Callable[[Image, int], Image]


def references(data: Path) -> Iterator[tuple[str, stain.Reference]]:
    """Measure the stain of each stranger, the median over some of its images."""
    for name in STRANGERS:
        files = [path for path in images_below(data / name) if "mask" not in path.as_posix()]
        fitted = [stain.reinhard(read_rgb(path)) for path in thinned(files, REFERENCE_IMAGES)]
        middle = [np.median([getattr(one, part) for one in fitted], axis=0) for part in ("mean", "std")]
        yield name, stain.Reference(*(tuple(map(float, values)) for values in middle))


def stronger(image: Image, seed: int) -> Image:
    """Change each of the three dyes by 20 %, up or down as the seed has it."""
    gains = 1 + GAIN * np.random.default_rng(seed).choice([-1.0, 1.0], 3)
    dyes = (density_of(image.astype(np.float32)).reshape(-1, 3) @ UNMIX) * gains.astype(np.float32)
    light = 256 * np.exp(-(dyes @ HED)) - 1
    return light.clip(0, 255).astype(np.uint8).reshape(image.shape)


def changes(data: Path) -> Iterator[tuple[str, Change]]:
    """Name what is done to the fields before a network sees them."""
    yield "as they are", lambda image, _: image
    for name, reference in references(data):
        yield (
            f"Reinhard to {name}",
            lambda image, _, to=reference: stain.between(stain.reinhard(image), to).apply(image),
        )
    yield "±20 % density per dye", stronger
    for kind in ("stain", "blur", "scale"):
        yield f"evaluate --perturb {kind}", lambda image, seed, kind=kind: perturb(image, kind, seed)


def changed(images: list[Image], change: Change) -> list[Image]:
    """Cut the fields out of images of the set and change them; nothing of the corner is left by then."""
    return [change(top_left(image), number) for number, image in enumerate(images)]


def told(truth: NDArray[np.int64], each: NDArray[np.float64]) -> str:
    """Return accuracy, macro F1 and calibration error as cells of a table."""
    called = each.argmax(axis=1)
    hits = [(called[truth == place] == place).sum() for place in range(len(STAGES_OF_LEUKEMIA))]
    sizes = [(called == place).sum() + (truth == place).sum() for place in range(len(hits))]
    f1 = np.mean([2 * hit / size for hit, size in zip(hits, sizes, strict=True)])
    error = calibration_error(each.max(axis=1), called == truth)
    return f"{(called == truth).mean():.4f} | {f1:.4f} | {error:.3f}"


def focus(images: list[Image], truth: NDArray[np.int64], network: runtime.Network) -> str:
    """Return the share of Grad-CAM's heat on nucleated cells, and the share of the field they cover."""
    on_cells, covering = [], []
    for image, label in list(zip(images, truth, strict=True))[::FOCUS_EVERY]:
        cells, explained = white_cell_mask(image), (network.module, network.card)
        field, stage = top_left(image), STAGES_OF_LEUKEMIA[label]
        (made,) = explain_within([field], [stage], [cells], explained, method=Method.GRAD_CAM)
        if cells.any() and made.strength:
            on_cells.append(made.focus_ratio)
            covering.append(cells.mean())
    share = f"{np.mean(on_cells):.3f}, which cover {np.mean(covering):.3f}"
    return f"Grad-CAM on nucleated cells {share}; n {len(covering)}"


def by_height(images: list[Image], truth: NDArray[np.int64], network: runtime.Network) -> Iterator[str]:
    """Give by method the share of the heat in each fifth of the height of fields, from the top: regions are
    read row by row, and the order alone may draw heat to the first or the last."""
    fields = [top_left(image) for image in images[::FOCUS_EVERY]]
    stages = [STAGES_OF_LEUKEMIA[label] for label in truth[::FOCUS_EVERY]]
    everywhere = [np.ones(field.shape[:2], bool) for field in fields]
    for method in Method:
        made = explain_within(fields, stages, everywhere, (network.module, network.card), method=method)
        heat = np.mean([one.heatmap / max(one.heatmap.sum(), 1.0) for one in made], axis=0)
        shares = [f"{part.sum() / heat.sum():.2f}" for part in np.array_split(heat, 5)]
        yield f"{method} from top to bottom {' '.join(shares)}; n {len(made)}"


def main(data: Path, folders: list[Path]) -> None:
    """Print tables for every network."""
    chosen = rows(data, TEST)
    images = [read_rgb(data / FOLDER / row["file"]) for row in chosen]
    truth = np.array([STAGES_OF_LEUKEMIA.index(NAMES[row["label"]]) for row in chosen])
    for folder in folders:
        network = runtime.Network(registry.read_card(registry.STAGING_NETWORK, folder))
        card = network.card
        epochs = card.text["training"]["epochs"]
        print(f"\n{card.architecture}, {card.input.side} px, {epochs} epochs; n {len(truth)}")
        print("| fields | accuracy | macro F1 | calibration error |\n|---|---|---|---|")
        for name, change in changes(data):
            fields = changed(images, change)
            parts = range(0, len(fields), 32)
            each = np.concatenate([probabilities(fields[start : start + 32], network) for start in parts])
            print(f"| {name} | {told(truth, each)} |", flush=True)
            if name == "as they are":
                confusion = np.zeros((len(NAMES),) * 2, int)
                np.add.at(confusion, (truth, each.argmax(axis=1)), 1)
        print("confusion, rows truth, columns call,", ", ".join(card.labels), confusion.tolist())
        print(focus(images, truth, network), flush=True)
        print(*by_height(images, truth, network), sep="\n", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
