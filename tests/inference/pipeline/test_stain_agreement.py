"""The product's normalisation beside the public library torchstain and the plain formulas, on real fields."""

import csv

import cv2
import numpy as np
import pytest

from inference.pipeline import stain
from inference.pipeline.stain import Method, Pair, Stains
from inference.training import plain_stain
from tests.inference.pipeline.test_stain import NUCLEAR, RED, degrees, two_stains

normalizers = pytest.importorskip("torchstain.base.normalizers")

TRUNCATED = 0.85
"""Mean difference in levels: torchstain cuts fractions off, which are 0.5 on average, and we round."""


@pytest.fixture(scope="module")
def fields(wbc_data) -> list[np.ndarray]:
    """Fields of each of the four sources, the first of them the one that the others are moved to."""
    found = []
    with (wbc_data / "fields_txl/index.csv").open(newline="") as lines:
        rows = sorted(
            (row["source"], row["file"]) for row in csv.DictReader(lines) if row["split"] == "train"
        )
    for source in ("pbc", "raabin", "bccd"):
        found += [wbc_data / "fields_txl" / file for name, file in rows if name == source][:60:30]
    found += sorted((wbc_data / "fields_bcisc/images").iterdir())[:2]
    return [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in found]


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(int) - second).mean())


def fitted_by(normalizer, image: np.ndarray):
    normalizer.fit(image)
    return normalizer


def test_reinhard_agrees_with_torchstain(fields):
    theirs = fitted_by(normalizers.ReinhardNormalizer(backend="numpy"), fields[0])
    target = stain.fit(fields[0])
    for image in fields[1:]:
        ours = stain.normalise(image, stain.fit(image), target)
        assert difference(theirs.normalize(image), ours) < TRUNCATED


def as_ours(macenko) -> Stains:
    """Torchstain's fit in our terms; it takes 240 for empty glass and adds one to every pixel."""
    first, second = (tuple(column) for column in macenko.HERef.T.tolist())
    strengths = tuple(macenko.maxCRef.tolist())
    return Stains(Method.MACENKO, (239.0, 239.0, 239.0), Pair((first, second), strengths))


def test_macenko_moves_two_stains_as_torchstain_does(fields):
    """On what two stains explain of a real field; torchstain drops the rest, which we keep."""
    wanted = fitted_by(normalizers.MacenkoNormalizer(backend="numpy"), fields[0])
    for image in fields[1:]:
        explained = fitted_by(normalizers.MacenkoNormalizer(backend="numpy"), image).normalize(image)[0]
        source = fitted_by(normalizers.MacenkoNormalizer(backend="numpy"), explained)
        theirs = wanted.normalize(explained, stains=False)[0]
        ours = stain.normalise(explained, as_ours(source), as_ours(wanted))
        assert difference(theirs, ours) < TRUNCATED


def test_macenko_finds_the_stains_that_torchstain_finds():
    image = two_stains(glass=np.full(3, 239.0))
    theirs = fitted_by(normalizers.MacenkoNormalizer(backend="numpy"), image).HERef.T
    ours = stain.fit(image, Method.MACENKO, (239.0, 239.0, 239.0)).pair.vectors
    for vector in ours:
        assert min(degrees(vector, other) for other in theirs) < 1.5


@pytest.mark.parametrize("find", [plain_stain.macenko, plain_stain.vahadane])
def test_the_plain_forms_find_known_stains(find):
    """What the product is timed against does the same work: within three degrees of the truth."""
    found = find(two_stains(glass=np.full(3, 239.0)))
    assert degrees(found.vectors[:, 0], NUCLEAR) < 3
    assert degrees(found.vectors[:, 1], RED) < 3


def test_the_plain_forms_move_a_stain_as_the_product_does():
    source, target = (
        two_stains(glass=np.full(3, 239.0)),
        two_stains(RED, NUCLEAR[::-1].copy(), np.full(3, 239.0)),
    )
    plain = plain_stain.moved(source, plain_stain.macenko(source), plain_stain.macenko(target))
    fitted = [stain.fit(image, Method.MACENKO, (239.0, 239.0, 239.0)) for image in (source, target)]
    assert difference(plain, stain.normalise(source, *fitted)) < 3
