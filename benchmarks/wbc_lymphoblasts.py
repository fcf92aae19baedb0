"""What the white-cell networks call the cells of staged fields they have not learnt from, by stage.

python benchmarks/wbc_lymphoblasts.py ../shared/data [--weights FOLDER] [--fields 160]

Fields of fold 3 of staging_taleqani, cut as staging cuts them. Nobody named these cells: in fields of a
leukemia most are lymphoblasts, in benign ones most are lymphocytes and haematogones, so that the shares show
a tendency and no accuracy.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.networks import registry, runtime
from inference.training.cell_images import read_cell_image
from inference.training.laboratories import thinned
from inference.training.proposed_cells import called, whole_cells
from inference.training.staging_fields import FOLDER, NAMES, TEST, rows, top_left


def main(given: argparse.Namespace) -> None:
    networks = [
        runtime.Network(registry.read_card(name, given.weights))
        for name in registry.white_cell_networks(given.weights)
    ]
    counts = {(network.card.name, stage): Counter[str]() for network in networks for stage in NAMES.values()}
    for row in thinned(rows(given.data, TEST), given.fields):
        image = top_left(read_cell_image(given.data / FOLDER / row["file"]))
        whites = whole_cells(image)
        for network in networks:
            calls = called(image, whites, network)
            counts[network.card.name, NAMES[row["label"]]].update(call.label for call in calls)
    print(f"| network | stage | cells | {' | '.join(WBC_CLASSES)} |\n|{'---|' * (len(WBC_CLASSES) + 3)}")
    for (name, stage), of in counts.items():
        shares = [f"{100 * of[label] / max(1, of.total()):.1f}" for label in WBC_CLASSES]
        print(f"| {name} | {stage} | {of.total()} | {' | '.join(shares)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, default=registry.WEIGHTS)
    parser.add_argument("--fields", type=int, default=160, help="about so many fields")
    main(parser.parse_args())
