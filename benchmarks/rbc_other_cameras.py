"""What the red-cell network calls the red cells of other cameras and laboratories.

python benchmarks/rbc_other_cameras.py ../shared/data

Well-outlined, whole cells of the val fields of fields_txl, at most 10 of a field and of any shape, which are
overwhelmingly normal: the share called each shape, by source. Round neighbours of the sickle cells of
rbc_sickle_uganda val, seen by the same phones: the share called sickle. How many of the sickle cells are
called so, and how many cells of rbc_chula, which holds none, manage.py evaluate rbc says.
"""

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import cells
from inference.pipeline.classification import Calibration
from inference.pipeline.config import Config
from inference.pipeline.findings import Image
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.runtime import Network
from inference.pipeline.segmentation import segment
from inference.pipeline.single_cell import Square, square_of
from inference.training.cell_images import read_cell_image
from inference.training.curves import exact
from inference.training.evaluate_wbc import ask
from inference.training.labels import INDEX, rows_of
from inference.training.laboratories import VAL
from inference.training.rbc_cells import (
    NORMAL,
    PER_CROP,
    ROUND,
    SICKLE,
    Point,
    clear_ones,
    elongation,
    evenly,
    owner_of,
    red_cells,
)

PER_FIELD = 10


def squares_of(path: Path, network: Network, sickle: bool) -> list[Square]:
    """The unlabelled cells of an image file: of a crop of a sickle cell the round ones beside it."""
    return squares_of_image(read_cell_image(path), network, sickle)


def squares_of_image(image: Image, network: Network, sickle: bool) -> list[Square]:
    """The same for an image uint8 RGB."""
    found = red_cells(segment(image))
    middle = owner_of(Point(image.shape[1] / 2, image.shape[0] / 2, SICKLE), found) if sickle else None
    others = clear_ones([cell for place, cell in enumerate(found) if place != middle], image)
    if sickle:
        others = [cell for cell in others if elongation(cell) <= ROUND]
    config = Config()
    return [
        square_of(
            image,
            "field",
            (cells.crop(image, cell, config.cells, config.cells.rbc_side), cell),
            (network.card, config),
        )
        for cell in evenly(others, PER_CROP if sickle else PER_FIELD)
    ]


def called(squares: list[Square], network: Network) -> Counter[str]:
    calls = Calibration.of(network.card).calls(ask(squares, network).logits)
    return Counter(call.label for call in calls)


def share(count: int, of: int) -> str:
    low, high = exact(count, of)
    return f"{count} of {of}, {100 * count / of:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def state(told: str, counts: Counter[str]) -> None:
    total = counts.total()
    print(f"{told}: normal {share(counts[NORMAL], total)}; sickle {share(counts[SICKLE], total)}")
    print(f"    all: {dict(counts.most_common())}", flush=True)


def main(data: Path) -> None:
    network = runtime.load(registry.RBC_NETWORK)
    for source in ("bccd", "raabin", "pbc"):
        rows = rows_of(data / "fields_txl" / INDEX, {"source": source, "split": VAL})
        paths = [data / "fields_txl" / row["file"] for row in rows]
        state(
            f"fields_txl {source}",
            called([one for path in paths for one in squares_of(path, network, False)], network),
        )
    folder = data / "rbc_sickle_uganda"
    paths = [folder / row["file"] for row in rows_of(folder / INDEX, {"split": VAL})]
    neighbours = [one for path in paths for one in squares_of(path, network, True)]
    state("round neighbours of sickle cells", called(neighbours, network))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
