"""Precision, recall and overlap of the segmentation per source of fields, on the val part.

python benchmarks/segmentation_fields.py ../shared/data
"""

import csv
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.segmentation import segment
from inference.training.evaluate_segmentation import evaluate


def report(title: str, folder: Path, files: list[str] | None) -> None:
    began = time.process_time()
    figures = evaluate(folder, segment, files)
    print(f"{title}: {time.process_time() - began:.1f} s of processor time")
    for kind, values in figures.items():
        print(f"  {kind:9}", *(f"{name} {value:.3f}" for name, value in values.items()))


def main(data: Path) -> None:
    folder = data / "fields_txl"
    with (folder / "index.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    for source in ("bccd", "raabin", "pbc"):
        report(source, folder, [row["file"] for row in rows if row["source"] == source])
    report("fields_txl val", folder, [row["file"] for row in rows])
    report("fields_bbbc041_eval", data / "fields_bbbc041_eval", None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
