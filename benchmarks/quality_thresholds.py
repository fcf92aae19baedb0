"""Percentiles of every quality measure over real fields, from which the thresholds of quality.py were read.

python benchmarks/quality_thresholds.py ../shared/data
"""

import sys
from dataclasses import astuple, fields
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.quality import Measures, measure

SETS = (
    "fields_txl",
    "fields_bcisc",
    "rbc_chula",
    "fields_bbbc041_eval",
    "staging_taleqani",
    "wbc_ood_jiangxi",
)
PERCENTILES = (1, 10, 50, 90, 99)
BLURS = (0, 2, 4)
PER_SET = 60


def sample(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".jpg", ".png") and "masks" not in p.parts)
    return files[:: max(1, len(files) // PER_SET)]


def read(file: Path, blur: float) -> np.ndarray:
    image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    return cv2.GaussianBlur(image, (0, 0), blur) if blur else image


def main(data: Path) -> None:
    for name in SETS:
        for blur in BLURS:
            values = np.array([astuple(measure(read(file, blur))) for file in sample(data / name)])
            print(f"{name}, blurred by {blur} px, n = {len(values)}, percentiles {PERCENTILES}")
            for field, column in zip(fields(Measures), values.T, strict=True):
                figures = np.percentile(column, PERCENTILES)
                print(f"  {field.name:8}", *(f"{value:10.4f}" for value in figures))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
