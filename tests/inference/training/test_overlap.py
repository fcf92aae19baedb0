import numpy as np
import pytest
from PIL import Image

from inference.training.labels import samples
from inference.training.overlap import (
    HASH_BITS,
    NEAR_BITS,
    Fingerprints,
    images_below,
    nearest,
    overlap,
    perceptual_hashes,
)


def texture(seed: int) -> np.ndarray:
    """A picture like no other: soft random blobs."""
    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((200, 200), Image.Resampling.BICUBIC))


def saved(folder, name, pixels, **options):
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name, **options)


@pytest.fixture
def folders(tmp_path):
    test, other = tmp_path / "test", tmp_path / "other"
    for name, seed in (("file", 1), ("pixels", 2), ("turned", 3), ("mirrored", 4), ("new", 5)):
        saved(test, f"{name}.png", texture(seed))
    saved(other, "file.png", texture(1))
    saved(other, "pixels.bmp", texture(2))
    saved(other, "turned.jpg", np.rot90(texture(3)), quality=60)
    Image.fromarray(texture(4)[:, ::-1]).resize((90, 90)).save(other / "mirrored.png")
    saved(other, "else.png", texture(6))
    (other / "broken.png").write_bytes(b"no image")
    return test, other


def test_each_kind_of_copy_is_counted_once_under_its_strictest_name(folders):
    prints = [Fingerprints.of(images_below(folder)) for folder in folders]
    found = overlap(*prints, folders)
    assert (found["same_file"], found["same_pixels"], found["near_duplicate"]) == (1, 1, 2)
    assert (found["tested"], found["images"], found["unreadable"], found["overlapping"]) == (5, 5, 1, 4)
    pairs = {pair["file"]: (pair["other"], pair["kind"]) for pair in found["pairs"]}
    assert pairs["file.png"] == ("file.png", "same_file")
    assert pairs["pixels.png"] == ("pixels.bmp", "same_pixels")
    assert pairs["turned.png"] == ("turned.jpg", "near_duplicate")
    assert "new.png" not in pairs


def test_nothing_to_compare_is_no_overlap(tmp_path, folders):
    prints = Fingerprints.of(images_below(folders[0]))
    (tmp_path / "empty").mkdir()
    assert overlap(prints, Fingerprints(), (folders[0], tmp_path / "empty"))["overlapping"] == 0


@pytest.mark.parametrize("way", range(8))
def test_every_way_to_turn_and_mirror_is_among_the_hashes(way):
    image = texture(9)
    changed = np.rot90(image[:, ::-1] if way > 3 else image, way % 4)
    hashes = perceptual_hashes(image)[None]
    _, bits = nearest(hashes, perceptual_hashes(np.ascontiguousarray(changed))[None])
    assert bits[0] <= 2
    assert np.bitwise_count(hashes[0, 0]).sum() == HASH_BITS // 2


def test_cells_of_two_laboratories_are_no_duplicates_and_turned_copies_are(wbc_data, tmp_path):
    pbc = [sample.path for sample in samples(wbc_data / "wbc_pbc", "val")[::8]]
    apl = [sample.path for sample in samples(wbc_data / "wbc_apl", "val")[::8]]
    prints = Fingerprints.of(pbc)
    _, apart = nearest(Fingerprints.of(apl).hashes, prints.hashes)
    assert apart.min() > NEAR_BITS
    for path in pbc[:20]:
        saved(tmp_path, path.name, np.rot90(np.asarray(Image.open(path)), 3), quality=50)
    places, bits = nearest(Fingerprints.of(images_below(tmp_path)).hashes, prints.hashes)
    assert bits.max() <= NEAR_BITS
    assert {prints.paths[place].name for place in places} == {path.name for path in pbc[:20]}
