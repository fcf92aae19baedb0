"""How well the measured diameter tells labelled macrocytes and microcytes from normal cells, and from which
limits, with the scale estimated field by field and with one scale for all fields.

python benchmarks/rbc_sizes.py ../shared/data/rbc_chula [split]

Fields with a labelled macrocyte or microcyte are segmented as in the product. Stated are the area under the
ROC curve, the limits with the best mean recall of the three classes, and that recall at the product's own.
"""

import sys
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.config import RBC_NORMAL_DIAMETER_UM, RBC_SIZES
from inference.pipeline.red_cell_calls import NORMAL
from inference.pipeline.red_cell_measures import diameter_px
from inference.pipeline.segmentation import estimate_pixel_um, segment
from inference.training.cell_images import read_cell_image
from inference.training.labels import INDEX, rows_of
from inference.training.rbc_cells import RedField, owners_of, pointed, red_cells

Sizes = NDArray[np.float64]
CLASSES = ("microcyte", NORMAL, "macrocyte")


def measured(field: RedField) -> list[tuple[str, float, float]]:
    """Label, diameter in px and µm per pixel of the labelled cells of a field."""
    image = read_cell_image(field.path)
    pixel_um = estimate_pixel_um(image)
    if pixel_um is None:
        return []
    found = red_cells(segment(image, pixel_um))
    owners = owners_of(field.points, found)
    single = Counter(owners)
    return [
        (point.label, diameter_px(found[owner]), pixel_um)
        for point, owner in zip(field.points, owners, strict=True)
        if owner is not None and single[owner] == 1 and point.label in CLASSES
    ]


def recall(sizes: dict[str, Sizes], limits: tuple[float, float]) -> list[float]:
    low, high = limits
    micro, normal, macro = (sizes[name] for name in CLASSES)
    return [
        float((micro < low).mean()),
        float(((normal >= low) & (normal <= high)).mean()),
        float((macro > high).mean()),
    ]


def area(smaller: Sizes, larger: Sizes) -> float:
    """Chance that a cell of the second kind measures more than one of the first."""
    return float((larger[:, None] > smaller[None]).mean())


def state(sizes: dict[str, Sizes]) -> None:
    for name in CLASSES:
        of = sizes[name]
        print(f"  {name}: n {len(of)}, 5/50/95 % {np.percentile(of, (5, 50, 95)).round(2).tolist()} µm")
    micro, normal, macro = (sizes[name] for name in CLASSES)
    print(f"  area: micro/normal {area(micro, normal):.3f}, normal/macro {area(normal, macro):.3f}")
    steps = np.arange(5.0, 10.0, 0.05)
    tried = [pair for pair in product(steps, steps) if pair[0] < pair[1]]
    best = max(tried, key=lambda pair: np.mean(recall(sizes, pair)))
    for told, limits in (("best", best), ("product", RBC_NORMAL_DIAMETER_UM)):
        recalls = recall(sizes, limits)
        pair = f"{limits[0]:.2f}–{limits[1]:.2f} µm"
        print(f"  {told} {pair}: recall {np.round(recalls, 3).tolist()}, mean {np.mean(recalls):.3f}")


def main(folder: Path, split: str = "train") -> None:
    fields = pointed(folder, rows_of(folder / INDEX, {"split": split}))
    chosen = [field for field in fields if any(point.label in RBC_SIZES for point in field.points)]
    cells = [cell for field in chosen for cell in measured(field)]
    labels = np.array([label for label, _, _ in cells])
    diameters, scales = (np.array([cell[place] for cell in cells]) for place in (1, 2))
    print(f"{len(cells)} cells in {len(chosen)} fields; µm per pixel {np.median(scales):.3f}")
    for told, scale in (("scale of each field", scales), ("one scale for all", np.median(scales))):
        print(told)
        state({name: (diameters * scale)[labels == name] for name in CLASSES})


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
