"""Precision, recall and overlap of the segmentation per set of fields.

python benchmarks/segmentation_fields.py ../shared/data [ENGINE]

ENGINE is compact, which is the default, or any other of the product's that has weights. Of fields_bcisc only
the smears with odd numbers are measured: the others were trained on.
"""

import csv
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import segmentation
from inference.pipeline.config import SegmentationEngine
from inference.pipeline.findings import Image, Instance
from inference.training.evaluate_segmentation import Segment, evaluate
from inference.training.segmentation_relabel import smear_number

MASKED = ("fields_bbbc041_eval", "fields_bcisc", "wbc_ood_jiangxi")


def report(title: str, folder: Path, files: list[str] | None, segment: Segment) -> None:
    began = time.process_time()
    figures = evaluate(folder, segment, files)
    print(f"{title}: {time.process_time() - began:.1f} s of processor time")
    for kind, values in figures.items():
        print(f"  {kind:9}", *(f"{name} {value:.3f}" for name, value in values.items()), flush=True)


def unseen(folder: Path) -> list[str] | None:
    """The images of a set with masks that were not trained on; None for all of them."""
    if folder.name != "fields_bcisc":
        return None
    return [path.name for path in (folder / "images").iterdir() if smear_number(path.name) % 2]


def main(data: Path, name: str = SegmentationEngine.COMPACT) -> None:
    engine = segmentation.engine(SegmentationEngine(name))
    folder = data / "fields_txl"

    def segment(image: Image) -> list[Instance]:
        return segmentation.segment(image, chosen=engine)

    with (folder / "index.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    for source in ("bccd", "raabin", "pbc"):
        report(source, folder, [row["file"] for row in rows if row["source"] == source], segment)
    report("fields_txl val", folder, [row["file"] for row in rows], segment)
    for masked in MASKED:
        report(masked, data / masked, unseen(data / masked), segment)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
