import numpy as np
import pytest
from PIL import Image

from inference.pipeline.config import WBC_CLASSES
from inference.training.labels import SUBTYPES, samples, taxonomy_class


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)


def test_subtypes_lead_into_the_taxonomy():
    assert set(SUBTYPES.values()) <= set(WBC_CLASSES)
    assert taxonomy_class("promonocyte") == "blast"
    assert taxonomy_class("monocyte") == "monocyte"
    assert taxonomy_class("plasma_cell") is None


def test_unknown_folder_name_is_refused(tmp_path):
    picture(tmp_path / "neutrofil" / "a.png")
    with pytest.raises(ValueError, match="neutrofil"):
        samples(tmp_path)


def test_folders_are_read_in_order_and_mapped(tmp_path):
    for name in ("monocyte/b.png", "monocyte/a.jpg", "band_neutrophil/c.bmp", "plasma_cell/d.png"):
        picture(tmp_path / name)
    (tmp_path / "monocyte" / "notes.txt").write_text("not an image")
    found = [(sample.path.name, sample.label) for sample in samples(tmp_path)]
    assert found == [("c.bmp", "neutrophil"), ("a.jpg", "monocyte"), ("b.png", "monocyte")]


def test_split_reads_the_index(tmp_path):
    (tmp_path / "index.csv").write_text("file,label,split\nx/1.jpg,smudge,val\nx/2.jpg,blast,train\n")
    assert [(s.path, s.label) for s in samples(tmp_path, "val")] == [(tmp_path / "x/1.jpg", "artifact")]
    with pytest.raises(FileNotFoundError, match="test"):
        samples(tmp_path, "test")


def test_real_index_has_every_trained_class(wbc_data):
    labels = {s.label for name in ("wbc_pbc", "wbc_apl") for s in samples(wbc_data / name, "train")}
    assert labels == set(WBC_CLASSES)
