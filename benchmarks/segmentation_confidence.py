"""Fits the weights of inference/pipeline/instances.py: which regions turn out to be cells.

python benchmarks/segmentation_confidence.py ../shared/data

Every region found in the training fields of fields_txl is a cell when it matches a label of its kind at
an IoU of 0.5. One logistic regression per kind, with a small ridge; each source of fields weighs the same.
"""

import csv
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import segmentation_watershed
from inference.pipeline.findings import Kind
from inference.pipeline.instances import measured
from inference.training.evaluate_segmentation import box_overlaps, match, read_boxes, read_rgb

RIDGE = 1e-3
NAMES = list(Kind)


def samples(folder: Path, row: dict[str, str]) -> list[tuple[Kind, tuple[float, ...], bool]]:
    """Kind, features and truth of every region of one field."""
    image = read_rgb(folder / row["file"])
    found = segmentation_watershed.regions_of(image)
    if found is None:
        return []
    regions, stain, unit = found
    truth = read_boxes(folder / row["label_file"], [Kind.WBC, Kind.RBC, Kind.PLATELET], image.shape)
    scale = image.shape[1] / regions.labels.shape[1]
    cells = measured(regions, stain, unit)
    collected = []
    for kind, boxes in truth.items():
        chosen = [cell for cell in cells if cell.kind is kind]
        overlaps = box_overlaps([tuple(round(v * scale) for v in cell.box) for cell in chosen], boxes)
        hits = match(list(overlaps.max(axis=1, initial=0)), overlaps)
        collected += [(kind, astuple(c.features), hit > 0) for c, hit in zip(chosen, hits, strict=True)]
    return collected


def fit(features: np.ndarray, truth: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """Weights, the intercept first, of a logistic regression."""
    inputs = np.column_stack([np.ones(len(features)), features])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        score = inputs @ weights
        error = 1 / (1 + np.exp(-score)) - truth
        value = np.sum(importance * (np.logaddexp(0, score) - truth * score)) + RIDGE * weights @ weights
        return float(value), inputs.T @ (importance * error) + 2 * RIDGE * weights

    return minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B").x


def main(data: Path) -> None:
    folder = data / "fields_txl"
    with (folder / "index.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    found = [(row["source"], *sample) for row in rows for sample in samples(folder, row)]
    for kind in NAMES:
        mine = [(source, features, truth) for source, k, features, truth in found if k is kind]
        features = np.array([f for _, f, _ in mine])
        truth = np.array([t for _, _, t in mine], float)
        sources = np.array([s for s, _, _ in mine])
        importance = np.array([1 / np.sum(sources == s) for s in sources]) / len(set(sources))
        weights = fit(features, truth, importance)
        share = 1 / (1 + np.exp(-(weights[0] + features @ weights[1:])))
        right = np.average((share >= 0.5) == truth, weights=importance)
        print(f"{kind.value}: n = {len(mine)}, cells {truth.mean():.3f}, called rightly {right:.3f}")
        print("   ", tuple(round(float(w), 3) for w in weights))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
