import json

import pytest
from PIL import Image

from inference.pipeline.config import WBC_CLASSES
from inference.pipeline.networks import registry, runtime
from inference.training.__main__ import main
from tests.inference.pipeline.networks_for_tests import ARCHITECTURE
from tests.inference.pipeline.test_single_cell import cell_image


@pytest.fixture
def data(tmp_path):
    """Two sources of six cells and one field of the first source's scanner."""
    for source, labels in (
        ("wbc_pbc", ("neutrophil", "lymphocyte")),
        ("wbc_apl", ("blast", "band_neutrophil")),
    ):
        rows = ["file,label,split"]
        for number in range(6):
            label = labels[number % 2]
            file = tmp_path / source / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(cell_image(radius=35 + 3 * number)).save(file)
            rows.append(f"{label}/{number}.png,{label},{'val' if number > 3 else 'train'}")
        (tmp_path / source / "index.csv").write_text("\n".join(rows) + "\n")
    fields = tmp_path / "fields_txl"
    (fields / "images").mkdir(parents=True)
    Image.fromarray(cell_image()).save(fields / "images" / "a.png")
    (fields / "index.csv").write_text("file,source,split\nimages/a.png,pbc,train\n")
    return tmp_path


def test_one_command_makes_a_network_that_the_product_can_load(data, tmp_path):
    out = tmp_path / "out"
    arguments = ["wbc", "--data", str(data), "--out", str(out), "--architecture", ARCHITECTURE]
    assert main([*arguments, "--epochs", "2", "--batch", "4", "--side", "32", "--workers", "0"]) == 0
    card = registry.read_card("wbc", out)
    assert card.labels == WBC_CLASSES
    assert 0.3 <= card.abstain_below <= 0.7
    assert set(card.input.stain_references) == {"cell", "field"}
    assert runtime.torch_module(card)
    (metric,) = json.loads((out / "wbc.json").read_text())["metrics"]
    assert metric["n"] == 4 and metric["command"]
    assert len((out / "log.jsonl").read_text().splitlines()) == 2


def test_networks_that_cannot_be_trained_yet_are_refused(tmp_path):
    with pytest.raises(SystemExit):
        main(["rbc", "--data", str(tmp_path), "--out", str(tmp_path)])
