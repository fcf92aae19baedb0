"""Percentiles of every quality measure over real fields as they are and spoilt by known amounts, and what the
checks of quality.py make of them: from these the thresholds were read.

python benchmarks/quality_thresholds.py ../shared/data [fields per set]
"""

import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple, fields
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.errors import UnusableSmear
from inference.pipeline.quality import CHECKS, Measures, judge, measure

CHOSEN_ON = ("bccd", "raabin", "pbc", "fields_bcisc", "rbc_chula", "staging_taleqani", "phone")
HELD_OUT = ("fields_bbbc041_eval",)
PERCENTILES = (1, 10, 50, 90, 99)
PHONE_TILE = 1024
SCALE_BAR = 188
"""The top left of a field of staging_taleqani is free of the scale bar that was burnt in."""

PINK = (0.7, 1.5, 0.8)
"""Density of eosin in red, green and blue, as a share of its mean."""

Spoil = Callable[[np.ndarray, Measures], np.ndarray]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open() as file:
        return list(csv.DictReader(file))


def files(data: Path, name: str, count: int) -> list[Path]:
    if name == "phone":
        return sorted((data / "slides").glob("phone*.jpg"))
    folder = data / ("fields_txl" if name in ("bccd", "raabin", "pbc") else name)
    found = sorted(folder / row["file"] for row in rows(folder) if row.get("source", name) == name)
    return found[:: max(1, len(found) // count)]


def images(data: Path, name: str, count: int) -> Iterator[np.ndarray]:
    for file in files(data, name, count):
        image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        if name == "staging_taleqani":
            yield np.ascontiguousarray(image[:SCALE_BAR, :SCALE_BAR])
        elif name == "phone":
            yield from tiles(image)
        else:
            yield image


def tiles(image: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(PHONE_TILE // 2, image.shape[0] - PHONE_TILE, PHONE_TILE // 2):
        for left in range(PHONE_TILE // 2, image.shape[1] - PHONE_TILE, PHONE_TILE // 2):
            yield np.ascontiguousarray(image[top : top + PHONE_TILE, left : left + PHONE_TILE])


def blurred(share: float) -> Spoil:
    """Gaussian whose standard deviation is a share of the cells' radius: 0.15 is about 0.5 µm."""
    return lambda image, found: cv2.GaussianBlur(image, (0, 0), max(0.1, share * found.radius))


def noisy(deviation: float) -> Spoil:
    rng = np.random.default_rng(0)
    return lambda image, _: clipped(image + rng.normal(0, deviation, image.shape))


def recompressed(level: int) -> Spoil:
    return lambda image, _: cv2.imdecode(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, level))[1], 1)


def darkened(gain: float) -> Spoil:
    return lambda image, _: clipped(image * gain)


def brightened(gain: float) -> Spoil:
    """Brightened until the background is this many times white."""
    return lambda image, found: clipped(image * (gain * 255 / found.ground))


def stained(density: float) -> Spoil:
    """Optical densities scaled so that tissue has this mean."""

    def spoil(image: np.ndarray, found: Measures) -> np.ndarray:
        ground = np.percentile(image.reshape(-1, 3), 95, axis=0)
        return clipped(ground * np.maximum(image / ground, 1e-3) ** (density / found.density))

    return spoil


def bleached(image: np.ndarray, _: Measures) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def crowded(image: np.ndarray, _: Measures) -> np.ndarray:
    """Four layers of cells on each other."""
    ground = np.percentile(image.reshape(-1, 3), 95, axis=0)
    through = np.minimum(image / ground, 1)
    layers = [np.roll(turned(through, n), (37 * n, 53 * n), (0, 1)) for n in range(4)]
    return clipped(ground * np.prod(layers, axis=0))


def turned(image: np.ndarray, quarter: int) -> np.ndarray:
    return image[:: -1 if quarter & 1 else 1, :: -1 if quarter & 2 else 1]


def sparse(image: np.ndarray, _: Measures) -> np.ndarray:
    """The field in one corner of an empty one 16 times as large."""
    ground = np.percentile(image.reshape(-1, 3), 95, axis=0).astype(np.uint8)
    height, width = image.shape[:2]
    empty = np.tile(ground, (4 * height, 4 * width, 1))
    empty[:height, :width] = image
    return cv2.resize(empty, (2 * width, 2 * height), interpolation=cv2.INTER_AREA)


def clumped(least: float, most: float) -> Spoil:
    """A hundred discs of the size and density of the image's cells, lying apart and then drawn towards the
    nearest of five points by between `least` and `most` of the way."""
    rng = np.random.default_rng(0)

    def spoil(image: np.ndarray, found: Measures) -> np.ndarray:
        radius = min(30.0, max(6.0, found.radius))
        side = round(28 * radius)
        grid = 2.6 * radius * (np.stack(np.mgrid[:10, :10], axis=-1).reshape(-1, 2) + 0.8)
        places = grid + rng.uniform(-0.2 * radius, 0.2 * radius, grid.shape)
        centres = rng.uniform(5 * radius, side - 5 * radius, (5, 2))
        nearest = centres[np.argmin(np.hypot(*(places[:, None] - centres).transpose(2, 0, 1)), axis=1)]
        pull = rng.uniform(least, most, (len(places), 1))
        layers = discs(places + pull * (nearest - places), radius, side)[..., None] * PINK
        ground = np.percentile(image.reshape(-1, 3), 95, axis=0)
        return clipped(ground * np.exp(-found.density * layers) + rng.normal(0, 1, layers.shape))

    return spoil


def discs(places: np.ndarray, radius: float, side: int) -> np.ndarray:
    layers = np.zeros((side, side), np.float32)
    for place in places:
        layers += cv2.circle(
            np.zeros_like(layers), place.astype(int).tolist(), round(radius), 1.0, cv2.FILLED
        )
    return cv2.GaussianBlur(layers, (0, 0), 0.05 * radius)


def clipped(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


REFUSED = {"refused", "low_quality"}
AS_IT_IS = "as it is"
SPOILT: dict[str, tuple[str, Spoil]] = {
    AS_IT_IS: ("", lambda image, _: image),
    "blurred by 0.05 radius": ("", blurred(0.05)),
    "blurred by 0.10 radius": ("", blurred(0.10)),
    "blurred by 0.15 radius": ("low_focus", blurred(0.15)),
    "blurred by 0.20 radius": ("low_focus", blurred(0.20)),
    "blurred by 0.30 radius": ("low_focus", blurred(0.30)),
    "blurred by 0.20, noise 4": ("low_focus", lambda i, f: noisy(4)(blurred(0.2)(i, f), f)),
    "blurred by 0.20, JPEG 75": ("low_focus", lambda i, f: recompressed(75)(blurred(0.2)(i, f), f)),
    "noise 4": ("", noisy(4)),
    "noise 8": ("noisy", noisy(8)),
    "JPEG 30": ("", recompressed(30)),
    "JPEG 10": ("", recompressed(10)),
    "darkened to 0.4": ("under_exposed", darkened(0.4)),
    "brightened to 1.1 white": ("over_exposed", brightened(1.1)),
    "brightened to 1.5 white": ("over_exposed", brightened(1.5)),
    "stain faded to 0.05": ("pale_stain", stained(0.05)),
    "stain deepened to 2.0": ("heavy_stain", stained(2.0)),
    "grey": ("no_colour", bleached),
    "four layers": ("crowded_field", crowded),
    "in 1/16 of the field": ("sparse_field", sparse),
    "discs apart": ("", clumped(0.0, 0.0)),
    "discs drawn together": ("clumped_cells", clumped(0.3, 0.8)),
}
"""What is done to a field, and the code of the check that should find it."""


def measured(image: np.ndarray, spoil: Spoil, before: Measures) -> Measures | None:
    """Measures of a spoilt field; None where it is refused."""
    found = measure(spoil(image, before))
    try:
        judge(found, 2000, 2000)
    except UnusableSmear:
        return None
    return found


def share(flags: list[bool]) -> str:
    return f"{100 * np.mean(flags):6.1f} %" if flags else "       -"


def codes(found: Measures | None) -> set[str]:
    return {notice.code for notice in judge(found, 2000, 2000).notices} if found else REFUSED


def print_ranges(name: str, found: list[Measures]) -> None:
    print(f"{name}, n = {len(found)}, percentiles {PERCENTILES}")
    for field, column in zip(fields(Measures), np.array([astuple(f) for f in found]).T, strict=True):
        print(f"  {field.name:8}", *(f"{value:10.4f}" for value in np.percentile(column, PERCENTILES)))


def print_radius(data: Path, count: int) -> None:
    """The radius of the cells beside that of the red cells' boxes, as a ratio."""
    ratios = []
    for row in rows(data / "fields_txl")[:: max(1, 1000 // count)]:
        image = cv2.cvtColor(cv2.imread(str(data / "fields_txl" / row["file"])), cv2.COLOR_BGR2RGB)
        boxes = np.loadtxt(data / "fields_txl" / row["label_file"], ndmin=2)
        sides = boxes[boxes[:, 0] == 1][:, 3:] * image.shape[1::-1]
        if len(sides):
            ratios.append(measure(image).radius / np.median(sides.mean(1) / 2))
    print(f"radius / that of the boxes, n = {len(ratios)}", np.percentile(ratios, PERCENTILES).round(3))


def main(data: Path, count: int) -> None:
    print_radius(data, count)
    rates: dict[tuple[str, str], list[set[str]]] = {}
    everything: list[Measures] = []
    for name in (*CHOSEN_ON, *HELD_OUT):
        originals = [(image, measure(image)) for image in images(data, name, count)]
        print_ranges(name, [found for _, found in originals])
        everything += [found for _, found in originals] if name in CHOSEN_ON else []
        for what, (_, spoil) in SPOILT.items():
            rates[name, what] = [codes(measured(image, spoil, found)) for image, found in originals]
    print_ranges("all that the thresholds were chosen on", everything)
    print_rates(rates)


def print_rates(rates: dict[tuple[str, str], list[set[str]]]) -> None:
    names = (*CHOSEN_ON, *HELD_OUT)
    print("\nshare of fields with a code (low_quality is the re-scan)", *names, "chosen on", sep="; ")
    alarms = [(AS_IT_IS, code) for code in ("refused", "low_quality", *(check.code for check in CHECKS))]
    caught = [
        (what, code) for what, (target, _) in SPOILT.items() for code in ("low_quality", target) if code
    ]
    for what, code in alarms + caught:
        wanted = {code} if what == AS_IT_IS else {code, "refused"}
        shares = [share([bool(wanted & one) for one in rates[name, what]]) for name in names]
        pooled = share([bool(wanted & one) for name in CHOSEN_ON for one in rates[name, what]])
        print(f"{what:26}{code:15}", *shares, pooled)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60)
