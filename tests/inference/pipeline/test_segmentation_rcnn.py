"""The large engines on a drawn field that they learn by heart, and the parts that they are made of."""

import cv2
import numpy as np
import pytest
import torch

from inference.pipeline.config import SegmentationEngine
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.networks import htc, rcnn, registry, runtime
from inference.pipeline.networks.region_align import region_align
from inference.pipeline.networks.registry import segmentation_network
from inference.pipeline.networks.runtime import Network
from inference.pipeline.segmentation_engine import UndecodableTile
from inference.pipeline.segmentation_rcnn import Htc, MaskRcnnSwin, _outlines, loaded
from inference.pipeline.segmentation_star import KINDS, WORK_UM
from inference.training.segmentation_rcnn import ENGINES, Recipe, Trainer, targets_of
from inference.training.segmentation_rcnn_run import save
from inference.training.segmentation_scenes import Scene
from tests.inference.training.test_segmentation import GROUND, LILAC, PINK, PURPLE, round_cells

CELLS = [(0, (24, 28), 16), (0, (58, 26), 16), (0, (104, 40), 16), (1, (66, 84), 24), (2, (22, 70), 6)]
"""Kind, centre and radius in px at the working resolution."""

SIDE = 128


def drawn():
    """Two touching red cells and a third, a white one and a platelet."""
    image = np.full((SIDE, SIDE, 3), GROUND, np.uint8)
    for kind, centre, radius in CELLS:
        cv2.circle(image, centre, radius, (PINK, LILAC, PURPLE)[kind], -1, cv2.LINE_AA)
        if kind == 1:
            cv2.circle(image, centre, 14, PURPLE, -1, cv2.LINE_AA)
    return image


def window():
    everywhere = np.ones((SIDE, SIDE), np.bool_)
    scene = Scene(drawn(), round_cells(*CELLS), everywhere, everywhere)
    return {"pixels": torch.from_numpy(scene.image), **targets_of(scene)}


def engine_of(trainer, out):
    _, made_by = ENGINES[trainer.recipe.design]
    save(trainer.averaged, trainer.recipe, out)
    return made_by(Network(registry.read_card(segmentation_network(trainer.recipe.engine), out)))


def overlaps(instances, times=1):
    """Per drawn cell the best IoU of an instance of its kind that counts, both as pixels."""
    best = []
    for kind, centre, radius in CELLS:
        truth = np.zeros((SIDE * times, SIDE * times), np.uint8)
        cv2.circle(truth, (centre[0] * times, centre[1] * times), radius * times, 1, -1)
        shared = [0.0]
        for cell in instances:
            if cell.kind is KINDS[kind] and cell.confidence >= 0.5:
                own = np.zeros_like(truth)
                cv2.fillPoly(own, [np.array(cell.polygon, np.int32)], 1)
                shared.append((own & truth).sum() / (own | truth).sum())
        best.append(max(shared))
    return best


