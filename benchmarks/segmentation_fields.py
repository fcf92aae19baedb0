"""Precision, recall and overlap of the segmentation per set of fields.

python benchmarks/segmentation_fields.py ../shared/data [watershed]
"""

import csv
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import segmentation, segmentation_watershed
from inference.training.evaluate_segmentation import Segment, evaluate

ENGINES: dict[str, Segment] = {"network": segmentation.segment, "watershed": segmentation_watershed.segment}
MASKED = ("fields_bbbc041_eval", "fields_bcisc", "wbc_ood_jiangxi")


def report(title: str, folder: Path, files: list[str] | None, segment: Segment) -> None:
    began = time.process_time()
    figures = evaluate(folder, segment, files)
    print(f"{title}: {time.process_time() - began:.1f} s of processor time")
    for kind, values in figures.items():
        print(f"  {kind:9}", *(f"{name} {value:.3f}" for name, value in values.items()), flush=True)


def main(data: Path, engine: str = "network") -> None:
    folder, segment = data / "fields_txl", ENGINES[engine]
    with (folder / "index.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    for source in ("bccd", "raabin", "pbc"):
        report(source, folder, [row["file"] for row in rows if row["source"] == source], segment)
    report("fields_txl val", folder, [row["file"] for row in rows], segment)
    for name in MASKED:
        report(name, data / name, None, segment)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
