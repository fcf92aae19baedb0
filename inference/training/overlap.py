"""Says which images of a test set are also in another set: the same file, the same pixels, or nearly so.

Near-duplicates are found by a perceptual hash: of a grey thumbnail, 32 px square, the 16 × 16 lowest
coefficients of a cosine transform without the mean give 255 bits, 1 where a coefficient is above their median
(Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"). An image is compared in
all eight ways to turn and mirror it. Copies in another size, compression, contrast or sharpness differ in up
to 14 bits, copies without 2 % on every side in up to 52, and cells of two laboratories in 60 and more
(benchmarks/overlap.py).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from inference.pipeline.errors import PipelineError
from inference.pipeline.findings import Image
from inference.training.cell_images import read_cell_image
from inference.training.labels import IMAGE_SUFFIXES, Row

NEAR_BITS = 48
HASH_BITS = 255
THUMBNAIL = 32
KEPT = 16
WAYS = 8
PAIRS_TOLD = 200
AT_ONCE = 64

Hashes = NDArray[np.uint64]


class Same(StrEnum):
    """In which way two images are the same, the strictest first."""

    FILE = "same_file"
    PIXELS = "same_pixels"
    NEARLY = "near_duplicate"


@dataclass(slots=True)
class Fingerprints:
    """What identifies the images of a set: the `paths` that could be read, the sha1 of each file's bytes and
    of its pixels, and its perceptual `hashes`, uint64 (n, 8, 4), upright first; and what is `unreadable`."""

    paths: list[Path] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    pixels: list[str] = field(default_factory=list)
    rows: list[Hashes] = field(default_factory=list)
    unreadable: int = 0

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Self:
        """Read images, each once."""
        prints = cls()
        for path in dict.fromkeys(paths):
            prints._add(path)
        return prints

    def _add(self, path: Path) -> None:
        try:
            image = read_cell_image(path)
        except PipelineError:
            self.unreadable += 1
            return
        self.paths.append(path)
        self.files.append(hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest())
        self.pixels.append(pixel_sha1(image))
        self.rows.append(perceptual_hashes(image))

    @property
    def hashes(self) -> Hashes:
        return np.stack(self.rows) if self.rows else np.empty((0, WAYS, 4), np.uint64)


def pixel_sha1(image: Image) -> str:
    """Return the sha1 of an image's pixels and size, whatever file they came from."""
    digest = hashlib.sha1(str(image.shape).encode(), usedforsecurity=False)
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def perceptual_hashes(image: Image) -> Hashes:
    """Return the 255-bit hashes of an image, uint8 RGB, in its eight ways: uint64 (8, 4), upright first."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float64)
    upright = dctn(small, norm="ortho")[:KEPT, :KEPT]
    # Mirroring an image changes the sign of every other coefficient, turning it also swaps the axes.
    signs = (-1.0) ** np.arange(KEPT)
    mirrored = [upright, upright * signs, upright * signs[:, None], upright * signs * signs[:, None]]
    ways = np.stack([*mirrored, *(way.T for way in mirrored)]).reshape(WAYS, -1)[:, 1:]
    bits = ways > np.median(ways, axis=1, keepdims=True)
    return np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1).view(np.uint64)


def nearest(test: Hashes, other: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find for every test image the image that differs in the fewest bits, whichever way it is turned.

    Takes hashes (n, 8, 4) and (m, 8, 4), of which `other` needs the upright ones only, m at least 1. Gives
    the places in `other` and the differing bits, int64 (n,) each.
    """
    places, bits = np.zeros(len(test), np.int64), np.zeros(len(test), np.int64)
    upright = other[:, 0]
    for start in range(0, len(test), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        apart = np.full((len(test[part]), len(other)), HASH_BITS, np.uint16)
        for way in range(WAYS):
            crossed = test[part, way, None] ^ upright
            np.minimum(apart, np.bitwise_count(crossed).sum(axis=2, dtype=np.uint16), out=apart)
        places[part], bits[part] = apart.argmin(axis=1), apart.min(axis=1)
    return places, bits


def images_below(folder: Path) -> list[Path]:
    """Return every image file in a folder and the folders in it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def overlap(
    test: Fingerprints, other: Fingerprints, folders: tuple[Path, Path], where: Row | None = None
) -> dict[str, Any]:
    """Compare a test set with another set; `folders` are theirs, to name the files by, and `where` says by
    which columns the other set was chosen.

    Returns how many images of the test set have their like in the other, each counted once and under the
    strictest name: `same_file, same_pixels, near_duplicate`, and `overlapping`, their sum; the first 200
    `pairs`, and `unreadable` images of the other set, which were not compared.
    """
    pairs = _pairs(test, other) if test.paths and other.paths else []
    counted = Counter(kind for _, _, kind, _ in pairs)
    told = [
        {"file": _named(a, folders[0]), "other": _named(b, folders[1]), "kind": kind.value, "bits": bits}
        for a, b, kind, bits in sorted(pairs, key=lambda pair: ([*Same].index(pair[2]), pair[3]))
    ]
    return {
        "folder": folders[1].name,
        "where": dict(where or {}),
        "tested": len(test.paths),
        "images": len(other.paths),
        "unreadable": other.unreadable,
        **{kind.value: counted[kind] for kind in Same},
        "overlapping": len(pairs),
        "threshold_bits": NEAR_BITS,
        "hash_bits": HASH_BITS,
        "pairs": told[:PAIRS_TOLD],
    }


def _pairs(test: Fingerprints, other: Fingerprints) -> list[tuple[Path, Path, Same, int]]:
    files, pixels = _places(other.files), _places(other.pixels)
    places, bits = nearest(test.hashes, other.hashes)
    pairs = []
    for number, path in enumerate(test.paths):
        if (place := files.get(test.files[number])) is not None:
            pairs.append((path, other.paths[place], Same.FILE, 0))
        elif (place := pixels.get(test.pixels[number])) is not None:
            pairs.append((path, other.paths[place], Same.PIXELS, 0))
        elif bits[number] <= NEAR_BITS:
            pairs.append((path, other.paths[places[number]], Same.NEARLY, int(bits[number])))
    return pairs


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


def _named(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