@pytest.mark.parametrize(
    ("architecture", "steps"),
    [("maskrcnn_resnet10_32", 70), ("htc_resnet10_32", 60)],
    ids=["maskrcnn", "htc"],
)
def test_an_engine_finds_the_cells_of_a_field_that_its_network_learnt(
    architecture, steps, tmp_path, monkeypatch
):
    monkeypatch.setattr(rcnn, "PROPOSED", 200)
    monkeypatch.setattr(rcnn, "SAMPLED", 64)
    monkeypatch.setattr(htc, "SAMPLED", 64)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    recipe = Recipe(
        architecture, side=SIDE, epochs=1, steps=steps, batch=1, learning_rate=2e-3, ema_decay=0.9, warmup=0.2
    )
    trainer = Trainer(recipe, [], tmp_path)
    (untaught,) = engine_of(trainer, tmp_path).find([drawn()], WORK_UM)
    assert max(overlaps(untaught.instances)) < 0.5

    trainer.module.train()
    for _ in range(steps):
        trainer.step([window()])
    engine = engine_of(trainer, tmp_path)
    (answer,) = engine.find([drawn()], WORK_UM)
    assert min(overlaps(answer.instances)) > 0.5
    assert answer.unexplained is None or answer.unexplained.share < 0.1
    finer = cv2.resize(drawn(), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    (answer,) = engine.find([finer], WORK_UM / 2)
    assert min(overlaps(answer.instances, 2)) > 0.5
    assert [network.name for network in engine.used] == [
        segmentation_network(recipe.engine),
        "segmentation",
    ]


@pytest.mark.parametrize(
    ("architecture", "part"),
    [
        *(("maskrcnn_resnet10_32", part) for part in ("backbone", "rpn", "box_predictor", "mask_predictor")),
        *(("htc_resnet10_32", part) for part in ("backbone", "proposer", "stages.2.moves", "semantic")),
    ],
)
def test_an_answer_without_numbers_is_an_error_not_an_empty_field(architecture, part, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    recipe = Recipe(architecture, side=SIDE, epochs=1, steps=1, batch=1)
    engine = engine_of(Trainer(recipe, [], tmp_path), tmp_path)
    damaged = [values for name, values in engine.module.named_parameters() if f"{part}." in name]
    with torch.no_grad():
        damaged[-1].fill_(float("nan"))
    with pytest.raises(
        UndecodableTile, match=f"The network {segmentation_network(recipe.engine)} gave no usable"
    ):
        engine.find([drawn()], WORK_UM)


@pytest.mark.parametrize("name", ["maskrcnn_swin", "htc"])
def test_without_weights_the_error_says_how_to_get_them_and_where_to_put_them(name, tmp_path):
    with pytest.raises(NetworkUnavailable) as raised:
        loaded(SegmentationEngine(name), tmp_path)
    assert "ships without weights" in raised.value.text
    assert (
        f"python -m inference.training segmentation --engine {name} --data DIR --out DIR" in raised.value.text
    )
    assert f"segmentation_{name}.safetensors and segmentation_{name}.json" in raised.value.text
    assert str(tmp_path) in raised.value.text


@pytest.mark.parametrize("engine", [MaskRcnnSwin, Htc])
def test_an_engine_without_a_network_looks_for_its_own(engine, monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        raise NetworkUnavailable("none")

    monkeypatch.setattr("inference.pipeline.segmentation_rcnn.loaded", load)
    with pytest.raises(NetworkUnavailable, match="none"):
        engine()
    assert asked == [engine.engine]


@pytest.mark.parametrize(
    ("architecture", "millions"), [("maskrcnn_swin", 47.4), ("htc_resnet50", 79.9), ("htc_swin", 83.3)]
)
def test_full_size_networks_build_and_run(architecture, millions, tmp_path, monkeypatch):
    for module in (rcnn, htc):
        monkeypatch.setattr(module, "MOST_CELLS", 8)
    card = registry.Card(
        **{"name": "x", "version": "0", "sha256": "", "temperature": 1.0, "abstain_below": 0.5},
        **{"architecture": architecture, "labels": (), "explanation_layer": "", "text": {}},
        **{"folder": tmp_path, "input": None},
    )
    network = runtime._architecture(card).eval()
    assert sum(values.numel() for values in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)
    with torch.inference_mode():
        (found,) = network(torch.zeros(1, 3, 128, 128))
    count = len(found["boxes"])
    assert 0 < count <= 8
    assert found["boxes"].shape == (count, 4) and found["masks"].shape == (count, 1, 28, 28)
    assert found["scores"].shape == found["labels"].shape == (count,)
    assert ((found["labels"] >= 1) & (found["labels"] <= 3)).all()
    assert ((found["boxes"] >= 0) & (found["boxes"] <= 128)).all()


@pytest.mark.parametrize("architecture", ["maskrcnn_vgg", "htc_swin", "maskrcnn", "maskrcnn_swin_wide"])
def test_other_networks_are_refused(architecture):
    with pytest.raises(ValueError, match="no network of the design maskrcnn"):
        rcnn.build(architecture)


def test_regions_are_seen_on_the_level_of_the_pyramid_that_suits_their_size():
    levels = {name: torch.full((1, 1, 64 >> n, 64 >> n), float(n)) for n, name in enumerate(rcnn.LEVELS)}
    boxes = torch.tensor([[10.0, 10, 65, 65], [10, 10, 70, 70], [10, 10, 125, 125], [0, 0, 230, 230]])
    pooled = rcnn.region_pool(7)(levels, [boxes], [(256, 256)])
    assert pooled[:, 0, 3, 3].tolist() == [0, 1, 2, 3]


def test_a_cell_is_found_once_whatever_its_kind():
    found = {
        "boxes": torch.tensor([[0.0, 0, 30, 30], [1, 1, 31, 31], [40, 40, 60, 60]]),
        "scores": torch.tensor([0.6, 0.9, 0.7]),
        "labels": torch.tensor([1, 2, 3]),
        "masks": torch.zeros(3, 1, 28, 28),
        "areas": torch.zeros(4, 8, 8),
    }
    kept = rcnn.once(found, 0.55)
    assert kept["labels"].tolist() == [2, 3] and len(kept["masks"]) == 2
    assert kept["areas"] is found["areas"]


def test_masks_become_outlines_of_their_largest_part():
    rows, columns = np.mgrid[0:28, 0:28] + 0.5
    disc = 1 / (1 + np.exp(np.hypot(rows - 14, columns - 14) - 10))
    speck = np.where(np.hypot(rows - 1.5, columns - 1.5) < 1.2, 1.0, disc)
    masks = np.stack([disc, np.zeros((28, 28)), speck]).astype(np.float32)
    boxes = np.array([[20, 30, 76, 86], [0, 0, 10, 10], [0, 20, 28, 76]], np.float32)
    chosen, outlines = _outlines(masks, boxes, (100, 120))
    assert chosen == [0, 2] and outlines.shape == (2, 32, 2)
    assert cv2.contourArea(outlines[0]) == pytest.approx(np.pi * 20**2, rel=0.02)
    assert outlines[0].mean(axis=0) == pytest.approx((48, 58), abs=0.5)
    assert cv2.contourArea(outlines[1]) == pytest.approx(np.pi * 10 * 20, rel=0.02)


def test_outlines_that_come_close_to_the_border_reach_it_and_end_there():
    full = np.ones((1, 28, 28), np.float32)
    _, (outline,) = _outlines(full, np.array([[1.0, 20, 40, 130]], np.float32), (100, 120))
    assert outline[:, 0].min() == 0 and outline[:, 1].max() == 100
    assert outline[:, 0].max() == pytest.approx(40, abs=0.5)
    chosen, outlines = _outlines(full[:0], np.zeros((0, 4), np.float32), (100, 120))
    assert chosen == [] and outlines.shape == (0, 32, 2)


def test_the_cascade_says_which_stain_no_cell_explains():
    areas = np.zeros((4, 16, 16), np.float32)
    areas[0] = 1
    areas[1, 2:6, 2:6] = areas[2, 10:14, 2:6] = 2
    square = np.array([[(16, 16), (48, 16), (48, 48), (16, 48)]], np.float32)
    engine = object.__new__(Htc)
    half = engine._unexplained({"areas": areas}, square, (128, 128))
    assert half.share == pytest.approx(0.5)
    assert half.where[10:14, 2:6].all() and half.where.sum() == 16
    assert engine._unexplained({"areas": areas}, square[:0], (128, 128)).share == 1
    assert engine._unexplained({"areas": areas}, square, (64, 64)).share == 0
    assert object.__new__(MaskRcnnSwin)._unexplained({}, square, (128, 128)) is None


@pytest.mark.parametrize(("ratio", "aligned"), [(2, False), (-1, False), (2, True)])
def test_regions_are_seen_where_they_are(ratio, aligned):
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    features = torch.stack([torch.stack([columns, rows]), 100 + torch.stack([columns, rows])])
    regions = torch.tensor([[1.0, 8, 4, 24, 20], [0, 20, 8, 28, 24]])
    pooled = region_align(features, regions, 0.5, 2, 4, ratio, aligned)
    assert pooled.shape == (2, 2, 2, 4)
    off = 0.5 if aligned else 0.0
    assert pooled[0, 0, 0].tolist() == pytest.approx([105 - off, 107 - off, 109 - off, 111 - off])
    assert pooled[0, 1, :, 0].tolist() == pytest.approx([104 - off, 108 - off])
    assert pooled[1, 0, 1].tolist() == pytest.approx([10.5 - off, 11.5 - off, 12.5 - off, 13.5 - off])
    assert pooled[1, 1, :, 2].tolist() == pytest.approx([6 - off, 10 - off])
    assert region_align(features, regions[:0], 0.5, 2, 4, ratio, aligned).shape == (0, 2, 2, 4)
