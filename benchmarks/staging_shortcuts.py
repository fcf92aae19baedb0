"""What stages fields without looking at a cell: 24 global colour figures, or the burnt-in corner alone.

python benchmarks/staging_shortcuts.py DATA

A small network (one hidden layer of 64) learns from these figures on folds 0 to 2 of staging_taleqani and is
tested on fold 3: on the fields as they are, as the training augments them, and each against its own stain, as
a staging network sees them.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.findings import Image
from inference.pipeline.networks.staging import OwnStain
from inference.training.evaluate_segmentation import read_rgb
from inference.training.staging_augmentation import Lent, augment
from inference.training.staging_fields import (
    CHOOSE,
    FIELD_PX,
    FOLDER,
    IMAGE_PX,
    LEARN,
    TEST,
    Fields,
    lent_stains,
    read,
    rows,
)

SIDE, DRAWS = 94, 4
Rows = NDArray[np.float32]


def colours(image: Image) -> Rows:
    """Return mean, spread, 10th and 90th percentile of R, G, B, L, a and b, float32 (24,)."""
    pixels = np.concatenate([image, cv2.cvtColor(image, cv2.COLOR_RGB2LAB)], axis=2).reshape(-1, 6)
    return of_pixels(pixels.astype(np.float32))


def of_pixels(pixels: Rows) -> Rows:
    ends = np.percentile(pixels, [10, 90], axis=0).ravel()
    return np.concatenate([pixels.mean(axis=0), pixels.std(axis=0), ends]).astype(np.float32)


def own_stain(image: Image) -> Rows:
    """Return the same of the three channels as a staging network sees them, float32 (12,)."""
    light = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    return of_pixels(OwnStain()(light)[0].permute(1, 2, 0).reshape(-1, 3).numpy())


def corners(data: Path, part: str) -> Rows:
    """Return the pixels of the corner that no network sees, float32 (n, pixels)."""
    images = [read_rgb(data / FOLDER / row["file"]) for row in rows(data, part)]
    edge = FIELD_PX - IMAGE_PX
    return np.stack([image[edge:, edge:].ravel() for image in images]).astype(np.float32)


def accuracy(learn: tuple[Rows, NDArray[np.int64]], test: tuple[Rows, NDArray[np.int64]]) -> float:
    """Train on the first rows, test on the second."""
    torch.manual_seed(0)
    mean, spread = learn[0].mean(axis=0), learn[0].std(axis=0) + 1e-3
    given, asked = (torch.from_numpy((figures - mean) / spread) for figures in (learn[0], test[0]))
    network = nn.Sequential(nn.Linear(given.shape[1], 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 4))
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)
    truth = torch.from_numpy(learn[1])
    for _ in range(40):
        for chosen in torch.randperm(len(truth)).split(128):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(given[chosen]), truth[chosen]).backward()
            optimiser.step()
    with torch.no_grad():
        return float((network.eval()(asked).argmax(1).numpy() == test[1]).mean())


def shown(fields: Fields, lent: Lent | None, measure: Callable[[Image], Rows]) -> Rows:
    """Measure every field as it is or, `DRAWS` times, as the training augments it."""
    if lent is None:
        return np.stack([measure(image) for image in fields.images])
    rng = np.random.default_rng(0)
    return np.stack(
        [measure(augment(image, SIDE, rng, lent)) for _ in range(DRAWS) for image in fields.images]
    )


def main(data: Path) -> None:
    """Print a row for each."""
    parts = [read(data, part) for part in (LEARN, CHOOSE, TEST)]
    lent = Lent(*lent_stains(data, list(parts[0].images)))
    learn = Fields(
        *(np.concatenate([getattr(part, name) for part in parts[:2]]) for name in ("images", "labels"))
    )
    test = parts[2]
    common = np.bincount(test.labels).max() / len(test.labels)
    print(
        f"n learnt from {len(learn.labels)}, tested on {len(test.labels)}; the commonest stage: {common:.3f}"
    )
    print("| known of a field | fold 3 |\n|---|---|")
    corner = [np.concatenate([corners(data, part) for part in (LEARN, CHOOSE)]), corners(data, TEST)]
    print(f"| the burnt-in corner | {accuracy((corner[0], learn.labels), (corner[1], test.labels)):.3f} |")
    for name, measure in (("24 colour figures", colours), ("12 figures of its own stain", own_stain)):
        for words, how in (("as they are", None), ("as augmented", lent)):
            times = DRAWS if how else 1
            given, asked = (
                (shown(fields, how, measure), np.tile(fields.labels, times)) for fields in (learn, test)
            )
            print(f"| {name}, {words} | {accuracy(given, asked):.3f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
