"""Draws the validation fields in which most cells were missed or made up, worst first.

python benchmarks/segmentation_failures.py ../shared/data OUT [COUNT]

Found cells are drawn with their outline, thin and green where a label agrees, thick and orange where none
does; labelled cells that were missed have a blue box. OUT/outlines.png is the same without the images.
"""

import csv
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.findings import Box, Instance, Kind
from inference.pipeline.segmentation import segment
from inference.training.evaluate_segmentation import box_overlaps, match, read_boxes, read_rgb
from inference.training.segmentation_labels import NAMES

GREEN, ORANGE, BLUE = (0, 158, 115), (213, 94, 0), (0, 114, 178)
LEAST = 0.5


def judged(
    image: np.ndarray, truth: dict[Kind, list[Box]]
) -> tuple[list[Instance], list[Instance], list[Box]]:
    """Cells that a label bears out, cells that none does, and boxes of cells that were missed."""
    right, wrong, missed = [], [], []
    found = [cell for cell in segment(image) if cell.confidence >= LEAST]
    for kind, boxes in truth.items():
        mine = [cell for cell in found if cell.kind is kind]
        overlaps = box_overlaps([cell.box for cell in mine], boxes)
        hits = match([cell.confidence for cell in mine], overlaps)
        right += [cell for cell, hit in zip(mine, hits, strict=True) if hit]
        wrong += [cell for cell, hit in zip(mine, hits, strict=True) if not hit]
        best = overlaps.max(axis=0, initial=0)
        missed += [box for box, overlap in zip(boxes, best, strict=True) if overlap < LEAST]
    return right, wrong, missed


def drawn(image: np.ndarray, cells: tuple[list[Instance], list[Instance], list[Box]]) -> np.ndarray:
    picture, (right, wrong, missed) = image.copy(), cells
    for cell, colour, width in [(c, GREEN, 1) for c in right] + [(c, ORANGE, 4) for c in wrong]:
        cv2.polylines(picture, [np.array(cell.polygon, np.int32)], True, colour, width, cv2.LINE_AA)
    for x0, y0, x1, y1 in missed:
        cv2.rectangle(picture, (x0, y0), (x1, y1), BLUE, 3)
    return picture


def sheet(pictures: list[np.ndarray], across: int = 4, side: int = 300) -> np.ndarray:
    """Pictures side by side, row by row, each in a square."""
    canvas = np.full((-(-len(pictures) // across) * side, across * side, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        factor = (side - 8) / max(picture.shape[:2])
        small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        y, x = place // across * side, place % across * side
        canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
    return canvas


def main(data: Path, out: Path, count: str = "12") -> None:
    folder = data / "fields_txl"
    with (folder / "index.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    seen = []
    for row in rows:
        image = read_rgb(folder / row["file"])
        cells = judged(image, read_boxes(folder / row["label_file"], NAMES, image.shape))
        seen.append((len(cells[1]) + len(cells[2]), row["file"], image, cells))
    worst = sorted(seen, key=lambda s: -s[0])[: int(count)]
    out.mkdir(parents=True, exist_ok=True)
    for place, (errors, name, image, cells) in enumerate(worst, start=1):
        path = out / f"{place:02d}_{errors}_errors_{Path(name).stem[:8]}.png"
        cv2.imwrite(str(path), cv2.cvtColor(drawn(image, cells), cv2.COLOR_RGB2BGR))
        print(path)
    outlines = sheet([drawn(np.full_like(image, 255), cells) for _, _, image, cells in worst])
    cv2.imwrite(str(out / "outlines.png"), cv2.cvtColor(outlines, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
