"""The Medical Enhanced Filter: order and variants, batches and strips, and what it makes of real cells."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.pipeline import enhance as filters
from inference.pipeline import enhance_steps as steps
from inference.pipeline.enhance import enhance, enhance_batch
from inference.pipeline.networks.registry import PreprocessingVariant
from inference.training import plain_enhance
from tests.inference.pipeline.images import field, flat

NONE, V1, V2, V3, V4 = PreprocessingVariant
SETS = ("wbc_pbc", "wbc_chula", "wbc_ood_bcisc", "wbc_ood_jiangxi")


class Inverting:
    """Stands for the stain normalisation of a slide; its effect cannot be missed."""

    def apply(self, image: np.ndarray) -> np.ndarray:
        return 255 - image


def crop(side: int = 224) -> np.ndarray:
    return field(640, 480)[240 - side // 2 : 240 + side // 2, 320 - side // 2 : 320 + side // 2].copy()


def test_none_is_the_image_itself():
    image = crop()
    assert enhance(image, NONE) is image
    assert enhance_batch([image], NONE)[0] is image


def test_the_steps_come_in_their_order(monkeypatch):
    called = []

    def noted(owner, name):
        step = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given: called.append(name) or step(*given))

    for name in ("stretch", "find_edges", "fuse", "highlight_nuclei", "sharpen", "lift_small"):
        noted(steps, name)
    noted(filters, "bilateral")
    five = ["stretch", "find_edges", "fuse", "bilateral", "highlight_nuclei", "sharpen"]
    for variant, expected in ((V1, five), (V2, five), (V3, [*five, "lift_small"])):
        called.clear()
        enhance_batch([crop()], variant)
        assert called == expected


def test_equalisation_leaves_the_hue(monkeypatch):
    monkeypatch.setattr(filters, "bilateral", lambda image: image)
    for name in ("stretch", "highlight_nuclei"):
        monkeypatch.setattr(steps, name, lambda image: image)
    monkeypatch.setattr(steps, "sharpen", lambda image, edges: image)
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    lab = np.empty((64, 64, 3), np.float32)
    lab[..., 0] = np.linspace(45, 60, 64)[:, None]
    lab[..., 1], lab[..., 2] = 22 * np.cos(angles), 22 * np.sin(angles)
    image = np.rint(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255).astype(np.uint8)
    relit = enhance(image, V1)
    before, after = (
        cv2.cvtColor(shown.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for shown in (image, relit)
    )
    turned = np.angle(np.exp(1j * (np.arctan2(*after[..., :0:-1].T) - np.arctan2(*before[..., :0:-1].T))))
    assert np.degrees(np.abs(turned)).max() < 4
    assert after[..., 0].std() > 1.1 * before[..., 0].std()


def test_v2_takes_the_grids_of_the_image():
    wide = field(448, 224)
    assert (enhance(wide, V2) != enhance(wide, V1)).any()


def test_v2_is_v1_on_a_typical_cell(monkeypatch):
    monkeypatch.setattr(steps, "adapted_grids", lambda edges: steps.FIXED_GRIDS)
    assert (enhance(crop(), V2) == enhance(crop(), V1)).all()


def test_v3_is_v2_with_small_structures_lifted():
    assert (enhance(crop(), V3) == steps.lift_small(enhance(crop(), V2))).all()


def test_v4_is_v3_of_the_normalised_image():
    assert (enhance(crop(), V4, Inverting()) == enhance(255 - crop(), V3)).all()
    assert (enhance_batch([crop()], V4, Inverting())[0] == enhance(255 - crop(), V3)).all()


def test_v4_without_a_normalisation_is_refused():
    with pytest.raises(ValueError, match="needs the stain normalisation"):
        enhance(crop(), V4)


@pytest.mark.parametrize("variant", [V1, V2, V3])
def test_batch_and_strips_give_the_pixels_of_the_whole(variant, monkeypatch):
    images = [crop(), field(130, 260), crop(8), field(300, 129)]
    serial = enhance_batch(images, variant)
    for processors in (1, 4):
        monkeypatch.setattr(filters.os, "cpu_count", lambda processors=processors: processors)
        for image, expected in zip(images, serial, strict=True):
            assert (enhance(image, variant) == expected).all()


def test_an_empty_batch_is_empty():
    assert enhance_batch([], V1) == []


@pytest.mark.parametrize("value", [0, 5, 128, 235, 255])
def test_blank_images_stay_blank(value):
    for variant in (V1, V2, V3):
        seen = enhance(flat(value), variant)
        assert np.ptp(seen) <= 2 and np.abs(seen.astype(int) - value).max() <= 6


def test_the_noise_of_an_empty_field_is_not_blown_up():
    ground = np.clip(np.random.default_rng(0).normal(230, 2, (224, 224, 3)), 0, 255).astype(np.uint8)
    for variant in (V1, V2, V3):
        assert enhance(ground, variant).std() < ground.std()


def test_a_grey_image_stays_grey():
    grey = np.repeat(crop()[..., 1:2], 3, axis=2)
    for variant in (V1, V2, V3):
        assert np.ptp(enhance(grey, variant).astype(int), axis=2).max() <= 6


PIXELS = st.tuples(st.integers(1, 90), st.integers(1, 90)).flatmap(
    lambda shape: arrays(np.uint8, (*shape, 3), elements=st.integers(0, 255))
)


@given(PIXELS, st.sampled_from([V1, V2, V3, V4]))
@settings(max_examples=60, deadline=None)
def test_any_image_comes_back_in_its_shape_and_the_same_every_time(image, variant):
    given_pixels = image.copy()
    first, second = (enhance(image, variant, Inverting()) for _ in range(2))
    assert first.shape == image.shape and first.dtype == np.uint8
    assert (first == second).all()
    assert (image == given_pixels).all()


def test_a_forked_worker_has_threads_of_its_own():
    program = (
        "import os, sys, numpy as np\n"
        "from inference.pipeline.enhance import enhance_batch, PreprocessingVariant as V\n"
        "images = [np.zeros((9, 9, 3), np.uint8)] * 4\n"
        "enhance_batch(images, V.MEF_V1)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(7 if len(enhance_batch(images, V.MEF_V1)) == 4 else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=120, env=dict(os.environ), check=False)
    assert done.returncode == 7


@pytest.fixture(scope="module")
def real_cells(wbc_data) -> list[np.ndarray]:
    files = [path for name in SETS for path in sorted((wbc_data / name).rglob("*.*g"))[7:400:131]]
    cells = [cv2.imread(str(path)) for path in files if "masks" not in path.parts]
    assert len(cells) >= 8
    return [cv2.cvtColor(cv2.resize(cell, (224, 224)), cv2.COLOR_BGR2RGB) for cell in cells]


def test_real_cells_agree_with_the_plain_form(real_cells):
    for cell, seen in zip(real_cells, enhance_batch(real_cells, V1), strict=True):
        apart = np.abs(seen.astype(int) - plain_enhance.mef_v1(cell))
        assert apart.mean() < 1.0
        assert np.mean(apart > 6) < 0.01


def test_real_cells_gain_contrast_and_keep_their_detail(real_cells):
    for variant in (V1, V2, V3):
        for cell, seen in zip(real_cells, enhance_batch(real_cells, variant), strict=True):
            before, after = (cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY) for shown in (cell, seen))
            assert after.std() > before.std()
            assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.8
            assert np.mean(np.isin(after, (0, 255))) < 0.5
