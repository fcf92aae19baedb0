"""How far the perceptual hash of overlap.py tells copies from other cells: NEAR_BITS was read off it.

python benchmarks/overlap.py ../shared/data

Prints in how many of 255 bits copies of 300 cells differ from the cells themselves, by what was done to them,
and by how many bits the cells of one set are away from their nearest in another, where none can be the same.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.findings import Image
from inference.training.cell_images import read_cell_image
from inference.training.labels import samples
from inference.training.overlap import NEAR_BITS, Fingerprints, nearest, perceptual_hashes

COPIES = 300
PERCENTILES = (50, 99, 100)
PAIRS = (
    (("wbc_apl", "train"), ("wbc_pbc", "train")),
    (("wbc_apl", "val"), ("wbc_pbc", "train")),
    (("wbc_chula", None), ("wbc_apl", "train")),
    (("wbc_ood_jiangxi", "ood_dev"), ("wbc_pbc", "train")),
    (("wbc_pbc", "val"), ("wbc_pbc", "train")),
    (("wbc_apl", "val"), ("wbc_apl", "train")),
)


def jpeg(image: Image, quality: int) -> Image:
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(PillowImage.open(buffer))


def without_rim(image: Image, share: float) -> Image:
    rim = round(share * len(image))
    return np.ascontiguousarray(image[rim:-rim, rim:-rim])


def tilted(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT))


CHANGES: dict[str, Callable[[Image], Image]] = {
    "JPEG, quality 40": lambda image: jpeg(image, 40),
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "turned, JPEG 75": lambda image: jpeg(np.rot90(image).copy(), 75),
    "mirrored, JPEG 85": lambda image: jpeg(image[:, ::-1].copy(), 85),
    "contrast 1.15": lambda image: np.clip(image * 1.15 - 10, 0, 255).astype(np.uint8),
    "blur of 2 px": lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), 2)),
    "without 2 % on every side": lambda image: without_rim(image, 0.02),
    "without 5 % on every side": lambda image: without_rim(image, 0.05),
    "tilted by 5 degrees": lambda image: tilted(image, 5),
}


def copies(data: Path) -> None:
    paths = [sample.path for name in ("wbc_pbc", "wbc_apl") for sample in samples(data / name, "train")]
    cells = [read_cell_image(path) for path in paths[:: len(paths) // COPIES]]
    own = np.stack([perceptual_hashes(cell) for cell in cells])
    for name, change in CHANGES.items():
        changed = np.stack([perceptual_hashes(change(cell)) for cell in cells])
        bits = [int(nearest(new[None], old[None])[1][0]) for new, old in zip(changed, own, strict=True)]
        found = np.mean(np.array(bits) <= NEAR_BITS)
        print(f"{name:28}", *(f"{value:5.0f}" for value in np.percentile(bits, PERCENTILES)), f"{found:8.1%}")


def others(data: Path) -> None:
    prints = {
        chosen: Fingerprints.of([sample.path for sample in samples(data / chosen[0], chosen[1])])
        for chosen in dict.fromkeys(chosen for pair in PAIRS for chosen in pair)
    }
    for pair in PAIRS:
        first, second = (prints[chosen] for chosen in pair)
        _, bits = nearest(first.hashes, second.hashes)
        said = " against ".join(
            f"{name} {split or ''}({len(prints[name, split].paths)})" for name, split in pair
        )
        alarms = (bits <= NEAR_BITS).sum()
        print(f"{said:60} least {bits.min():3d}  median {np.median(bits):4.0f}  alarms {alarms}")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    print(f"bits that differ in copies: median, 99 % and most; share found at {NEAR_BITS}")
    copies(Path(sys.argv[1]))
    print("bits to the nearest cell of another set")
    others(Path(sys.argv[1]))
